"""The EasyInsight adapter against an upstream that behaves, fails, dawdles and talks rubbish."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest
import stamina

from deployments.common.errors import BadUpstream, Unavailable, UnknownSymbol, UpstreamTimeout
from deployments.market_data.breaker import Breaker
from deployments.market_data.easyinsight import ATTEMPTS, MAX_BODY_BYTES, EasyInsightSource
from deployments.market_data.models import CANDLE_SCHEMA, Category, Interval, Source

START = datetime(2024, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=3)
CANDLE: dict[str, Any] = {
    "time": "2024-01-01T00:00:00Z",
    "open": 1,
    "high": 2.0,
    "low": 0.5,
    "close": 1.5,
    "volume": 10.0,
}

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _retries_without_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


def source(handler: Handler, base_url: str = "http://easyinsight/api") -> EasyInsightSource:
    return EasyInsightSource(base_url, timeout_s=2.0, transport=httpx.MockTransport(handler))


def answering(body: object, status: int = 200) -> EasyInsightSource:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return source(lambda _request: httpx.Response(status, content=content))


def candles_body(**changes: object) -> dict[str, object]:
    return {"symbol": "BTCUSD", "interval": "1h", "candles": [CANDLE | changes]}


async def read(upstream: EasyInsightSource) -> Any:
    return await upstream.candles("BTCUSD", Interval.H1, START, END)


async def test_candles_are_asked_for_by_window_and_come_ascending_within_it() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        hours = ["2024-01-01T02:00:00+00:00", "2023-12-31T23:00:00Z", "2024-01-01T00:00:00Z", "2024-01-01T03:00:00Z"]
        return httpx.Response(200, json={"candles": [CANDLE | {"time": hour} for hour in hours]})

    table = await read(source(answer))
    assert table.schema.equals(CANDLE_SCHEMA)
    assert table["time"].to_pylist() == [START, START + timedelta(hours=2)]
    assert asked[0].url.path == "/api/ohlcv/BTCUSD"
    assert dict(asked[0].url.params) == {
        "interval": "1h",
        "start": "2024-01-01T00:00:00Z",
        "end": "2024-01-01T03:00:00Z",
    }


async def test_no_candles_are_an_empty_table() -> None:
    table = await read(answering({"candles": []}))
    assert table.schema.equals(CANDLE_SCHEMA)
    assert table.num_rows == 0


async def test_symbols_take_what_is_said_and_guess_the_rest() -> None:
    entries = [
        {"symbol": "EURUSD", "category": "forex", "price_increment": "0.00005", "exchange": "X", "more": 1},
        {"symbol": "btc/usd"},
        {"symbol": "not a symbol!"},
    ]
    upstream = answering({"symbols": entries})
    drafts = await upstream.drafts()
    assert [draft.symbol for draft in drafts] == ["EURUSD", "BTCUSD"]
    assert drafts[0].price_increment == Decimal("0.00005")
    assert drafts[0].calendar == "forex"
    assert drafts[1].category is Category.CRYPTO
    discovered = await upstream.symbols()
    assert discovered[0].sources == (Source.EASYINSIGHT,)
    assert not discovered[0].managed


async def test_a_symbol_is_asked_for_as_easyinsight_spells_it() -> None:
    paths: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.partition(b"?")[0])
        return httpx.Response(200, json={"symbols": [{"symbol": "btc/usd"}], "candles": [CANDLE]})

    upstream = source(answer, "http://easyinsight/")
    await upstream.drafts()
    await read(upstream)
    assert paths == [b"/api/symbols", b"/api/ohlcv/btc%2Fusd"]


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>login</body></html>",
        b'{"candles": [{"time": "2024-01-01T00:00:00Z", "op',
        b'{"candles": [{"time": "2024-01-01T00:00:00Z", "open": NaN}]}',
        b"[]",
        b"",
        {"bars": []},
        {"candles": {"time": 1}},
        {"candles": [1, 2]},
        {"candles": [{"time": "2024-01-01T00:00:00Z", "open": 1.0}]},
        {"candles": [CANDLE, CANDLE]},
        {"candles": [CANDLE, CANDLE | {"time": 5}]},
        {"interval": "5m", "candles": [CANDLE]},
        candles_body(time="yesterday"),
        candles_body(time=None),
        candles_body(close=None),
        candles_body(close="much"),
        candles_body(close=True),
        candles_body(close=[1.0]),
        candles_body(close={"value": 1.0}),
        candles_body(volume=2**64 - 1) | {"candles": [CANDLE, CANDLE | {"volume": "1e999"}]},
    ],
)
async def test_rubbish_is_refused_as_bad_upstream(body: object) -> None:
    with pytest.raises(BadUpstream, match="EasyInsight"):
        await read(answering(body))


@pytest.mark.parametrize(
    "body",
    [
        {"symbols": [{"name": "BTCUSD"}]},
        {"symbols": ["BTCUSD"]},
        {"symbols": [{"symbol": "BTCUSD", "category": "art"}]},
        {"symbols": [{"symbol": "BTCUSD", "price_increment": "small"}]},
    ],
)
async def test_a_wrong_list_of_symbols_is_refused_as_bad_upstream(body: object) -> None:
    with pytest.raises(BadUpstream, match="EasyInsight"):
        await answering(body).symbols()


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, UnknownSymbol), (422, BadUpstream), (302, BadUpstream), (429, Unavailable), (500, Unavailable)],
)
async def test_a_status_means_an_error_of_ours(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        await read(answering({"detail": "no"}, status))


async def test_an_endless_answer_is_cut_off() -> None:
    with pytest.raises(BadUpstream, match="16 MiB"):
        await read(answering(b" " * (MAX_BODY_BYTES + 1)))


async def test_a_short_trouble_is_bridged_by_another_try() -> None:
    answers: Iterator[httpx.Response | Exception] = iter(
        [httpx.Response(503), httpx.ConnectError("refused"), httpx.Response(200, json=candles_body())]
    )

    def answer(_request: httpx.Request) -> httpx.Response:
        following = next(answers)
        if isinstance(following, Exception):
            raise following
        return following

    assert (await read(source(answer))).num_rows == 1


async def test_nonsense_is_not_asked_for_twice() -> None:
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(200, content=b"<html>")

    with pytest.raises(BadUpstream):
        await read(source(answer))
    assert len(calls) == 1


async def test_after_three_failures_it_is_left_alone() -> None:
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(200, content=b"<html>")

    upstream = EasyInsightSource(
        "http://e", 2.0, httpx.MockTransport(answer), Breaker("EasyInsight", clock=lambda: 0.0)
    )
    for _ in range(3):
        with pytest.raises(BadUpstream):
            await read(upstream)
    with pytest.raises(Unavailable, match="3 times in a row") as refused:
        await read(upstream)
    assert len(calls) == 3
    assert refused.value.retry_after_s == 10.0


async def test_unknown_symbols_do_not_open_the_breaker() -> None:
    upstream = answering({"detail": "no"}, 404)
    for _ in range(5):
        with pytest.raises(UnknownSymbol):
            await read(upstream)


async def test_the_probe_tells_how_fast_or_why_not() -> None:
    well = await answering({"symbols": []}).probe()
    assert (well.name, well.status) == ("easyinsight", "ok")
    assert well.latency_ms is not None
    ill = await answering({}, 503).probe()
    assert ill.status == "down"
    assert "503" in ill.reason


@asynccontextmanager
async def listening(speak: bytes | None) -> AsyncIterator[str]:
    """Listen on loopback; take each connection, say `speak` and hang up, or stay silent where it is None."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            if speak is None:
                await reader.read()
            else:
                writer.write(speak)
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()


@asynccontextmanager
async def connected(url: str, timeout_s: float = 5.0) -> AsyncIterator[EasyInsightSource]:
    upstream = EasyInsightSource(url, timeout_s)
    try:
        yield upstream
    finally:
        await upstream.aclose()


async def test_silence_ends_in_a_timeout() -> None:
    async with listening(None) as url, connected(url, timeout_s=0.2) as upstream:
        with pytest.raises(UpstreamTimeout, match=r"EasyInsight"):
            await read(upstream)


async def test_a_refused_connection_is_unavailable() -> None:
    async with listening(None) as url:
        pass
    async with connected(url) as upstream:
        with pytest.raises(Unavailable, match="not reachable"):
            await read(upstream)


@pytest.mark.parametrize(
    "words",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"candles": [',
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    ],
)
async def test_half_an_answer_and_other_protocols_are_bad_upstream(words: bytes) -> None:
    async with listening(words) as url, connected(url) as upstream:
        with pytest.raises(BadUpstream):
            await read(upstream)


@pytest.mark.parametrize("url", ["easyinsight", "ftp://easyinsight"])
async def test_an_address_that_is_no_http_is_said_so(url: str) -> None:
    async with connected(url) as upstream:
        with pytest.raises(BadUpstream, match="EASYINSIGHT_API_URL"):
            await read(upstream)
