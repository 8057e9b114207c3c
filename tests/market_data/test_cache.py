"""Candles in memory in front of a store."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from deployments.common.errors import DatabaseUnavailable
from deployments.market_data.cache import DEPTH, TAIL_S, WHOLE_S, CandleCache
from deployments.market_data.instants import MICROSECOND
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
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

    async def put(self, bars: int, first: int = 0, seed: int = 7, interval: Interval = Interval.H1) -> pa.Table:
        table = walk_table(START + first * interval.delta, bars, interval, seed)
        names = pa.array(["BTCUSD"] * bars)
        await self.store.upsert(
            interval, table.add_column(0, SYMBOL_CANDLE_SCHEMA.field("symbol"), names).cast(SYMBOL_CANDLE_SCHEMA)
        )
        return table

    async def newest(self, limit: int, interval: Interval = Interval.H1) -> pa.Table:
        return await self.cache.window("BTCUSD", interval, None, self.now, limit)


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


async def test_expired_symbol_is_read_again_at_once(bench: Bench) -> None:
    await bench.put(10)
    await bench.newest(10)
    corrected = await bench.put(1, seed=9)
    bench.cache.expire(["BTCUSD"])
    assert (await bench.newest(10)).slice(0, 1).equals(corrected)


async def test_refused_row_never_leaves(bench: Bench) -> None:
    table = await bench.put(4)
    broken = table.set_column(2, "high", pa.array([0.5] * 4)).slice(1, 1).add_column(0, "symbol", pa.array(["BTCUSD"]))
    await bench.store.upsert(Interval.H1, broken)
    assert [time.hour for time in (await bench.newest(10))["time"].to_pylist()] == [0, 2, 3]


async def test_window_older_than_what_is_held_is_read_from_the_store(bench: Bench) -> None:
    bench.now = START + timedelta(days=365)
    await bench.put(DEPTH + 50, interval=Interval.M5)
    assert (await bench.newest(DEPTH + 20, Interval.M5)).num_rows == DEPTH + 20
    early = await bench.cache.window("BTCUSD", Interval.M5, START, START + timedelta(minutes=10, microseconds=1), 100)
    assert early.num_rows == 3
    assert bench.cache.size() == DEPTH


async def test_what_is_held_outlives_the_store(bench: Bench) -> None:
    await bench.put(10)
    before = await bench.newest(10)
    bench.store.is_away = True
    bench.seconds += 2 * TAIL_S
    with pytest.raises(DatabaseUnavailable):
        await bench.newest(10)
    assert bench.cache.held("BTCUSD", Interval.H1, None, bench.now, 10).equals(before)
    assert bench.cache.held("ETHUSD", Interval.H1, None, bench.now, 10).num_rows == 0


async def test_window_ends_are_those_of_the_store(bench: Bench) -> None:
    await bench.put(10)
    end = START + timedelta(hours=4)
    assert (await bench.cache.window("BTCUSD", Interval.H1, None, end, 100)).num_rows == 4
    assert (await bench.cache.window("BTCUSD", Interval.H1, end, end + MICROSECOND, 100)).num_rows == 1
