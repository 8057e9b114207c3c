"""Candles into the database in parts, as often as one likes.

Every part is an idempotent upsert, so an import that was cut off is simply started again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import UnknownSymbol
from deployments.market_data.cells import UTC_MICROSECONDS
from deployments.market_data.ingest.candle_files import interval_of, read_file
from deployments.market_data.instants import Times, times_of
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, IngestReport, Interval, ManagedSymbol
from deployments.market_data.symbols.names import canonical

__all__ = [
    "ImportProgress",
    "add",
    "closed_rows",
    "import_table",
    "interval_of",
    "pages",
    "preview",
    "read_file",
]

CHUNK_ROWS = 50_000
"""Rows of one upsert: a few MB between processes and a fraction of a second in the database."""

IN_FLIGHT = 2
"""Upserts on their way at once: one is checked and encoded while the database writes the other, or it writes both."""

PAGE = timedelta(days=60)
PAGE_BARS = 20_000
NOTHING = IngestReport(0, 0, 0, 0, 0)


class CandleSink(Protocol):
    """Where candles go."""

    async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> IngestReport: ...


class NamedMarket(CandleSink, Protocol):
    """Where candles go, and who knows the symbols by all their names."""

    async def managed_symbol(self, symbol: str) -> ManagedSymbol: ...


class HistorySource(Protocol):
    """Where history comes from."""

    async def candles(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> pa.Table: ...


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is: `done` of `total` `unit`s ("rows" or "pages"; 0 is unknown), and what it did so far."""

    done: int
    total: int
    unit: str
    report: IngestReport


OnProgress = Callable[[ImportProgress], None]


def silent(_progress: ImportProgress) -> None:
    """Tell nobody."""


async def import_table(
    table: pa.Table,
    interval: Interval,
    sink: CandleSink,
    on_progress: OnProgress = silent,
    dry_run: bool = False,
    in_flight: int = IN_FLIGHT,
    chunk_rows: int = CHUNK_ROWS,
) -> IngestReport:
    """Upsert rows with `SYMBOL_CANDLE_SCHEMA` in chunks and return what that did; idempotent.

    With `dry_run` nothing changes and the report says what would have. With one in flight no chunk is stored before
    those that come first; so it is, too, where two chunks may tell the same bar, of which the last stays.
    """
    parts, total = chunks(table, chunk_rows), NOTHING
    at_once = in_flight if _are_apart(times_of(table), parts) else 1
    reports = _in_order((sink.ingest(interval, _chunk(table, *part), dry_run) for part in parts), at_once)
    async with aclosing(reports):
        for _, done in parts:
            total = add(total, await anext(reports))
            on_progress(ImportProgress(done, table.num_rows, "rows", total))
    return total


def _are_apart(times: Times, parts: Sequence[tuple[int, int]]) -> bool:
    """Whether every part begins after the one before it ends, in time."""
    return all(times[before:start].max() < times[start:end].min() for (before, _), (start, end) in pairwise(parts))


def _chunk(table: pa.Table, start: int, end: int) -> pa.Table:
    # Taken, not sliced: a slice on its way to another process carries the whole table with it.
    return table.take(pa.array(np.arange(start, end)))


async def _in_order(
    calls: Iterable[Coroutine[None, None, IngestReport]], in_flight: int
) -> AsyncGenerator[IngestReport, None]:
    """Make calls, `in_flight` at once, and yield their answers in order; left early, it cancels the rest."""
    sent: deque[asyncio.Task[IngestReport]] = deque()
    try:
        for call in calls:
            sent.append(asyncio.create_task(call))
            if len(sent) == in_flight:
                yield await sent.popleft()
        while sent:
            yield await sent.popleft()
    finally:
        for task in sent:
            task.cancel()
        await asyncio.gather(*sent, return_exceptions=True)


async def preview(table: pa.Table, interval: Interval, market: NamedMarket) -> dict[str, IngestReport]:
    """Return for each symbol what an import of the rows would do; changes nothing."""
    spellings = table["symbol"].combine_chunks().dictionary_encode()
    own = [await _own_name(name, market) for name in spellings.dictionary.to_pylist()]
    symbols = pa.array(own, pa.string()).take(spellings.indices)
    found: dict[str, IngestReport] = {}
    for symbol in sorted(set(own)):
        rows = table.filter(pc.equal(symbols, symbol))
        found[symbol] = await import_table(rows, interval, market, dry_run=True)
    return found


async def _own_name(spelling: str, market: NamedMarket) -> str:
    try:
        return (await market.managed_symbol(spelling)).symbol
    except UnknownSymbol:
        return canonical(spelling)


def chunks(table: pa.Table, size: int = CHUNK_ROWS) -> list[tuple[int, int]]:
    """Return the first row and the end of each chunk; rows of one time side by side stay together.

    So every spelling of a bar and every repetition of it meet in one upsert, whose outcome does not depend on the size.
    """
    changes = np.flatnonzero(np.diff(times_of(table))) + 1
    bounds = [0]
    while table.num_rows - bounds[-1] > size:
        limit = bounds[-1] + size
        before = changes[: np.searchsorted(changes, limit, side="right")]
        bounds.append(int(before[-1]) if len(before) and before[-1] > bounds[-1] else limit)
    return list(pairwise([*bounds, table.num_rows])) if table.num_rows else []


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


async def all_or_first_error(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Run all; at the first error cancel the rest and raise that error alone."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
