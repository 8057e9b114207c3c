"""Names and windows that nobody should send, at every route that takes one, over the real market data service."""

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest

from deployments.gateway.app import create_app
from deployments.gateway.settings import GatewaySettings
from deployments.market_data.models import SymbolDraft
from tests.fakes.gateway import Fakes
from tests.fakes.market_desk import NOW, Desk

NAMES = {
    "climbing": "../../etc",
    "injection": "'; drop table ohlcv_1h; --",
    "long": "A" * 1_000,
    "emoji": "💰💰",
    "short": "A",
    "dash first": "-rf",
    "null byte": "BTC\x00USD",
    "line break": "BTCUSD\n",
    "right to left": "BTC\u202eUSD",
    "wide digits": "BTC\uff11\uff12",
    "space": "BTC USD",
    "wildcard": "BTC%",
}
PATHS = (
    "/data/{}",
    "/data/{}/latest",
    "/data/{}/quality",
    "/forecast/{}",
    "/forecast/{}/history",
    "/forecast/{}/accuracy",
    "/analogues/{}",
    "/managed-symbols/{}",
    "/knowledge/search?q=rally&symbol={}",
    "/analyses?symbol={}",
)


@pytest.fixture
async def client(
    fakes: Fakes, desk: Desk, settings: GatewaySettings, keys: dict[str, str]
) -> AsyncIterator[httpx.AsyncClient]:
    """The app over the real market data service on memory, BTCUSD managed, with the key that may do everything."""
    await desk.service.create_symbol(SymbolDraft("BTCUSD"))
    app = create_app(replace(fakes.services, market_data=desk.service), settings, clock=lambda: NOW)
    headers = {"X-API-Key": keys["admin"]}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://candlecast.test", headers=headers) as client:
        yield client


@pytest.fixture
def desk() -> Desk:
    return Desk()


def twice_encoded(name: str) -> str:
    """Return a name whose every byte is percent-encoded, dots and letters too."""
    return "".join(f"%{byte:02x}" for byte in name.encode())


def refused(answer: httpx.Response, field: str) -> None:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in {item["field"] for item in answer.json()["fields"]}


@pytest.mark.parametrize("path", PATHS)
async def test_impossible_symbols_are_refused_by_name(path: str, client: httpx.AsyncClient) -> None:
    for name in NAMES.values():
        for spelling in (quote(name, safe=""), twice_encoded(name)):
            refused(await client.get("/api/v1" + path.format(spelling)), "symbol")


async def test_impossible_symbols_cannot_be_managed_or_analysed(client: httpx.AsyncClient) -> None:
    for name in NAMES.values():
        path = f"/api/v1/managed-symbols/{quote(name, safe='')}"
        refused(await client.post("/api/v1/managed-symbols", json={"symbol": name}), "symbol")
        refused(await client.post("/api/v1/analyze", json={"symbol": name}), "symbol")
        refused(await client.put(path, json={"symbol": "BTCUSD"}), "symbol")
        refused(await client.delete(path), "symbol")


@pytest.mark.parametrize("batch", ["data", "forecast"])
async def test_impossible_symbols_in_a_batch_fail_alone(batch: str, client: httpx.AsyncClient) -> None:
    names = [name for name in NAMES.values() if name == name.strip()]  # space around a name is no part of it
    listed = quote(",".join(["ETHUSD", *names]), safe="")
    errors = (await client.get(f"/api/v1/{batch}/batch?symbols={listed}")).json()["errors"]
    assert {name for name, problem in errors.items() if problem["status"] == 422} == set(names)
    assert {problem["fields"][0]["field"] for name, problem in errors.items() if name in names} == {"symbols"}


@pytest.mark.parametrize("days", ["-1", "0", "NaN", "nan", "inf", "-inf", "Infinity", "1e9", "1e309", "", "x", "0x10"])
@pytest.mark.parametrize("path", ["/data/BTCUSD", "/data/batch?symbols=BTCUSD"])
async def test_impossible_lookback_is_refused_by_name(path: str, days: str, client: httpx.AsyncClient) -> None:
    joint = "&" if "?" in path else "?"
    refused(await client.get(f"/api/v1{path}{joint}lookback_days={days}"), "lookback_days")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=50001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e3", "limit"),
        ("interval=1m&lookback_days=35", "lookback_days"),
        ("interval=1h&lookback_days=2084", "lookback_days"),
        ("interval=1h&start=2000-01-01", "start"),
        ("interval=1m&start=2026-01-01&end=2026-02-10", "start"),
        ("start=2026-02-02&end=2026-02-01", "start"),
        ("start=2026-02-02&lookback_days=3", "lookback_days"),
    ],
)
async def test_window_that_is_too_large_or_none_is_refused_by_name(
    query: str, field: str, client: httpx.AsyncClient
) -> None:
    answer = await client.get(f"/api/v1/data/BTCUSD?{query}")
    refused(answer, field)


@pytest.mark.parametrize("query", ["limit=50001", "interval=1m&lookback_days=35", "interval=1h&start=2000-01-01"])
async def test_refusal_of_too_many_candles_names_the_limit(query: str, client: httpx.AsyncClient) -> None:
    told = str((await client.get(f"/api/v1/data/BTCUSD?{query}")).json()["fields"])
    assert "50000" in told.replace(",", "")


async def test_largest_window_is_allowed(client: httpx.AsyncClient) -> None:
    for query in ("limit=50000", "interval=1m&lookback_days=34.7"):
        assert (await client.get(f"/api/v1/data/BTCUSD?{query}")).status_code == 404  # no candles, which is no refusal


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/models/..%2f..%2fetc", "version"),
        ("/training/..%2Fetc", "id"),
        ("/analyses/%2e%2e%2f", "id"),
        ("/data/%2e%2e%2f%2e%2e%2fetc/latest", "symbol"),
    ],
)
async def test_name_with_an_encoded_slash_is_refused_by_name(path: str, field: str, client: httpx.AsyncClient) -> None:
    refused(await client.get(f"/api/v1{path}"), field)


async def test_unknown_path_without_a_name_stays_unknown(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/nothing", "/api/v1/data/BTCUSD/nothing", "/api/v1/data/BTCUSD?x=%2f", "/a%2fb"):
        assert (await client.get(path)).status_code == 404
