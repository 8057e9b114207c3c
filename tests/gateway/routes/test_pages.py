"""Pages and files: the dashboard, Swagger UI from here, and headers that keep everything else out."""

import re

import httpx
import pytest
from fastapi import FastAPI

from deployments.gateway.settings import GatewaySettings

SECRET = "home/auth/session.secret"


async def test_hashed_files_are_kept_for_ever_and_the_page_is_not(
    anyone: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    script = await anyone.get("/assets/app-1a2b.js")
    assert (script.status_code, script.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["content-encoding"] in {"gzip", "zstd"}
    assert (await reader.get("/")).headers["cache-control"] == "no-cache"


async def test_file_known_to_the_browser_is_not_sent_again(anyone: httpx.AsyncClient) -> None:
    tag = (await anyone.get("/assets/app-1a2b.js")).headers["etag"]
    assert (await anyone.get("/assets/app-1a2b.js", headers={"If-None-Match": tag})).status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        f"/assets/..%2f..%2f{SECRET}",
        f"/assets/%2e%2e/%2e%2e/{SECRET}",
        f"/swagger/..%2f..%2f{SECRET}",
        "/assets/%2fetc%2fpasswd",
        "/assets/%00",
        "/assets/" + "x" * 5_000,
        "/assets/",
        "/assets/link.js",
        "/..%2fsecret.txt",
        "/index.html",
        "/favicon.ico",
    ],
)
async def test_nothing_outside_the_folder_is_served(
    path: str, app: FastAPI, settings: GatewaySettings, anyone: httpx.AsyncClient
) -> None:
    del app  # its start has written the secret
    (settings.dashboard_dir / "assets" / "link.js").symlink_to(settings.home / "auth" / "session.secret")
    answer = await anyone.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_icon_at_the_root_is_served(settings: GatewaySettings, anyone: httpx.AsyncClient) -> None:
    (settings.dashboard_dir / "icon.svg").write_text("<svg/>", encoding="utf-8")
    assert (await anyone.get("/icon.svg")).headers["content-type"].startswith("image/svg+xml")


async def test_missing_dashboard_says_how_to_build_it(settings: GatewaySettings, reader: httpx.AsyncClient) -> None:
    (settings.dashboard_dir / "index.html").unlink()
    assert "make setup" in (await reader.get("/")).text


@pytest.mark.parametrize("path", ["/", "/login", "/docs", "/docs/problems", "/livez", "/api/v1/models", "/nothing"])
async def test_every_answer_carries_the_security_headers(path: str, anyone: httpx.AsyncClient) -> None:
    headers = (await anyone.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/docs", "/login", "/docs/problems"])
async def test_page_asks_nothing_of_other_hosts_and_has_no_script_inside(path: str, anyone: httpx.AsyncClient) -> None:
    text = (await anyone.get(path)).text
    assert not re.search(r'(src|href)="(https?:)?//', text)
    assert not re.search(r"<script(?![^>]*src=)", text)
    assert " onclick=" not in text


def test_openapi_document_is_3_1_and_names_keys_problems_and_models(app: FastAPI) -> None:
    document = app.openapi()
    assert document["openapi"].startswith("3.1")
    assert set(document["components"]["securitySchemes"]) == {"HTTPBearer", "APIKeyHeader"}
    forecast = document["paths"]["/api/v1/forecast/{symbol}"]["get"]
    assert forecast["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Forecast")
    assert "4XX" in forecast["responses"]
    assert all(operation.get("description") for methods in document["paths"].values() for operation in methods.values())
