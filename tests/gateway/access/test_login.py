"""The way into the dashboard: a link that works once, a cookie that nobody forges, changes from this origin only."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from deployments.gateway.access.login import LoginLinks, Sessions
from deployments.gateway.models import CallerKind, Scope
from tests.fakes.gateway import NOW

ORIGIN = {"Origin": "http://candlecast.test"}


async def sign_in(app: FastAPI, client: httpx.AsyncClient, scope: Scope = Scope.OPERATE) -> httpx.Response:
    token = app.state.parts.links.create(60.0, (scope,))
    return await client.get(f"/login?token={token}")


def test_link_works_once(tmp_path: Path) -> None:
    links = LoginLinks(tmp_path / "auth")
    token = links.create(60.0, (Scope.READ,))
    assert links.redeem(token) == frozenset({Scope.READ})
    assert links.redeem(token) is None


def test_link_works_once_however_many_try(tmp_path: Path) -> None:
    token = LoginLinks(tmp_path).create(60.0)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda _: LoginLinks(tmp_path).redeem(token), range(32)))
    assert sum(scopes is not None for scopes in won) == 1


def test_link_ends_with_its_time(tmp_path: Path) -> None:
    token = LoginLinks(tmp_path, lambda: NOW).create(60.0)
    assert LoginLinks(tmp_path, lambda: NOW + timedelta(seconds=60)).redeem(token) is None


def test_expired_links_are_swept_by_the_next(tmp_path: Path) -> None:
    LoginLinks(tmp_path, lambda: NOW).create(60.0)
    LoginLinks(tmp_path, lambda: NOW + timedelta(hours=1)).create(60.0)
    assert len(list((tmp_path / "links").iterdir())) == 1


@pytest.mark.parametrize("token", ["", "x", "../keys.json", "é" * 50])
def test_invented_token_opens_nothing(token: str, tmp_path: Path) -> None:
    assert LoginLinks(tmp_path).redeem(token) is None


def test_session_is_read_by_every_replica_and_ends(tmp_path: Path) -> None:
    cookie = Sessions(tmp_path, lambda: NOW).issue((Scope.OPERATE,), 60.0)
    caller = Sessions(tmp_path, lambda: NOW + timedelta(seconds=59)).read(cookie)
    assert caller is not None
    assert (caller.kind, caller.scopes) == (CallerKind.SESSION, frozenset({Scope.OPERATE}))
    assert Sessions(tmp_path, lambda: NOW + timedelta(seconds=60)).read(cookie) is None


def test_secret_is_private_and_stays(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Sessions(tmp_path), range(16)))
    secret = tmp_path / "session.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["session.secret"]


@pytest.mark.parametrize("change", [lambda c: "x" + c, lambda c: c[:-1], lambda c: c.replace(".", ""), lambda _: "é.é"])
def test_forged_session_is_nobody(change: "object", tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    cookie = sessions.issue((Scope.ADMIN,), 60.0)
    assert callable(change)
    assert sessions.read(change(cookie)) is None
    assert Sessions(tmp_path / "other").read(cookie) is None


async def test_link_opens_a_session_with_a_careful_cookie(app: FastAPI, anyone: httpx.AsyncClient) -> None:
    answer = await sign_in(app, anyone)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "max-age=604800", "path=/"))
    assert (await anyone.get("/api/v1/models")).status_code == 200
    assert (await anyone.get("/")).text.startswith("<!doctype html><title>Candlecast")


async def test_session_over_tls_is_for_tls_only(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://candlecast.test") as client:
        assert "secure" in (await sign_in(app, client)).headers["set-cookie"].lower()


async def test_spent_link_says_so(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.get("/login?token=spent")
    assert answer.status_code == 401
    assert "does not work any more" in answer.text


async def test_stranger_sees_how_to_sign_in(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.get("/")
    assert answer.status_code == 401
    assert "candlecast login" in answer.text


async def test_admin_makes_a_link_that_opens_a_lesser_session(
    admin: httpx.AsyncClient, anyone: httpx.AsyncClient
) -> None:
    link = (await admin.post("/api/v1/login-links", json={"scope": "read", "ttl_s": 30})).json()
    assert link["expires_at"] == "2024-06-01T12:30:30Z"
    await anyone.get(link["url_path"])
    assert (await anyone.get("/api/v1/models")).status_code == 200
    assert (await anyone.post("/api/v1/sync/stop", headers=ORIGIN)).status_code == 403


async def test_session_tells_what_it_may_do(app: FastAPI, anyone: httpx.AsyncClient) -> None:
    await sign_in(app, anyone)
    told = (await anyone.get("/api/v1/session")).json()
    assert (told["kind"], told["scopes"]) == ("session", ["read", "operate"])


async def test_key_is_told_its_name_and_every_scope_it_includes(admin: httpx.AsyncClient) -> None:
    told = (await admin.get("/api/v1/session")).json()
    assert told == {"name": "key admin", "kind": "key", "scopes": ["read", "operate", "admin"]}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (ORIGIN, 202),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "cross-site", **ORIGIN}, 403),
        ({"Sec-Fetch-Site": "same-site", **ORIGIN}, 403),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "http://candlecast.test:81"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
async def test_session_changes_things_only_from_its_own_origin(
    headers: dict[str, str], status: int, app: FastAPI, anyone: httpx.AsyncClient
) -> None:
    await sign_in(app, anyone)
    assert (await anyone.post("/api/v1/sync/stop", headers=headers)).status_code == status


async def test_key_needs_no_origin(admin: httpx.AsyncClient) -> None:
    assert (await admin.post("/api/v1/sync/stop", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 202


async def test_signing_out_ends_the_session_in_this_browser(app: FastAPI, anyone: httpx.AsyncClient) -> None:
    await sign_in(app, anyone)
    assert (await anyone.post("/logout")).status_code == 403
    assert (await anyone.post("/logout", headers=ORIGIN)).status_code == 204
    assert not list(anyone.cookies)
    assert (await anyone.get("/api/v1/models")).status_code == 401


def test_two_stacks_on_one_host_have_cookies_of_their_own(tmp_path: Path) -> None:
    first, again, second = Sessions(tmp_path / "a"), Sessions(tmp_path / "a"), Sessions(tmp_path / "b")

    assert first.cookie_name == again.cookie_name != second.cookie_name
