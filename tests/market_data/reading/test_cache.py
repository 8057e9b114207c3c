"""Candles in memory in front of a store."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from deployments.common.errors import DatabaseUnavailable
from deployments.market_data.calendars.calendar import ALWAYS_OPEN, calendar_named
from deployments.market_data.calendars.windows import Ask
from deployments.market_data.instants import MICROSECOND
from deployments.market_data.models import CANDLE_SCHEMA, SYMBOL_CANDLE_SCHEMA, WINDOW_SCHEMA, Interval
from deployments.market_data.reading.cache import DEPTH, SHALLOW, TAIL_S, WHOLE_S, CandleCache
from tests.fakes.market_data import walk_table
from tests.fakes.market_stores import MemoryCandleStore

START = datetime(2026, 3, 1, tzinfo=UTC)


class Bench:
    """A cache over a store in memory, with both of its clocks in the test's hand."""

    def __init__(self) -> None:
        self.now = START + timedelta(hours=20)
        self.seconds = 1_000.0
        self.store = MemoryCandleStore()
        self.cache = CandleCache(self.store, lambda: self.now, lambda: self.seconds)

    async def put(
        self, bars: int, first: int = 0, seed: int = 7, interval: Interval = Interval.H1, *, told: bool = False
    ) -> pa.Table:
        """Store bars of a walk, and tell the cache of them or not."""
        table = walk_table(START + first * interval.delta, bars, interval, seed)
        names = pa.array(["BTCUSD"] * bars)
        rows = table.add_column(0, SYMBOL_CANDLE_SCHEMA.field("symbol"), names).cast(SYMBOL_CANDLE_SCHEMA)
        await self.store.upsert(interval, rows)
        if told:
            self.cache.changed(interval, rows)
        return table

    async def newest(self, limit: int, interval: Interval = Interval.H1) -> pa.Table:
        return await self.read(None, self.now, limit, interval)

    async def read(
        self,
        start: datetime | None,
        end: datetime,
        limit: int,
        interval: Interval = Interval.H1,
        symbol: str = "BTCUSD",
    ) -> pa.Table:
        found = await self.cache.window(interval, Ask(symbol, ALWAYS_OPEN, start, end, limit))
        assert found.schema.equals(WINDOW_SCHEMA)
        return found.select(CANDLE_SCHEMA.names)


def named_rows(time: datetime) -> pa.Table:
    """Return one row of BTCUSD."""
    row = walk_table(time, 1).to_pylist()[0]
    return pa.Table.from_pylist([{"symbol": "BTCUSD", **row}], schema=SYMBOL_CANDLE_SCHEMA)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_second_read_within_a_second_asks_nobody(bench: Bench) -> None:
    await bench.put(10)
    first = await bench.newest(5)
    reads = bench.store.reads
    assert (await bench.newest(5)).equals(first)
    assert bench.store.reads == reads


async def test_new_and_corrected_last_bars_show_after_a_second(bench: Bench) -> None:
    await bench.put(10)
    await bench.newest(5)
    fresh = await bench.put(3, first=8, seed=9)
    bench.seconds += 2 * TAIL_S
    assert (await bench.newest(3)).equals(fresh)
    assert (await bench.newest(100)).num_rows == 11


async def test_corrected_old_bar_shows_after_five_minutes(bench: Bench) -> None:
    old = await bench.put(10)
    await bench.newest(10)
    corrected = await bench.put(1, seed=9)
    bench.seconds += 2 * TAIL_S
    assert (await bench.newest(10)).slice(0, 1).equals(old.slice(0, 1))
    bench.seconds += WHOLE_S
    assert (await bench.newest(10)).slice(0, 1).equals(corrected)


async def test_refused_row_never_leaves(bench: Bench) -> None:
    table = await bench.put(4)
    broken = table.set_column(2, "high", pa.array([0.5] * 4)).slice(1, 1).add_column(0, "symbol", pa.array(["BTCUSD"]))
    await bench.store.upsert(Interval.H1, broken)
    assert [time.hour for time in (await bench.newest(10))["time"].to_pylist()] == [0, 2, 3]


async def test_first_read_loads_about_what_is_asked_and_a_longer_one_deepens(bench: Bench) -> None:
    bench.now = START + timedelta(days=365)
    bars = (bench.now - START) // timedelta(minutes=5)
    await bench.put(bars, interval=Interval.M5)
    assert (await bench.newest(10, Interval.M5)).num_rows == 10
    assert bench.cache.size() == SHALLOW
    assert (await bench.newest(3_000, Interval.M5)).num_rows == 3_000
    assert 3_000 <= bench.cache.size() <= DEPTH + 8


async def test_window_older_than_what_is_kept_is_read_from_the_store(bench: Bench) -> None:
    bench.now = START + timedelta(days=365)
    await bench.put((bench.now - START) // timedelta(minutes=5), interval=Interval.M5)
    await bench.newest(10, Interval.M5)
    early = await bench.read(START, START + timedelta(minutes=10, microseconds=1), 100, Interval.M5)
    assert early.num_rows == 3
    assert (await bench.newest(DEPTH + 20, Interval.M5)).num_rows == DEPTH + 20
    assert bench.cache.size() == SHALLOW


async def test_many_cold_reads_of_one_series_ask_the_store_once(bench: Bench) -> None:
    await bench.put(20)
    asked, going_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        asked.set()
        await going_on.wait()

    bench.store.on_read = hold
    before = bench.store.reads
    reads = [asyncio.create_task(bench.newest(n + 1)) for n in range(50)]
    await asked.wait()
    going_on.set()
    assert [table.num_rows for table in await asyncio.gather(*reads)] == [min(n + 1, 20) for n in range(50)]
    assert bench.store.reads == before + 1


async def test_many_symbols_are_warmed_with_one_read_of_the_store(bench: Bench) -> None:
    await bench.put(20)
    asks = [Ask(symbol, ALWAYS_OPEN, None, bench.now, 5) for symbol in ("ETHUSD", "BTCUSD", "SOLUSD")]
    before = bench.store.reads
    await bench.cache.warm(Interval.H1, asks)
    assert bench.store.reads == before + 1
    assert (await bench.newest(5)).num_rows == 5
    assert bench.store.reads == before + 1


async def test_stored_rows_show_at_once_and_only_what_follows_them_is_read_again(bench: Bench) -> None:
    bench.now = START + timedelta(hours=600)
    await bench.put(600)
    await bench.newest(500)
    corrected = await bench.put(1, first=590, seed=9, told=True)
    found = await bench.newest(500)
    assert found.slice(found.num_rows - 10, 1).equals(corrected)
    assert bench.store.rows_told < 500 + 600


async def test_rows_stored_before_the_first_one_held_are_seen(bench: Bench) -> None:
    await bench.put(5, first=10)
    await bench.newest(20)
    await bench.put(5, first=2, told=True)
    assert (await bench.newest(20)).num_rows == 10


async def test_rows_stored_while_the_store_is_read_are_read_again(bench: Bench) -> None:
    await bench.put(10)

    async def store_meanwhile() -> None:
        bench.store.on_read = None
        bench.cache.changed(Interval.H1, named_rows(START + timedelta(hours=3)))

    bench.store.on_read = store_meanwhile
    await bench.newest(5)
    before = bench.store.reads
    await bench.newest(5)
    assert bench.store.reads == before + 1


async def test_finer_rows_change_the_longer_bars_that_are_made_of_them(bench: Bench) -> None:
    await bench.put(20 * 60, interval=Interval.M1)
    before = await bench.newest(5)
    await bench.put(60, first=18 * 60, seed=9, interval=Interval.M1, told=True)
    after = await bench.newest(5)
    assert after.slice(0, 3).equals(before.slice(0, 3))
    assert not after.equals(before)


async def test_bars_made_of_too_few_are_marked_through_the_cache(bench: Bench) -> None:
    await bench.put(3 * 60 - 1, interval=Interval.M1)
    bench.now = START + timedelta(hours=3)
    ask = Ask("BTCUSD", ALWAYS_OPEN, None, bench.now, 5)
    for _ in range(2):
        found = await bench.cache.window(Interval.H1, ask)
        assert found["incomplete"].to_pylist() == [False, False, True]


class CacheAgainstStore(RuleBasedStateMachine):
    """Whatever is stored and read in whatever order: our own changes show at once, those of others in time."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.bench.now = START + timedelta(hours=900)

    @rule(first=st.integers(0, 880), bars=st.integers(1, 20), seed=st.integers(0, 99))
    def store(self, first: int, bars: int, seed: int) -> None:
        asyncio.run(self.bench.put(bars, first, seed, told=True))

    @rule(seconds=st.sampled_from([0.5, 2.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.bench.seconds += seconds

    @rule(start=st.none() | st.integers(0, 900), end=st.integers(1, 900), limit=st.integers(1, 900))
    def read(self, start: int | None, end: int, limit: int) -> None:
        since = None if start is None else START + timedelta(hours=start)
        until = START + timedelta(hours=end)

        async def compare() -> None:
            found = await self.bench.read(since, until, limit)
            assert found.equals(await self.bench.store.window("BTCUSD", Interval.H1, since, until, limit))

        asyncio.run(compare())


TestCacheAgainstStore = CacheAgainstStore.TestCase
TestCacheAgainstStore.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


async def test_what_is_held_outlives_the_store(bench: Bench) -> None:
    await bench.put(10)
    before = await bench.newest(10)
    bench.store.is_away = True
    bench.seconds += 2 * TAIL_S
    with pytest.raises(DatabaseUnavailable):
        await bench.newest(10)
    ask = Ask("BTCUSD", ALWAYS_OPEN, None, bench.now, 10)
    assert bench.cache.covers(Interval.H1, ask)
    assert bench.cache.held(Interval.H1, ask).select(CANDLE_SCHEMA.names).equals(before)
    assert bench.cache.held(Interval.H1, replace(ask, symbol="ETHUSD")).num_rows == 0


async def test_window_ends_are_those_of_the_store(bench: Bench) -> None:
    await bench.put(10)
    end = START + timedelta(hours=4)
    assert (await bench.read(None, end, 100)).num_rows == 4
    assert (await bench.read(end, end + MICROSECOND, 100)).num_rows == 1


async def test_refused_row_beyond_what_is_kept_makes_room_for_the_sound_one_before_it(bench: Bench) -> None:
    bench.now = START + timedelta(days=365)
    table = await bench.put((bench.now - START) // timedelta(minutes=5), interval=Interval.M5)
    broken = table.set_column(2, "high", pa.array([0.5] * table.num_rows)).slice(8, 3)
    await bench.store.upsert(Interval.M5, broken.add_column(0, "symbol", pa.array(["BTCUSD"] * 3)))
    end = START + timedelta(minutes=55)
    assert (await bench.read(None, end, 1, Interval.M5)).equals(table.slice(7, 1))
    assert (await bench.read(None, end, 5, Interval.M5)).equals(table.slice(3, 5))
    assert (await bench.read(START, end, 50, Interval.M5)).equals(table.slice(0, 8))


async def test_bars_of_another_calendar_are_not_mixed_with_those_of_the_one_before(bench: Bench) -> None:
    bench.now = START + timedelta(days=4)
    await bench.put(4 * 24 * 12, interval=Interval.M5)
    asks = [Ask("BTCUSD", calendar_named(name), None, bench.now, 50) for name in ("24/7", "XNYS")]
    for ask in (*asks, asks[0]):
        bench.seconds += 2 * TAIL_S
        (meant,) = await bench.store.windows(Interval.H4, [ask])
        assert (await bench.cache.window(Interval.H4, ask)).equals(meant)
