"""The demo market over HTTP, without a socket."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from deployments.local_stack.demo_bars import DemoHistory
from deployments.local_stack.demo_generator import EPOCH
from deployments.local_stack.demo_market import create_app
from deployments.market_data.easyinsight.source import EasyInsightSource
from deployments.market_data.models import CANDLE_SCHEMA, Category, Interval

NOW = EPOCH + timedelta(weeks=6, hours=10, minutes=20)


@pytest.fixture(scope="module")
def transport() -> httpx.ASGITransport:
    return httpx.ASGITransport(app=create_app(DemoHistory(seed=7, days=30, now=NOW), lambda: NOW))


@pytest.fixture
async def client(transport: httpx.ASGITransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport, base_url="http://demo") as client:
        yield client


async def test_symbols_are_listed_with_what_a_desk_needs(client: httpx.AsyncClient) -> None:
    symbols = {entry["symbol"]: entry for entry in (await client.get("/api/symbols")).json()["symbols"]}
    assert symbols["EURUSD"]["category"] == "forex"
    assert symbols["EURUSD"]["calendar"] == "forex"
    assert symbols["BTCUSD"]["quote_currency"] == "USD"
    assert symbols["AAPL"]["price_increment"] == "0.01"


async def test_candles_come_in_easyinsights_shape_with_the_forming_one(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/api/ohlcv/BTCUSD", params={"interval": "1h"})).json()
    assert answer["symbol"] == "BTCUSD"
    assert answer["interval"] == "1h"
    assert list(answer["candles"][0]) == ["time", "open", "high", "low", "close", "volume"]
    assert answer["candles"][-1]["time"] == "2024-02-12T10:00:00Z"


async def test_a_window_is_half_open(client: httpx.AsyncClient) -> None:
    window = {"interval": "1h", "start": "2024-02-10T00:00:00Z", "end": "2024-02-10T03:00:00+00:00"}
    times = [c["time"] for c in (await client.get("/api/ohlcv/ETHUSD", params=window)).json()["candles"]]
    assert times == ["2024-02-10T00:00:00Z", "2024-02-10T01:00:00Z", "2024-02-10T02:00:00Z"]


async def test_a_window_in_the_future_is_empty(client: httpx.AsyncClient) -> None:
    window = {"start": "2030-01-01T00:00:00Z", "end": "2030-01-02T00:00:00Z"}
    answer = await client.get("/api/ohlcv/BTCUSD", params=window)
    assert answer.status_code == 200
    assert answer.json()["candles"] == []


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"interval": "7m"}, "interval"),
        ({"start": "yesterday"}, "start"),
        ({"start": "2024-02-10T00:00:00Z", "end": "2024-02-10T00:00:00Z"}, "start"),
        ({"interval": "5m", "start": "2020-01-01T00:00:00Z"}, "start"),
    ],
)
async def test_a_malformed_question_is_answered_422(
    client: httpx.AsyncClient, parameters: dict[str, str], field: str
) -> None:
    answer = await client.get("/api/ohlcv/BTCUSD", params=parameters)
    assert answer.status_code == 422
    assert field in answer.json()["fields"]


async def test_an_unknown_symbol_is_answered_404(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/ohlcv/NOSUCH")
    assert answer.status_code == 404
    assert "NOSUCH" in answer.json()["detail"]


async def test_our_adapter_reads_it(transport: httpx.ASGITransport) -> None:
    source = EasyInsightSource("http://demo/api", transport=transport)
    drafts = {draft.symbol: draft for draft in await source.drafts()}
    assert drafts["SPX"].category is Category.INDEX
    assert drafts["SPX"].calendar == "XNYS"
    end = datetime(2024, 2, 12, tzinfo=UTC)
    table = await source.candles("BTCUSD", Interval.H1, end - timedelta(days=3), end)
    assert table.schema.equals(CANDLE_SCHEMA)
    assert table.num_rows == 72
