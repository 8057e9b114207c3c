"""Every route, for everybody: one table says what each caller gets, and it must name every route there is."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI

from deployments.gateway.models import Scope

API = "/api/v1"
SYMBOL = {"symbol": "SOLUSD"}


class Route(NamedTuple):
    """A route, a request that fits it, and its answer to those who may."""

    needs: Scope | None
    method: str
    template: str
    path: str
    status: int = 200
    body: dict[str, Any] | None = None


ROUTES = (
    Route(None, "GET", "/livez", "/livez"),
    Route(None, "GET", "/health", "/health"),
    Route(Scope.READ, "GET", f"{API}/health", f"{API}/health"),
    Route(Scope.READ, "GET", f"{API}/system/stats", f"{API}/system/stats"),
    Route(Scope.OPERATE, "GET", f"{API}/query-logs", f"{API}/query-logs?limit=5&min_duration_ms=1"),
    Route(Scope.READ, "GET", f"{API}/symbols", f"{API}/symbols"),
    Route(Scope.READ, "GET", f"{API}/managed-symbols", f"{API}/managed-symbols?category=crypto&q=b"),
    Route(Scope.OPERATE, "POST", f"{API}/managed-symbols", f"{API}/managed-symbols", 201, SYMBOL),
    Route(Scope.READ, "GET", f"{API}/managed-symbols/{{symbol}}", f"{API}/managed-symbols/BTCUSD"),
    Route(
        Scope.OPERATE,
        "PUT",
        f"{API}/managed-symbols/{{symbol}}",
        f"{API}/managed-symbols/BTCUSD",
        200,
        {"symbol": "BTCUSD"},
    ),
    Route(Scope.OPERATE, "DELETE", f"{API}/managed-symbols/{{symbol}}", f"{API}/managed-symbols/BTCUSD", 204),
    Route(Scope.READ, "GET", f"{API}/data/batch", f"{API}/data/batch?symbols=BTCUSD,ETHUSD&lookback_days=2"),
    Route(Scope.READ, "GET", f"{API}/data/{{symbol}}", f"{API}/data/BTCUSD?interval=1h&lookback_days=2"),
    Route(Scope.READ, "GET", f"{API}/data/{{symbol}}/latest", f"{API}/data/BTCUSD/latest"),
    Route(Scope.READ, "GET", f"{API}/data/{{symbol}}/quality", f"{API}/data/BTCUSD/quality"),
    Route(Scope.READ, "GET", f"{API}/forecast/batch", f"{API}/forecast/batch?symbols=BTCUSD,ETHUSD"),
    Route(Scope.READ, "GET", f"{API}/forecast/{{symbol}}", f"{API}/forecast/BTCUSD?horizon=12&level=80,90"),
    Route(Scope.READ, "GET", f"{API}/forecast/{{symbol}}/history", f"{API}/forecast/BTCUSD/history?limit=3"),
    Route(Scope.READ, "GET", f"{API}/forecast/{{symbol}}/accuracy", f"{API}/forecast/BTCUSD/accuracy"),
    Route(Scope.READ, "GET", f"{API}/accuracy", f"{API}/accuracy"),
    Route(Scope.READ, "GET", f"{API}/models", f"{API}/models"),
    Route(Scope.READ, "GET", f"{API}/models/{{version}}", f"{API}/models/v1"),
    Route(Scope.ADMIN, "POST", f"{API}/models/{{version}}/promote", f"{API}/models/v1/promote", 200, {"force": True}),
    Route(Scope.ADMIN, "POST", f"{API}/models/rollback", f"{API}/models/rollback", 409),
    Route(Scope.OPERATE, "POST", f"{API}/training", f"{API}/training", 202, {"symbols": ["BTCUSD"]}),
    Route(Scope.READ, "GET", f"{API}/training", f"{API}/training"),
    Route(Scope.READ, "GET", f"{API}/training/{{id}}", f"{API}/training/run-1"),
    Route(Scope.READ, "GET", f"{API}/training/{{id}}/logs", f"{API}/training/run-2/logs", 404),
    Route(Scope.OPERATE, "DELETE", f"{API}/training/{{id}}", f"{API}/training/run-1"),
    Route(Scope.READ, "GET", f"{API}/knowledge/search", f"{API}/knowledge/search?q=rally&k=3"),
    Route(Scope.READ, "GET", f"{API}/analogues/{{symbol}}", f"{API}/analogues/BTCUSD?window=24"),
    Route(Scope.READ, "GET", f"{API}/sync/status", f"{API}/sync/status"),
    Route(Scope.OPERATE, "POST", f"{API}/sync/start", f"{API}/sync/start", 202),
    Route(Scope.OPERATE, "POST", f"{API}/sync/stop", f"{API}/sync/stop", 202),
    Route(Scope.OPERATE, "POST", f"{API}/sync/trigger", f"{API}/sync/trigger", 202),
    Route(Scope.READ, "POST", f"{API}/analyze", f"{API}/analyze", 200, {"symbol": "BTCUSD", "language": "de"}),
    Route(Scope.READ, "GET", f"{API}/analyses", f"{API}/analyses?symbol=BTCUSD"),
    Route(Scope.READ, "GET", f"{API}/analyses/{{id}}", f"{API}/analyses/a1"),
    # Its endless answer to those who may is the subject of test_events.py; here it refuses an overlong header.
    Route(Scope.READ, "GET", f"{API}/events", f"{API}/events", 422),
    Route(Scope.READ, "GET", f"{API}/session", f"{API}/session"),
    Route(Scope.ADMIN, "POST", f"{API}/login-links", f"{API}/login-links", 201, {"scope": "read"}),
)

CALLERS = ("", "read", "operate", "admin")


def expected_status(route: Route, caller: str) -> int:
    if route.needs is None:
        return route.status
    if not caller:
        return 401
    return route.status if Scope(caller).rank >= route.needs.rank else 403


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.template}")
async def test_route_answers_each_caller_as_documented(
    route: Route, caller: str, anyone: httpx.AsyncClient, keys: dict[str, str]
) -> None:
    headers = {"Authorization": f"Bearer {keys[caller]}"} if caller else {}
    if route.template.endswith("/events"):
        headers["Last-Event-ID"] = "x" * 100
    answer = await anyone.request(route.method, route.path, json=route.body, headers=headers)
    assert answer.status_code == expected_status(route, caller), answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


def test_table_names_every_documented_route(app: FastAPI) -> None:
    assert {(route.method, route.template) for route in ROUTES} == set(_documented(app))


def _documented(app: FastAPI) -> Iterator[tuple[str, str]]:
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path


@pytest.mark.parametrize("path", ["/docs", "/docs/problems", "/docs/start.js", "/login", "/openapi.json"])
async def test_page_is_open(path: str, anyone: httpx.AsyncClient) -> None:
    assert (await anyone.get(path)).status_code == 200


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
async def test_wrong_key_is_refused_even_beside_nothing_else(header: str, anyone: httpx.AsyncClient) -> None:
    answer = await anyone.get(f"{API}/models", headers={header: "Bearer cck_wrong"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_path_below_api_does_not_tell_strangers_what_exists(
    anyone: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    assert (await anyone.get(f"{API}/nothing")).status_code == 401
    assert (await reader.get(f"{API}/nothing")).status_code == 404


async def test_stranger_with_broken_body_learns_only_that_a_key_is_missing(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.post(f"{API}/analyze", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401
