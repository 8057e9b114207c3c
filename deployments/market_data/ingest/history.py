"""Import the history of named symbols from EasyInsight, and the lines that say what an import did."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import InvalidRequest, SymbolExists, UnknownSymbol
from deployments.market_data.ingest.filling import Direction, FilledMarket, Wish, fill, total_of
from deployments.market_data.ingest.importing import HistorySource, ImportProgress, OnProgress, silent
from deployments.market_data.models import IngestReport, Interval, ManagedSymbol, SymbolDraft, SymbolFilter, SymbolPage
from deployments.market_data.symbols.names import canonical, guess_draft


class ListingSource(HistorySource, Protocol):
    """A source that says which symbols it has."""

    async def drafts(self) -> Sequence[SymbolDraft]: ...


class ManagedMarket(FilledMarket, Protocol):
    """A market with a list of symbols."""

    async def managed_symbol(self, symbol: str) -> ManagedSymbol: ...

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage: ...

    async def create_symbol(self, draft: SymbolDraft) -> ManagedSymbol: ...


async def import_history(
    source: ListingSource,
    market: ManagedMarket,
    names: Sequence[str],
    wish: Wish,
    on_progress: OnProgress = silent,
) -> dict[str, IngestReport]:
    """Fill the history of symbols, of every enabled one where none is named, and return what that did to each.

    A symbol that is not managed yet becomes so, as the source describes it. Raises what `fill` does.
    """
    if names:
        symbols = [await _managed(name, source, market, wish) for name in names]
    else:
        symbols = await _enabled(market)
    return await fill(source, market, tuple(dict.fromkeys(symbols)), wish, on_progress)


async def _managed(name: str, source: ListingSource, market: ManagedMarket, wish: Wish) -> str:
    try:
        return (await market.managed_symbol(name)).symbol
    except UnknownSymbol:
        symbol = canonical(name)
    if not wish.dry_run:
        offered = {draft.symbol: draft for draft in await source.drafts()}
        draft = offered.get(symbol) or replace(guess_draft(symbol), interval=wish.interval)
        with suppress(SymbolExists):  # another import was faster
            await market.create_symbol(draft)
    return symbol


async def _enabled(market: ManagedMarket) -> list[str]:
    page = await market.managed_symbols(SymbolFilter(limit=500))
    symbols = list(page.symbols)
    while page.next_cursor is not None:
        page = await market.managed_symbols(SymbolFilter(limit=500, cursor=page.next_cursor))
        symbols += page.symbols
    return [symbol.symbol for symbol in symbols if symbol.enabled]


def wish_of(
    interval: Interval,
    start: str,
    end: str,
    direction: Direction,
    gaps: bool,
    dry_run: bool,
    clock: Clock = utc_now,
) -> Wish:
    """Return what options say, empty ones left open, nothing later than now; raises `InvalidRequest`."""
    now = clock()
    until = min(instant(end, "--end"), now) if end else now
    return Wish(interval, until, instant(start, "--start") if start else None, direction, gaps, dry_run)


def names_of(text: str) -> list[str]:
    """Return the names in a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def instant(text: str, field: str) -> datetime:
    """Return a date or an instant in ISO 8601, in UTC where it names no zone; raises `InvalidRequest`."""
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        reason = f"is no date or time such as 2024-01-31 or 2024-01-31T12:00:00Z, but {text[:40]!r}"
        raise InvalidRequest(f"{field} {reason}", ((field, reason),)) from None
    return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)


def contents(table: pa.Table, interval: Interval) -> str:
    """Return one line on what a file holds."""
    times = pc.min_max(table["time"]).as_py()
    symbols = ", ".join(sorted(pc.unique(table["symbol"]).to_pylist()))
    return (
        f"{table.num_rows:,} candles of {interval.value} "
        f"from {times['min']:%Y-%m-%d %H:%M} to {times['max']:%Y-%m-%d %H:%M} UTC: {symbols}"
    )


def outcome(report: IngestReport) -> str:
    """Return one line on what an import did, or would do."""
    return (
        f"{report.inserted:,} new, {report.changed:,} changed, {report.unchanged:,} as before, "
        f"{report.quarantined:,} quarantined"
    )


def by_symbol(reports: Mapping[str, IngestReport]) -> list[str]:
    """Return a line for each symbol and, of several, one for all."""
    lines = [f"{symbol}: {outcome(report)}" for symbol, report in sorted(reports.items())]
    return [*lines, f"all: {outcome(total_of(reports.values()))}"] if len(reports) > 1 else lines


def progress_line(progress: ImportProgress) -> str:
    """Return one line on how far an import is."""
    if not progress.total:
        return f"{progress.done:,} {progress.unit}, {progress.report.received:,} candles"
    percent = 100 * progress.done // progress.total
    return f"{percent:3d} %  {progress.done:,} of {progress.total:,} {progress.unit}"
