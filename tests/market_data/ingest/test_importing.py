"""History into a sink: chunks, pages, and the same again."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.common.errors import Unavailable
from deployments.market_data.ingest.importing import (
    CHUNK_ROWS,
    ImportProgress,
    add,
    chunks,
    import_table,
    pages,
    preview,
    read_file,
)
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Coverage, IngestReport, Interval, SymbolDraft
from tests.fakes.market_data import walk_table
from tests.fakes.market_desk import NOW as DESK_NOW
from tests.fakes.market_desk import Desk

NOW = datetime(2024, 6, 1, 12, 30, tzinfo=UTC)
START = NOW - timedelta(days=130)
HOUR = timedelta(hours=1)
LAST_CLOSED = DESK_NOW.replace(minute=0) - HOUR


class CountingSink:
    """Upsert keys only, fast enough for large files."""

    def __init__(self) -> None:
        self.keys: set[tuple[str, int]] = set()
        self.sizes: list[int] = []

    async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> IngestReport:
        assert interval is Interval.H1
        assert not dry_run
        assert rows.schema.equals(SYMBOL_CANDLE_SCHEMA)
        self.sizes.append(rows.num_rows)
        times = rows["time"].cast(pa.int64()).to_pylist()
        new = set(zip(rows["symbol"].to_pylist(), times, strict=True)) - self.keys
        self.keys |= new
        return IngestReport(rows.num_rows, len(new), 0, rows.num_rows - len(new), 0)


async def test_real_candles_arrive_whole_in_chunks_and_a_repetition_changes_nothing(shared_data: Path) -> None:
    table = read_file(shared_data / "crypto_1h.parquet")
    sink, seen = CountingSink(), list[ImportProgress]()
    first = await import_table(table, Interval.H1, sink, seen.append)
    assert first == IngestReport(191_905, 191_905, 0, 0, 0)
    assert CHUNK_ROWS - 8 <= max(sink.sizes) <= CHUNK_ROWS
    assert [progress.done for progress in seen] == np.cumsum(sink.sizes).tolist()
    assert seen[-1].report == first
    assert await import_table(table, Interval.H1, sink) == IngestReport(191_905, 0, 0, 191_905, 0)


async def test_an_empty_table_needs_no_sink() -> None:
    assert (await import_table(SYMBOL_CANDLE_SCHEMA.empty_table(), Interval.H1, CountingSink())).received == 0


def test_pages_cover_the_window_once_without_overlap() -> None:
    found = pages(START, NOW, Interval.H1)
    assert found[0][0] == START
    assert found[-1][1] == NOW
    assert all(before[1] == after[0] for before, after in pairwise(found))
    assert len(found) == 3
    assert pages(NOW, NOW, Interval.H1) == []


def test_pages_of_short_bars_hold_fewer_days() -> None:
    assert max(end - start for start, end in pages(START, NOW, Interval.M1)) == timedelta(minutes=20_000)


def rows_at(times: list[int]) -> pa.Table:
    """Return rows that open so many hours after the start."""
    bars = walk_table(START, max(times) + 1).take(pa.array(times))
    return bars.add_column(0, SYMBOL_CANDLE_SCHEMA.field("symbol"), pa.array(["A"] * len(times)))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40).map(sorted), st.integers(1, 12))
def test_chunks_hold_every_row_once_and_keep_a_time_together_where_it_fits(times: list[int], size: int) -> None:
    found = chunks(rows_at(times), size)
    assert [row for start, end in found for row in range(start, end)] == list(range(len(times)))
    assert max(end - start for start, end in found) <= size
    for (_, end), (start, _) in pairwise(found):
        assert times[end - 1] != times[start] or times.count(times[start]) > size


class Unhurried:
    """A desk's market that takes its time: each upsert lets others go first as often as it is told."""

    def __init__(self, delays: Sequence[int]) -> None:
        self.desk = Desk()
        self._delays = cycle(delays)

    async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> IngestReport:
        for _ in range(next(self._delays)):
            await asyncio.sleep(0)
        return await self.desk.service.ingest(interval, rows, dry_run)

    async def contents(self) -> dict[str, object]:
        """Return everything that is kept: candles, symbols and what lies aside."""
        store, catalogue = self.desk.store, self.desk.catalogue
        symbols = [one.symbol for one in await catalogue.symbols()]
        return {
            symbol: (
                (await store.window(symbol, Interval.H1, None, DESK_NOW, 1_000)).to_pydict(),
                await catalogue.quarantined(symbol, Interval.H1),
            )
            for symbol in symbols
        }


ROWS = st.lists(
    st.tuples(
        st.integers(0, 12),  # hours
        st.sampled_from(["BTCUSD", "ETHUSD", "btc/usd"]),
        st.integers(1, 3).map(float) | st.just(-1.0) | st.just(float("nan")),
    ),
    min_size=1,
    max_size=30,
)


@given(ROWS, st.integers(1, 30), st.integers(1, 4), st.lists(st.integers(0, 5), min_size=1, max_size=8), st.booleans())
def test_an_import_ends_the_same_however_it_is_cut_and_however_many_parts_are_under_way(
    told: list[tuple[int, str, float]], size: int, in_flight: int, delays: list[int], dry_run: bool
) -> None:
    told = sorted(told, key=lambda row: row[0])  # as a file is read
    hours = [hour for hour, _, _ in told]
    size = max(size, *(hours.count(hour) for hour in hours))
    table = told_rows(told)

    async def run() -> None:
        whole, cut = Unhurried([0]), Unhurried(delays)
        at_once = await import_table(table, Interval.H1, whole, dry_run=dry_run)
        in_parts = await import_table(table, Interval.H1, cut, dry_run=dry_run, in_flight=in_flight, chunk_rows=size)
        assert in_parts == at_once
        assert str(await cut.contents()) == str(await whole.contents())  # as text, for no NaN equals another

    asyncio.run(run())


@given(ROWS, st.integers(1, 8), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_of_a_bar_that_several_parts_tell_the_last_stays_however_many_are_under_way(
    told: list[tuple[int, str, float]], size: int, delays: list[int]
) -> None:
    told = [(hour, symbol, abs(price)) for hour, symbol, price in told if not np.isnan(price)]
    table = told_rows(told)

    async def run() -> None:
        one_by_one, together = Unhurried([0]), Unhurried(delays)
        first = await import_table(table, Interval.H1, one_by_one, in_flight=1, chunk_rows=size)
        second = await import_table(table, Interval.H1, together, in_flight=3, chunk_rows=size)
        assert second == first
        assert await together.contents() == await one_by_one.contents()

    asyncio.run(run())


def told_rows(told: Sequence[tuple[int, str, float]]) -> pa.Table:
    """Return a bar for each hour, symbol and price."""
    times = [LAST_CLOSED - (12 - hour) * HOUR for hour, _, _ in told]
    prices = [price for _, _, price in told]
    columns = [[symbol for _, symbol, _ in told], times, prices, prices, prices, prices, [1.0] * len(told)]
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, SYMBOL_CANDLE_SCHEMA, strict=True)],
        schema=SYMBOL_CANDLE_SCHEMA,
    )


async def test_a_preview_says_for_each_symbol_what_an_import_would_do_and_then_it_does(desk: Desk) -> None:
    await desk.service.create_symbol(SymbolDraft("BTCUSD", aliases=("XBT/USD",)))
    first = LAST_CLOSED - 9 * HOUR
    bars = walk_table(first, 10)
    names = ["BTCUSD", "ETHUSD", "XBT/USD"]
    parts = [bars.add_column(0, SYMBOL_CANDLE_SCHEMA.field("symbol"), pa.array([name] * 10)) for name in names]
    await desk.service.ingest(Interval.H1, parts[0].slice(0, 4))
    table = pa.concat_tables(parts).sort_by([("time", "ascending"), ("symbol", "ascending")])
    told = await preview(table, Interval.H1, desk.service)
    assert told == {"BTCUSD": IngestReport(20, 6, 0, 4, 10), "ETHUSD": IngestReport(10, 10, 0, 0, 0)}
    assert await desk.service.coverage("ETHUSD", Interval.H1) == Coverage("ETHUSD", Interval.H1)
    assert await import_table(table, Interval.H1, desk.service) == add(*told.values())


async def test_an_upsert_that_fails_ends_the_import_and_leaves_no_other_under_way(shared_data: Path) -> None:
    class FailingSink(CountingSink):
        begun = ended = 0

        async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> IngestReport:
            self.begun += 1
            if self.begun == 2:
                self.ended += 1
                raise Unavailable("down")
            try:
                await asyncio.sleep(0)
                return await super().ingest(interval, rows, dry_run)
            finally:
                self.ended += 1

    sink = FailingSink()
    with pytest.raises(Unavailable, match="down"):
        await import_table(read_file(shared_data / "crypto_1h.parquet"), Interval.H1, sink)
    assert sink.begun == sink.ended < 4
