"""History into a sink: chunks, pages, and the same again."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from deployments.common.errors import Unavailable
from deployments.market_data.importing import (
    CHUNK_ROWS,
    ImportProgress,
    import_history,
    import_table,
    pages,
    read_file,
)
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, IngestReport, Interval
from tests.fakes.candle_sources import ListSource
from tests.fakes.market_data import walk_table

NOW = datetime(2024, 6, 1, 12, 30, tzinfo=UTC)
START = NOW - timedelta(days=130)


class CountingSink:
    """Upsert keys only, fast enough for large files."""

    def __init__(self) -> None:
        self.keys: set[tuple[str, int]] = set()
        self.sizes: list[int] = []

    async def ingest(self, interval: Interval, rows: pa.Table) -> IngestReport:
        assert interval is Interval.H1
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
    assert max(sink.sizes) == CHUNK_ROWS
    assert [progress.done for progress in seen] == [50_000, 100_000, 150_000, 191_905]
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


async def test_history_is_copied_without_the_forming_bar_and_again_without_change() -> None:
    bars = 130 * 24 + 1
    source = ListSource({name: walk_table(START.replace(minute=0), bars, seed=n) for n, name in enumerate("ABC")})
    sink, seen = CountingSink(), list[ImportProgress]()
    report = await import_history(source, sink, ["A", "B", "C"], Interval.H1, START, NOW, seen.append)
    # The first bar opens before START, the last one is still forming.
    assert report == IngestReport(3 * (bars - 2), 3 * (bars - 2), 0, 0, 0)
    assert [progress.done for progress in seen] == list(range(1, 10))
    assert seen[-1].report == report
    again = await import_history(source, sink, ["A", "B", "C"], Interval.H1, START, NOW)
    assert again.inserted == 0


async def test_the_error_of_a_page_ends_the_import_and_starting_again_completes_it() -> None:
    source = ListSource({"A": walk_table(START, 130 * 24), "B": walk_table(START, 130 * 24)})
    sink = CountingSink()
    source.errors["B"] = Unavailable("down")
    with pytest.raises(Unavailable, match="down"):
        await import_history(source, sink, ["A", "B"], Interval.H1, START, NOW)
    source.errors.clear()
    await import_history(source, sink, ["A", "B"], Interval.H1, START, NOW)
    assert len(sink.keys) == 2 * 130 * 24
