"""History into a sink: chunks, pages, and the same again."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
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
