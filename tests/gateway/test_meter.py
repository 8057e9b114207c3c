"""What the gateway counts."""

from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from deployments.gateway.app import create_app
from deployments.gateway.meter import BOUNDS_MS, Tally
from deployments.gateway.settings import GatewaySettings
from tests.fakes.gateway import Fakes

ROUTE = (("endpoint", "/a"), ("method", "GET"), ("status", "200"))


def test_requests_are_counted_by_route_and_latency() -> None:
    tally = Tally()
    for duration_ms in (0.5, 1.0, 3.0, 99_999.0):
        tally.request("/a", "GET", 200, duration_ms)
    counts = tally.take()
    assert counts["requests", ROUTE] == 4
    assert counts["request_ms", ROUTE] == pytest.approx(100_003.5)
    buckets = {dict(tags)["le"]: count for (name, tags), count in counts.items() if name == "request_ms_bucket"}
    assert (buckets["1"], buckets["2.5"], buckets["5"], buckets["10000"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert len(buckets) == len(BOUNDS_MS) + 1


def test_what_was_taken_is_not_counted_again() -> None:
    woken: list[bool] = []
    tally = Tally(lambda: woken.append(True))
    for _ in range(3):
        tally.read("candle_reads", "hit")
    assert tally.take() == {("candle_reads", (("outcome", "hit"),)): 3}
    assert tally.take() == {}
    tally.read("forecast_reads", "miss")
    assert len(woken) == 2


async def test_every_answer_is_measured_by_the_template_of_its_route(
    fakes: Fakes, settings: GatewaySettings, keys: dict[str, str]
) -> None:
    tally = Tally()
    app = create_app(fakes.services, settings, meter=tally)
    headers = {"X-API-Key": keys["read"]}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://candlecast.test") as client:
        for _ in range(3):
            await client.get("/api/v1/data/BTCUSD?limit=3", headers=headers)
        await client.get("/api/v1/data/NOPE", headers=headers)
        await client.get("/api/v1/data/BTCUSD")
        await client.get("/livez")
        for method in ("BREW", "WHEN"):
            await client.request(method, "/livez")
    assert dict(requests(tally.take().items())) == {
        ("/api/v1/data/{symbol}", "200"): 3,
        ("/api/v1/data/{symbol}", "404"): 1,
        ("(unknown)", "401"): 1,
        ("/livez", "200"): 1,
        ("/livez", "405"): 2,
    }


def requests(counts: Iterable[tuple[Any, float]]) -> Iterable[tuple[tuple[str, str], float]]:
    for (name, tags), count in counts:
        if name == "requests":
            yield (dict(tags)["endpoint"], dict(tags)["status"]), count
