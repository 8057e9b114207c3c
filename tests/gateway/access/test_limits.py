"""Rates per key, with a clock that the test moves, and the query log's lots."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from deployments.common.errors import LlmUnavailable, RateLimited
from deployments.gateway.access.limits import MAX_BUCKETS, RateLimiter, StreamSlots
from deployments.gateway.app import create_app
from deployments.gateway.boundary import CLIENT_LEFT
from deployments.gateway.query_log import LOT, QueryLog
from deployments.gateway.settings import GatewaySettings
from deployments.market_data.models import QueryLogEntry
from tests.fakes.asgi import streamed
from tests.fakes.gateway import NOW, Fakes

ENTRY = QueryLogEntry(NOW, "/api/v1/models", "GET", 200, 1.0, 0, "id")


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_burst_passes_and_the_next_waits() -> None:
    ticks = Ticks()
    limiter = RateLimiter(10.0, 3, ticks)
    assert [limiter.wait_s("a") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limiter.wait_s("a") == pytest.approx(0.1)
    assert limiter.wait_s("b") == 0.0
    ticks.now += 0.1
    assert limiter.wait_s("a") == 0.0


def test_pause_gives_no_more_than_the_burst() -> None:
    ticks = Ticks()
    limiter = RateLimiter(10.0, 2, ticks)
    ticks.now += 3_600
    assert sum(limiter.wait_s("a") == 0.0 for _ in range(5)) == 2


def test_names_without_end_do_not_fill_the_memory() -> None:
    limiter = RateLimiter(10.0, 2, Ticks())
    for number in range(MAX_BUCKETS + 10):
        limiter.wait_s(str(number))
    assert len(limiter._buckets) == MAX_BUCKETS


async def test_key_that_asks_too_often_is_told_when_to_come_back(
    fakes: Fakes, settings: GatewaySettings, keys: dict[str, str]
) -> None:
    app = create_app(fakes.services, replace(settings, rate_per_s=0.001, burst=2))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://candlecast.test") as client:
        headers = {"X-API-Key": keys["read"]}
        answers = [await client.get("/api/v1/models", headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert int(answers[2].headers["retry-after"]) > 100
        assert (await client.get("/api/v1/models", headers={"X-API-Key": keys["admin"]})).status_code == 200
        assert (await client.get("/livez")).status_code == 200


def test_streams_of_one_name_leave_room_for_the_others() -> None:
    slots = StreamSlots(2)
    ended = slots.take("a")
    slots.take("a")
    with pytest.raises(RateLimited):
        slots.take("a")
    slots.take("b")
    ended()
    slots.take("a")


async def test_key_that_listens_to_too_many_streams_is_told_to_come_back(
    fakes: Fakes, settings: GatewaySettings, keys: dict[str, str]
) -> None:
    app = create_app(fakes.services, replace(settings, streams_per_key=2))
    headers = {"X-API-Key": keys["read"]}
    async with streamed(app, "GET", "/api/v1/events", headers):
        async with streamed(app, "GET", "/api/v1/training/run-1/logs", headers) as second:
            for method, path in (("GET", "/api/v1/events"), ("GET", "/api/v1/training/run-1/logs")):
                async with streamed(app, method, path, headers) as third:
                    assert (third.status, third.headers["retry-after"]) == (429, "5")
            async with streamed(app, "GET", "/api/v1/events", {"X-API-Key": keys["admin"]}) as other:
                assert (second.status, other.status) == (200, 200)
        async with streamed(app, "GET", "/api/v1/events", headers) as again:
            assert again.status == 200


async def test_analysis_that_fails_gives_its_place_back(
    fakes: Fakes, settings: GatewaySettings, keys: dict[str, str]
) -> None:
    app = create_app(fakes.services, replace(settings, streams_per_key=1))
    fakes.analyst.error = LlmUnavailable("away", 1.0)
    headers = {"X-API-Key": keys["read"], "Accept": "text/event-stream", "Content-Type": "application/json"}
    for _ in range(3):
        async with streamed(app, "POST", "/api/v1/analyze", headers, b'{"symbol": "BTCUSD"}') as answer:
            assert answer.status == 503


async def test_entries_are_sent_in_lots() -> None:
    lots: list[int] = []

    async def sink(entries: tuple[QueryLogEntry, ...]) -> None:
        lots.append(len(entries))

    queries = QueryLog(sink, 0.0)
    for _ in range(LOT + 1):
        queries.add(ENTRY)
    await queries.flush()
    assert (lots, queries.pending) == ([LOT, 1], 0)


async def test_entries_that_nobody_takes_are_counted_as_lost() -> None:
    async def sink(_: tuple[QueryLogEntry, ...]) -> None:
        raise RuntimeError("away")

    queries = QueryLog(sink, 0.0)
    queries.add(ENTRY)
    await queries.flush()
    assert (queries.lost, queries.pending) == (1, 0)


async def test_request_is_logged_by_its_route(app: FastAPI, fakes: Fakes, reader: httpx.AsyncClient) -> None:
    await reader.get("/api/v1/data/BTCUSD?limit=7", headers={"X-Request-ID": "mine"})
    await reader.get("/api/v1/data/NOPE")
    await reader.get("/livez")
    await app.state.parts.queries.flush()
    good, bad = fakes.market_data.entries
    assert (good.endpoint, good.method, good.status) == ("/api/v1/data/{symbol}", "GET", 200)
    assert (good.rows, good.request_id, good.time) == (7, "mine", NOW)
    assert good.duration_ms > 0
    assert (bad.status, bad.rows) == (404, 0)


async def test_stranger_writes_nothing_into_the_log(app: FastAPI, fakes: Fakes, anyone: httpx.AsyncClient) -> None:
    await anyone.get("/api/v1/data/BTCUSD")
    await app.state.parts.queries.flush()
    assert fakes.market_data.entries == []


async def test_request_whose_client_leaves_is_logged_too(app: FastAPI, fakes: Fakes, reader: httpx.AsyncClient) -> None:
    fakes.market_data.goes_on.clear()
    left = asyncio.create_task(reader.get("/api/v1/data/BTCUSD/latest"))
    async with asyncio.timeout(10):
        await fakes.market_data.asked.wait()
    left.cancel()
    await asyncio.wait({left})
    await app.state.parts.queries.flush()
    (entry,) = fakes.market_data.entries
    assert (entry.endpoint, entry.status) == ("/api/v1/data/{symbol}/latest", CLIENT_LEFT)
