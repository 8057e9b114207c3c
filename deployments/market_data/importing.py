"""History into the database: from a file or from EasyInsight, in parts, as often as one likes.

Every part is an idempotent upsert, so an import that was cut off is simply started again.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from deployments.market_data.candle_files import infer_interval, read_file
from deployments.market_data.cells import UTC_MICROSECONDS
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, IngestReport, Interval

__all__ = [
    "ImportProgress",
    "add",
    "closed_rows",
    "import_history",
    "import_table",
    "infer_interval",
    "pages",
    "read_file",
]

CHUNK_ROWS = 50_000
"""Rows of one upsert: a few MB between processes and a fraction of a second in the database."""

PAGE = timedelta(days=60)
PAGE_BARS = 20_000
CONCURRENCY = 4
NOTHING = IngestReport(0, 0, 0, 0, 0)


class CandleSink(Protocol):
    """Where candles go."""

    async def ingest(self, interval: Interval, rows: pa.Table) -> IngestReport: ...


class HistorySource(Protocol):
    """Where history comes from."""

    async def candles(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> pa.Table: ...


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is: `done` of `total` `unit`s ("rows" or "pages"), and what the upserts did so far."""

    done: int
    total: int
    unit: str
    report: IngestReport


OnProgress = Callable[[ImportProgress], None]


def _silent(_progress: ImportProgress) -> None:
    """Tell nobody."""


async def import_table(
    table: pa.Table, interval: Interval, sink: CandleSink, on_progress: OnProgress = _silent
) -> IngestReport:
    """Upsert rows with `SYMBOL_CANDLE_SCHEMA` in chunks and return what that did; idempotent."""
    total = NOTHING
    for offset in range(0, table.num_rows, CHUNK_ROWS):
        done = min(offset + CHUNK_ROWS, table.num_rows)
        # Taken, not sliced: a slice on its way to another process carries the whole table with it.
        chunk = table.take(pa.array(range(offset, done)))
        total = add(total, await sink.ingest(interval, chunk))
        on_progress(ImportProgress(done, table.num_rows, "rows", total))
    return total


async def import_history(
    source: HistorySource,
    sink: CandleSink,
    symbols: Sequence[str],
    interval: Interval,
    start: datetime,
    end: datetime,
    on_progress: OnProgress = _silent,
) -> IngestReport:
    """Copy the candles of `symbols` that open from `start` on and are closed at `end`, page by page; idempotent.

    Raises the first error of source or sink; what was upserted until then stays.
    """
    wanted = [(symbol, *page) for page in pages(start, end, interval) for symbol in symbols]
    gate = asyncio.Semaphore(CONCURRENCY)
    total, done = NOTHING, 0

    async def copy(symbol: str, first: datetime, last: datetime) -> None:
        nonlocal total, done
        async with gate:
            rows = closed_rows(symbol, await source.candles(symbol, interval, first, last), interval, end)
            report = await sink.ingest(interval, rows) if rows.num_rows else NOTHING
        total = add(total, report)
        done += 1
        on_progress(ImportProgress(done, len(wanted), "pages", total))

    await _all(copy(*page) for page in wanted)
    return total


def pages(start: datetime, end: datetime, interval: Interval) -> list[tuple[datetime, datetime]]:
    """Return [start, end) cut into windows of at most 60 days and 20,000 bars, ascending."""
    length = min(PAGE, PAGE_BARS * interval.delta)
    count = max(0, -((start - end) // length))
    return [(start + n * length, min(start + (n + 1) * length, end)) for n in range(count)]


def closed_rows(symbol: str, candles: pa.Table, interval: Interval, now: datetime) -> pa.Table:
    """Return a symbol's candles that are closed at `now`, with `SYMBOL_CANDLE_SCHEMA`."""
    closed = candles.filter(pc.less_equal(candles["time"], pa.scalar(now - interval.delta, UTC_MICROSECONDS)))
    names = pa.array([symbol] * closed.num_rows, pa.string())
    return pa.table([names, *closed.columns], schema=SYMBOL_CANDLE_SCHEMA)


def add(one: IngestReport, other: IngestReport) -> IngestReport:
    """Return the sum of two reports."""
    return IngestReport(
        one.received + other.received,
        one.inserted + other.inserted,
        one.changed + other.changed,
        one.unchanged + other.unchanged,
        one.quarantined + other.quarantined,
    )


async def _all(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Run all; at the first error cancel the rest and raise that error alone."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
