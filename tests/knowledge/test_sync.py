"""A cycle: complete, minimal, and the same wherever it was killed before."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.common.errors import SyncBusy
from deployments.knowledge.models import PassageKind
from deployments.knowledge.sync import SyncEngine, SyncPlan
from deployments.market_data.models import CANDLE_SCHEMA, SYMBOL_CANDLE_SCHEMA, Interval
from tests.fakes.knowledge import MemoryStore, StoreDied, WordEncoder
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2023, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
BARS = 100
DAYS = 4


def market(bars: int = BARS, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> FakeMarketData:
    tables = {symbol: walk_table(START, bars, seed=seed) for seed, symbol in enumerate(symbols)}
    return FakeMarketData(tables, START + bars * HOUR)


def engine(source: FakeMarketData, store: MemoryStore, plan: SyncPlan | None = None) -> SyncEngine:
    return SyncEngine(source, store, WordEncoder(), plan or SyncPlan(16, None), clock=lambda: source.now)


async def correct(source: FakeMarketData, symbol: str, hour: int, high: float) -> None:
    row = source.tables[symbol].slice(hour, 1).to_pylist()[0] | {"symbol": symbol, "high": high}
    await source.ingest(Interval.H1, pa.Table.from_pylist([row], schema=SYMBOL_CANDLE_SCHEMA))


def contents(store: MemoryStore) -> dict[int, int]:
    return {ident: passage.content_hash for ident, passage in store.rows.items()}


async def test_first_cycle_drains_the_whole_backlog() -> None:
    source, store = market(), MemoryStore()
    syncing = engine(source, store)
    cycle = await syncing.run_cycle()
    assert (cycle.read, cycle.new, cycle.changed) == (2 * BARS, 2 * (BARS + DAYS), 0)
    assert syncing.progress.watermark() == START + (BARS - 1) * HOUR
    assert syncing.progress.lag_seconds(source.now + HOUR) == 3600.0
    assert syncing.progress.passages == store.count()


async def test_second_cycle_embeds_nothing() -> None:
    source, store = market(), MemoryStore()
    await engine(source, store).run_cycle()
    written = len(store.written)
    cycle = await engine(source, store).run_cycle()
    assert (cycle.new, cycle.changed, len(store.written)) == (0, 0, written)


async def test_steady_state_commits_all_symbols_at_once() -> None:
    source, store = market(), MemoryStore()
    await engine(source, store, SyncPlan(1000, None)).run_cycle()
    source.tables = market(BARS + 1).tables
    source.now += HOUR
    store.deaths = ["after"]
    with pytest.raises(StoreDied):
        await engine(source, store, SyncPlan(1000, None)).run_cycle()
    assert store.count() == 2 * (BARS + 1 + DAYS)


async def test_correction_within_the_overlap_changes_its_candle_and_its_day() -> None:
    source, store = market(), MemoryStore()
    await engine(source, store).run_cycle()
    before = contents(store)
    await correct(source, "BTCUSDT", BARS - 20, 500.0)
    cycle = await engine(source, store).run_cycle()
    assert (cycle.new, cycle.changed) == (0, 2)
    different = [store.rows[ident].kind for ident, content in contents(store).items() if before[ident] != content]
    assert sorted(different) == [PassageKind.CANDLE, PassageKind.DAY]


async def test_late_bar_within_the_overlap_is_indexed() -> None:
    source, store = market(), MemoryStore()
    whole = source.tables["BTCUSDT"]
    source.tables["BTCUSDT"] = pa.concat_tables([whole.slice(0, BARS - 5), whole.slice(BARS - 4)])
    await engine(source, store).run_cycle()
    source.tables["BTCUSDT"] = whole
    assert (await engine(source, store).run_cycle()).new == 1


async def test_day_is_told_once_it_is_over() -> None:
    source, store = market(24), MemoryStore()
    source.now -= timedelta(minutes=1)
    await engine(source, store).run_cycle()
    assert {passage.kind for passage in store.rows.values()} == {PassageKind.CANDLE}
    source.now += timedelta(minutes=1)
    await engine(source, store).run_cycle()
    assert store.count() == 2 * (24 + 1)


async def test_symbol_added_later_is_filled_from_its_beginning() -> None:
    source, store = market(), MemoryStore()
    await engine(source, store).run_cycle()
    source.tables["ADAUSDT"] = walk_table(START - 200 * HOUR, 100)
    cycle = await engine(source, store).run_cycle()
    assert cycle.new == 100 + 5  # starts at 16:00, so five days
    assert store.watermarks()["ADAUSDT", Interval.H1] == START - 101 * HOUR


async def test_lookback_reaches_back_from_each_symbols_newest_bar() -> None:
    source, store = market(), MemoryStore()
    source.now += timedelta(days=900)
    await engine(source, store, SyncPlan(16, timedelta(days=1))).run_cycle()
    candles = [passage.time for passage in store.rows.values() if passage.kind is PassageKind.CANDLE]
    assert min(candles) == START + (BARS - 25) * HOUR
    assert len(candles) == 2 * 25


async def test_symbol_without_candles_holds_nothing_back() -> None:
    source, store = market(), MemoryStore()
    source.tables["NEWUSDT"] = CANDLE_SCHEMA.empty_table()
    syncing = engine(source, store)
    await syncing.run_cycle()
    assert syncing.progress.watermark() == START + (BARS - 1) * HOUR


async def test_lost_lease_keeps_the_batch_from_being_written() -> None:
    def lost() -> None:
        raise SyncBusy("taken over")

    source, store = market(), MemoryStore()
    with pytest.raises(SyncBusy):
        await SyncEngine(source, store, WordEncoder(), SyncPlan(16, None), lost, lambda: source.now).run_cycle()
    assert store.count() == 0


async def test_stop_ends_the_cycle_early_and_the_next_one_finishes_it() -> None:
    source, store = market(), MemoryStore()
    syncing = engine(source, store)
    syncing.stop()
    assert 0 < (await syncing.run_cycle()).new < 2 * BARS
    await syncing.run_cycle()
    assert store.count() == 2 * (BARS + DAYS)


@settings(max_examples=15, deadline=None)
@given(
    deaths=st.lists(st.sampled_from([None, None, "before", "after"]), max_size=20),
    batch_size=st.integers(5, 70),
    corrections=st.lists(st.tuples(st.integers(60, 99), st.floats(201.0, 209.0)), max_size=3),
)
async def test_killed_anywhere_nothing_is_lost_and_nothing_twice(
    deaths: list[str | None], batch_size: int, corrections: list[tuple[int, float]]
) -> None:
    source, store, undisturbed = market(), MemoryStore(deaths), MemoryStore()
    plan = SyncPlan(batch_size, None)
    for hour, high in corrections:
        await _run_until_it_lives(source, store, plan, cycles=1)
        await correct(source, "ETHUSDT", hour, high)
    await _run_until_it_lives(source, store, plan, cycles=40)
    await engine(source, undisturbed, plan).run_cycle()
    assert contents(store) == contents(undisturbed)
    assert len(set(store.written)) == len(store.written)


async def _run_until_it_lives(source: FakeMarketData, store: MemoryStore, plan: SyncPlan, cycles: int) -> None:
    for _ in range(cycles):
        try:
            await engine(source, store, plan).run_cycle()
            return
        except StoreDied:
            continue
