"""The EasyInsight adapter against an upstream that behaves, fails, dawdles and talks rubbish."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pyarrow as pa
import pytest
import stamina

from deployments.common.errors import BadUpstream, Unavailable, UnknownSymbol, UpstreamTimeout
from deployments.market_data.easyinsight.breaker import Breaker
from deployments.market_data.easyinsight.source import ATTEMPTS, MAX_BODY_BYTES, EasyInsightSource
from deployments.market_data.ingest.feed import Feed
from deployments.market_data.models import (
    CANDLE_SCHEMA,
    SYMBOL_CANDLE_SCHEMA,
    CandleQuery,
    Category,
    Interval,
    Source,
    SymbolDraft,
)
from tests.fakes.easyinsight_server import EasyInsightServer, Mood
from tests.fakes.market_data import walk_table
from tests.fakes.market_desk import NOW, Desk

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


def with_a_list(handler: Handler) -> httpx.MockTransport:
    """Answer the list of symbols, which is asked for before the first candles, in the place of `handler`."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"symbols": []}) if request.url.path == "/api/symbols" else handler(request)

    return httpx.MockTransport(answer)


def source(handler: Handler, base_url: str = "http://easyinsight/api", lists: bool = False) -> EasyInsightSource:
    transport = httpx.MockTransport(handler) if lists else with_a_list(handler)
    return EasyInsightSource(base_url, timeout_s=2.0, transport=transport)


def answering(body: object, status: int = 200, lists: bool = False) -> EasyInsightSource:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return source(lambda _request: httpx.Response(status, content=content), lists=lists)


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
        {"symbol": "ETHUSD", "category": "art"},
        {"symbol": "LTCUSD", "price_increment": "small"},
        {"name": "ADAUSD"},
    ]
    upstream = answering({"symbols": entries}, lists=True)
    drafts = await upstream.drafts()
    assert [draft.symbol for draft in drafts] == ["EURUSD", "BTCUSD"]
    assert drafts[0].price_increment == Decimal("0.00005")
    assert drafts[0].calendar == "forex"
    assert drafts[1].category is Category.CRYPTO
    discovered = await upstream.symbols()
    assert discovered[0].sources == (Source.EASYINSIGHT,)
    assert not discovered[0].managed


class Upstream:
    """Candles under spellings that may change, and a clock; `paths` are what was asked for."""

    def __init__(self, *spellings: str) -> None:
        self.spellings = spellings
        self.paths: list[str] = []
        self.seconds = 0.0
        self.list_status = 200
        self.source = EasyInsightSource(
            "http://easyinsight/", 2.0, httpx.MockTransport(self.answer), monotonic=lambda: self.seconds
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.partition(b"?")[0].decode()
        self.paths.append(path)
        if path == "/api/symbols":
            return httpx.Response(self.list_status, json={"symbols": [{"symbol": name} for name in self.spellings]})
        known = {f"/api/ohlcv/{name.replace('/', '%2F')}" for name in self.spellings}
        return httpx.Response(200, json={"candles": [CANDLE]}) if path in known else httpx.Response(404)


async def test_a_symbol_is_asked_for_as_easyinsight_spells_it_without_discovery_first() -> None:
    upstream = Upstream("btc/usd")
    for _ in range(2):
        assert (await read(upstream.source)).num_rows == 1
    assert upstream.paths == ["/api/symbols", *["/api/ohlcv/btc%2Fusd"] * 2]


async def test_callers_at_once_ask_for_the_list_once() -> None:
    upstream = Upstream("btc/usd")
    await asyncio.gather(*(read(upstream.source) for _ in range(5)))
    assert upstream.paths.count("/api/symbols") == 1


async def test_a_spelling_that_changed_is_learnt_over_the_first_miss() -> None:
    upstream = Upstream("btc/usd")
    await read(upstream.source)
    upstream.spellings = ("BTC-USD",)
    upstream.seconds = 61.0
    assert (await read(upstream.source)).num_rows == 1


async def test_a_symbol_that_is_never_found_asks_for_the_list_once_a_minute() -> None:
    upstream = Upstream("ETHUSD")
    for seconds in (0.0, 1.0, 59.0, 61.0, 62.0):
        upstream.seconds = seconds
        with pytest.raises(UnknownSymbol):
            await read(upstream.source)
    assert upstream.paths.count("/api/symbols") == 2


async def test_without_a_list_symbols_go_by_our_names() -> None:
    upstream = Upstream("BTCUSD")
    upstream.list_status = 422
    assert (await read(upstream.source)).num_rows == 1


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
        {"candles": [CANDLE, CANDLE | {"time": "2024-01-01T00:05:00Z"}]},
        candles_body(time="yesterday"),
        candles_body(time=None),
        candles_body(close="much"),
        {"candles": [CANDLE | {"time": f"2024-01-01T0{hour}:00:00Z", "close": None} for hour in range(3)]},
        candles_body(close=True),
        candles_body(close=[1.0]),
        candles_body(close={"value": 1.0}),
        candles_body(volume=2**64 - 1) | {"candles": [CANDLE, CANDLE | {"volume": "1e999"}]},
    ],
)
async def test_rubbish_is_refused_as_bad_upstream(body: object) -> None:
    with pytest.raises(BadUpstream, match="EasyInsight"):
        await read(answering(body))


def with_a_bad_row(**changes: object) -> list[dict[str, object]]:
    """Return three candles that close before NOW, the second of them bad."""
    start = NOW.replace(minute=0) - timedelta(hours=4)
    rows = [CANDLE | {"time": (start + n * Interval.H1.delta).isoformat()} for n in range(3)]
    rows[1] |= changes
    return rows


WITHOUT_A_CLOSE = [
    {key: value for key, value in row.items() if n != 1 or key != "close"} for n, row in enumerate(with_a_bad_row())
]
BAD_ROWS = [
    *(
        {"candles": with_a_bad_row(close=value)}
        for value in (None, "NaN", "", "much", True, [1.0], {"value": 1.0}, "1e999", 10**400)
    ),
    {"candles": WITHOUT_A_CLOSE},
    {"candles": with_a_bad_row(volume=None, open=None)},
]
BODIES = [json.dumps(body).encode() for body in BAD_ROWS]
BODIES += [json.dumps({"candles": with_a_bad_row(close=value)}).encode() for value in (float("nan"), float("inf"))]


@pytest.mark.parametrize("body", BODIES)
async def test_a_bad_row_is_kept_aside_and_those_around_it_are_stored_and_served(desk: Desk, body: bytes) -> None:
    service = desk.with_backup(answering(body))
    await service.create_symbol(SymbolDraft("BTCUSD"))
    served = await service.candles(CandleQuery("BTCUSD"))
    assert (served.source, served.table.num_rows) == (Source.EASYINSIGHT, 2)
    done = await Feed(answering(body), service, lambda: NOW).poll_once()
    assert (done.inserted, done.quarantined) == (2, 1)
    report = await service.quality("BTCUSD", Interval.H1)
    assert (report.bars, [row.check for row in report.quarantined]) == (2, ["not_finite"])


async def test_a_page_of_one_or_two_candles_may_lack_their_numbers() -> None:
    assert (await read(answering(candles_body(close=None)))).num_rows == 1


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
        await answering(body, lists=True).symbols()


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

    upstream = EasyInsightSource("http://e", 2.0, with_a_list(answer), Breaker("EasyInsight", clock=lambda: 0.0))
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
    well = await answering({"symbols": []}, lists=True).probe()
    assert (well.name, well.status) == ("easyinsight", "ok")
    assert well.latency_ms is not None
    ill = await answering({}, 503, lists=True).probe()
    assert ill.status == "down"
    assert "503" in ill.reason


@asynccontextmanager
async def connected(url: str, timeout_s: float = 5.0) -> AsyncIterator[EasyInsightSource]:
    upstream = EasyInsightSource(url, timeout_s)
    try:
        yield upstream
    finally:
        await upstream.aclose()


@pytest.mark.parametrize(
    ("mood", "error"),
    [
        (Mood.SILENT, UpstreamTimeout),
        (Mood.DRIP, UpstreamTimeout),
        (Mood.ERROR_500, Unavailable),
        (Mood.HTML, BadUpstream),
        (Mood.HALF_JSON, BadUpstream),
        (Mood.REDIRECT, BadUpstream),
        (Mood.WRONG_INTERVAL, BadUpstream),
        (Mood.SHORTER_BARS, BadUpstream),
        (Mood.DUPLICATES, BadUpstream),
        (Mood.NAN_STRINGS, BadUpstream),
        (Mood.HUGE, BadUpstream),
        (Mood.GZIP_BOMB, BadUpstream),
        (Mood.NO_HTTP, BadUpstream),
        (Mood.HANGS_UP, BadUpstream),
        (Mood.CUT_SHORT, BadUpstream),
        (Mood.BROKEN_GZIP, BadUpstream),
    ],
)
@pytest.mark.parametrize("list_answers", [True, False])
async def test_a_server_in_a_bad_mood_is_a_typed_error_within_the_budget(
    mood: Mood, error: type[Exception], list_answers: bool
) -> None:
    async with EasyInsightServer(mood, list_mood=Mood.WELL if list_answers else mood) as server:
        # A machine that is busy needs a while for 16 MiB; what never answers is given up sooner.
        budget = 0.4 if error is UpstreamTimeout else 20.0
        async with connected(server.url, budget) as upstream, asyncio.timeout(60):
            with pytest.raises(error):
                await read(upstream)


async def test_a_server_that_is_well_again_is_read_again() -> None:
    async with EasyInsightServer(Mood.HTML) as server, connected(server.url) as upstream:
        with pytest.raises(BadUpstream):
            await read(upstream)
        server.mood = Mood.WELL
        assert (await read(upstream)).num_rows == 3


async def test_a_refused_connection_is_unavailable() -> None:
    async with EasyInsightServer() as server:
        pass
    async with connected(server.url) as upstream:
        with pytest.raises(Unavailable, match="not reachable"):
            await read(upstream)


@pytest.mark.parametrize("mood", [Mood.SILENT, Mood.HTML, Mood.ERROR_500, Mood.NAN_STRINGS])
async def test_with_the_database_away_and_easyinsight_ill_memory_answers_marked_stale(desk: Desk, mood: Mood) -> None:
    async with EasyInsightServer(mood) as server, connected(server.url, 0.5) as upstream:
        service = desk.with_backup(upstream)
        bars = walk_table(NOW.replace(minute=0) - timedelta(hours=9), 9)
        names = pa.array(["BTCUSD"] * 9)
        await service.ingest(Interval.H1, bars.add_column(0, SYMBOL_CANDLE_SCHEMA.field("symbol"), names))
        fresh = await service.candles(CandleQuery("BTCUSD", limit=5))
        desk.lose_database()
        stale = await service.candles(CandleQuery("BTCUSD", limit=5))
    assert (stale.source, stale.stale) == (Source.CACHE, True)
    assert stale.table.equals(fresh.table)


@pytest.mark.parametrize("url", ["easyinsight", "ftp://easyinsight"])
async def test_an_address_that_is_no_http_is_said_so(url: str) -> None:
    async with connected(url) as upstream:
        with pytest.raises(BadUpstream, match="EASYINSIGHT_API_URL"):
            await read(upstream)
