"""The feed: new closed bars, once, through every kind of trouble."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from deployments.common.errors import BadUpstream, Unavailable
from deployments.market_data.ingest.feed import DEEP_BARS, FIRST_FILL, LONGEST_PAUSE_S, Feed, pause_s
from deployments.market_data.models import CANDLE_SCHEMA, Coverage, IngestReport, Interval, SymbolPage
from tests.fakes.candle_sources import ListSource
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2024, 3, 1, tzinfo=UTC)
HISTORY = walk_table(START, 100)
HOUR = Interval.H1.delta


class Market(FakeMarketData):
    """Count what arrives, and fail to order."""

    def __init__(self, tables: dict[str, pa.Table], now: datetime) -> None:
        super().__init__(tables, now)
        self.received: list[int] = []
        self.lookups = 0
        self.error: Exception | None = None
        self.disabled: set[str] = set()
        self.fails_once = False

    async def managed_symbols(self, wanted: object) -> SymbolPage:
        if self.error:
            raise self.error
        page = await super().managed_symbols(wanted)  # type: ignore[arg-type]
        symbols = tuple(replace(symbol, enabled=symbol.symbol not in self.disabled) for symbol in page.symbols)
        return replace(page, symbols=symbols)

    async def coverage(self, symbol: str, interval: Interval, with_gaps: bool = False) -> Coverage:
        self.lookups += 1
        return await super().coverage(symbol, interval, with_gaps)

    async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> IngestReport:
        self.received.append(rows.num_rows)
        if self.fails_once:
            self.fails_once = False
            await asyncio.sleep(0)
            raise Unavailable("the database is away", 1.0)
        return await super().ingest(interval, rows, dry_run)


class Bench:
    """A source with 100 bars of each symbol, a market with the first `stored`, and a clock for all of them."""

    def __init__(self, *symbols: str, stored: int = 50, now: datetime = START + 60 * HOUR) -> None:
        self.now = now
        self.source = ListSource(dict.fromkeys(symbols, HISTORY))
        self.market = Market({symbol: HISTORY.slice(0, stored) for symbol in symbols}, now)
        self.feed = Feed(self.source, self.market, lambda: self.now)

    def stored(self, symbol: str) -> pa.Table:
        return self.market.tables[symbol]


async def until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < limit, "did not happen"
        await asyncio.sleep(0)


async def test_closed_bars_after_the_last_stored_one_are_added() -> None:
    bench = Bench("ADAUSD", "BTCUSD", now=START + 60 * HOUR + timedelta(minutes=59))
    report = await bench.feed.poll_once()
    # Bar 59 closed on the hour, bar 60 is still forming; the first poll reads all of the 50 stored bars again.
    assert (report.received, report.inserted, report.unchanged) == (2 * 60, 2 * 10, 2 * 50)
    assert bench.stored("ADAUSD").equals(HISTORY.slice(0, 60))
    assert bench.source.asked[0][1] == START + (50 - DEEP_BARS) * HOUR


async def test_the_next_poll_goes_on_from_there_without_asking_the_database_again() -> None:
    bench = Bench("BTCUSD")
    await bench.feed.poll_once()
    bench.now += timedelta(minutes=59)
    report = await bench.feed.poll_once()
    assert (report.inserted, report.unchanged) == (0, 3)
    bench.now += timedelta(minutes=1)
    assert (await bench.feed.poll_once()).inserted == 1
    assert bench.market.lookups == 1
    assert bench.feed.status().total.inserted == 11


async def test_of_a_long_catch_up_that_fails_nothing_newer_than_what_failed_is_stored() -> None:
    # The next poll goes on from the newest stored bar: what it had left out before that would be missing for ever.
    bench = Bench("BTCUSD", now=START + 60_100 * HOUR)
    bench.source.tables["BTCUSD"] = walk_table(START, 60_000)
    bench.market.fails_once = True
    with pytest.raises(Unavailable):
        await bench.feed.poll_once()
    assert bench.stored("BTCUSD").equals(HISTORY.slice(0, 50))


async def test_a_correction_within_the_overlap_is_carried_over() -> None:
    bench = Bench("BTCUSD")
    await bench.feed.poll_once()
    rows = HISTORY.to_pylist()
    rows[58]["close"] += 1.0
    bench.source.tables["BTCUSD"] = pa.Table.from_pylist(rows, schema=CANDLE_SCHEMA)
    assert (await bench.feed.poll_once()).changed == 1


async def test_a_symbol_without_candles_is_filled_from_far_back() -> None:
    bench = Bench("BTCUSD", stored=0)
    assert (await bench.feed.poll_once()).inserted == 60
    assert min(start for _, start, _ in bench.source.asked) == bench.now - FIRST_FILL


async def test_disabled_symbols_are_left_alone() -> None:
    bench = Bench("ADAUSD", "BTCUSD")
    bench.market.disabled = {"ADAUSD"}
    await bench.feed.poll_once()
    assert {symbol for symbol, _, _ in bench.source.asked} == {"BTCUSD"}


async def test_a_symbol_that_the_source_does_not_list_is_reported_and_is_no_error() -> None:
    bench = Bench("ADAUSD", "BTCUSD")
    del bench.source.tables["ADAUSD"]
    assert (await bench.feed.poll_once()).inserted == 10
    status = bench.feed.status()
    assert status.missing == ("ADAUSD",)
    assert status.last_success == bench.now


async def test_a_symbol_that_fails_does_not_hold_up_the_others() -> None:
    bench = Bench("ADAUSD", "BTCUSD")
    bench.source.errors["ADAUSD"] = BadUpstream("rubbish")
    assert (await bench.feed.poll_once()).inserted == 10
    status = bench.feed.status()
    assert (status.failing, status.last_error) == (("ADAUSD",), "rubbish")
    assert status.last_success == bench.now


async def test_where_every_symbol_fails_the_poll_does() -> None:
    bench = Bench("ADAUSD", "BTCUSD")
    bench.source.errors |= {"ADAUSD": Unavailable("down"), "BTCUSD": Unavailable("down")}
    with pytest.raises(Unavailable, match="down"):
        await bench.feed.poll_once()
    assert bench.feed.status().last_success is None


async def test_the_loop_survives_trouble_and_catches_up() -> None:
    bench, stop = Bench("BTCUSD"), asyncio.Event()
    bench.market.error = Unavailable("no replica")
    running = asyncio.create_task(bench.feed.run(0.001, stop))
    await until(lambda: bench.feed.status().last_error == "no replica")
    bench.market.error = RuntimeError("a bug")
    await until(lambda: bench.feed.status().last_error == "a bug")
    bench.market.error = None
    await until(lambda: bench.stored("BTCUSD").num_rows == 60)
    stop.set()
    await running
    assert bench.feed.status().last_error == ""


async def test_stopping_does_not_wait_for_the_next_poll() -> None:
    bench, stop = Bench("BTCUSD"), asyncio.Event()
    running = asyncio.create_task(bench.feed.run(3_600.0, stop))
    await until(lambda: bench.feed.status().polls == 1)
    stop.set()
    await asyncio.wait_for(running, 10)


def test_pauses_double_up_to_five_minutes() -> None:
    assert [pause_s(15.0, failures) for failures in (0, 1, 2)] == [15.0, 30.0, 60.0]
    assert pause_s(15.0, 100_000) == LONGEST_PAUSE_S
    assert pause_s(600.0, 3) == 600.0
