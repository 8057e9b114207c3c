"""Hot reads of candles: byte for byte what the route itself says, to the same callers, under the same limits."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.common.errors import DatabaseUnavailable, Unavailable
from deployments.gateway.access.keys import KeyRing
from deployments.gateway.app import create_app
from deployments.gateway.boundary import SECURITY_HEADERS
from deployments.gateway.models import Scope
from deployments.gateway.settings import GatewaySettings
from deployments.gateway.wire.candle_formats import (
    ARROW_TYPE,
    CSV_TYPE,
    JSON_TYPE,
    Layout,
    candles_arrow,
    candles_csv,
    candles_json,
    chosen_type,
    provenance,
)
from deployments.gateway.wire.kept_answers import FRESH_S
from deployments.gateway.wire.representation import Representation
from deployments.market_data.models import CandleQuery
from tests.fakes.asgi import Aged, told
from tests.fakes.gateway import NOW, Fakes

PATH = "/api/v1/data/BTCUSD?limit=300"
ACCEPTS = ("", "*/*", JSON_TYPE, ARROW_TYPE, CSV_TYPE, "text/csv;q=0.5, application/json")
CODINGS = ("identity", "gzip", "zstd", "br", "zstd;q=0, gzip", "*")


@pytest.fixture
async def slow(fakes: Fakes) -> AsyncIterator[httpx.AsyncClient]:
    """The same candles from a route without any memory, behind the layer that tags and compresses."""

    async def candles(request: Request) -> Response:
        found = await fakes.market_data.held.candles(CandleQuery("BTCUSD", limit=300))
        headers, chosen = {"Vary": "Accept"}, chosen_type(request.headers.get("accept", ""))
        if chosen == ARROW_TYPE:
            return Response(candles_arrow(found), 200, headers | provenance(found), ARROW_TYPE)
        if chosen == CSV_TYPE:
            return Response(candles_csv(found), 200, headers | provenance(found), CSV_TYPE)
        layout = Layout(request.query_params.get("format", "rows"))
        return Response(candles_json(found, layout), 200, headers, JSON_TYPE)

    app = Representation(Starlette(routes=[Route("/api/v1/data/BTCUSD", candles)]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://slow.test") as client:
        yield client


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize("coding", CODINGS)
async def test_hot_answer_equals_the_one_made_without_memory(
    coding: str, accept: str, layout: Layout, app: FastAPI, reader: httpx.AsyncClient, slow: httpx.AsyncClient
) -> None:
    path = f"{PATH}&format={layout}"
    headers = {"Accept": accept, "Accept-Encoding": coding, "X-Request-ID": "mine"}
    status, expected, body = await told(slow, path, headers)
    expected |= {name.lower(): value for name, value in SECURITY_HEADERS.items()} | {"x-request-id": "mine"}
    assert [await told(reader, path, headers) for _ in range(3)] == [(status, expected, body)] * 3
    assert (app.state.parts.candles.hits, app.state.parts.candles.misses) == (2, 1)

    known = headers | {"If-None-Match": f'"x", {expected["etag"]}'}
    status, expected, _ = await told(slow, path, known)
    expected |= {name.lower(): value for name, value in SECURITY_HEADERS.items()} | {"x-request-id": "mine"}
    assert status == 304
    assert await told(reader, path, known) == (status, expected, b"")


async def test_spellings_of_one_question_share_an_answer(app: FastAPI, reader: httpx.AsyncClient) -> None:
    for path in (PATH, f"{PATH}&interval=1h", "/api/v1/data/%42TCUSD?interval=1h&limit=300&format=rows"):
        for _ in range(2):
            assert (await reader.get(path)).status_code == 200
    assert (app.state.parts.candles.entries, app.state.parts.candles.misses) == (1, 1)


async def test_other_symbols_windows_and_forms_have_answers_of_their_own(reader: httpx.AsyncClient) -> None:
    paths = (
        "/api/v1/data/BTCUSD?limit=3",
        "/api/v1/data/ETHUSD?limit=3",
        "/api/v1/data/BTCUSD?limit=4",
        "/api/v1/data/BTCUSD?limit=3&as_of=2024-05-20",
        "/api/v1/data/BTCUSD?limit=3&format=columns",
        "/api/v1/data/BTCUSD?start=2024-05-30&end=2024-05-31",
    )
    first = [(await reader.get(path)).content for path in paths]
    assert len(set(first)) == len(paths)
    assert [(await reader.get(path)).content for path in paths] == first


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/data/NOPE", 404), ("/api/v1/data/BTCUSD?limit=0", 422), ("/api/v1/data/BTCUSD/x", 404)],
)
async def test_refusals_are_not_kept(path: str, status: int, app: FastAPI, reader: httpx.AsyncClient) -> None:
    for _ in range(3):
        assert (await reader.get(path)).status_code == status
    assert (app.state.parts.candles.entries, app.state.parts.candles.hits) == (0, 0)


async def test_stranger_neither_fills_nor_reads_the_memory(
    app: FastAPI, anyone: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    assert (await anyone.get(PATH)).status_code == 401
    assert app.state.parts.candles.entries == 0
    assert (await reader.get(PATH)).status_code == 200
    assert (await anyone.get(PATH)).status_code == 401


async def test_revoked_key_is_refused_a_hot_answer(fakes: Fakes, settings: GatewaySettings, tmp_path: Path) -> None:
    ring = KeyRing(settings.home / "auth")
    key = ring.create("short", (Scope.READ,))
    app = create_app(fakes.services, settings, clock=lambda: NOW)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://candlecast.test") as client:
        headers = {"X-API-Key": key}
        assert [(await client.get(PATH, headers=headers)).status_code for _ in range(2)] == [200, 200]
        app.state.parts.keys.revoke("short")
        assert (await client.get(PATH, headers=headers)).status_code == 401


async def test_hot_answers_count_against_the_rate(
    fakes: Fakes, settings: GatewaySettings, keys: dict[str, str]
) -> None:
    app = create_app(fakes.services, replace(settings, rate_per_s=0.001, burst=3))
    headers = {"X-API-Key": keys["read"]}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://candlecast.test") as client:
        assert [(await client.get(PATH, headers=headers)).status_code for _ in range(4)] == [200, 200, 200, 429]


async def test_hot_answers_are_logged_as_the_others(app: FastAPI, fakes: Fakes, reader: httpx.AsyncClient) -> None:
    for number in range(2):
        await reader.get(PATH, headers={"X-Request-ID": f"id{number}"})
    await app.state.parts.queries.flush()
    logged = [(each.endpoint, each.status, each.rows, each.request_id) for each in fakes.market_data.entries]
    assert logged == [("/api/v1/data/{symbol}", 200, 300, f"id{number}") for number in range(2)]


async def test_changed_bar_is_told_when_the_second_is_over(fakes: Fakes, aged: Aged) -> None:
    first = await aged.client.get(PATH)
    fakes.market_data.append("BTCUSD", 123.0)
    assert (await aged.client.get(PATH)).content == first.content
    aged.seconds += FRESH_S + 0.01
    assert (await aged.client.get(PATH)).json()["candles"][-1]["close"] == 123.0


async def test_failure_of_market_data_reaches_the_client_as_ever(fakes: Fakes, aged: Aged) -> None:
    await aged.client.get(PATH)
    fakes.market_data.error = DatabaseUnavailable("away", 7.0)
    cold = await told(aged.client, "/api/v1/data/ETHUSD", {"X-Request-ID": "mine"})
    aged.seconds += FRESH_S + 0.01
    hot = await told(aged.client, PATH, {"X-Request-ID": "mine"})
    assert hot == cold
    assert (hot[0], hot[1]["retry-after"]) == (503, "7")


async def test_replica_that_dies_under_a_hot_read_is_asked_twice(fakes: Fakes, aged: Aged) -> None:
    await aged.client.get(PATH)
    calls = fakes.market_data.calls
    aged.seconds += FRESH_S + 0.01
    fakes.market_data.error = Unavailable("gone", 1.0)
    assert (await aged.client.get(PATH)).status_code == 503
    assert fakes.market_data.calls == calls + 2


async def test_statistics_count_hits_and_bytes(reader: httpx.AsyncClient) -> None:
    for _ in range(3):
        await reader.get(PATH)
    cache = (await reader.get("/api/v1/system/stats")).json()["cache"]
    assert (cache["candle_answers"], cache["candle_hits"], cache["candle_misses"]) == (1, 2, 1)
    assert cache["candle_bytes"] > 300
