"""Fill a market's history from a source: what is newer than the stored bars, what is older, and the holes between.

What to read follows from what is stored. Forward goes up from the newest bar and backward down from the oldest, a page
at a time, so that whatever an interrupted fill has stored is whole and the next one goes on from there.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import pyarrow as pa

from deployments.market_data.ingest.importing import (
    NOTHING,
    PAGE,
    PAGE_BARS,
    CandleSink,
    HistorySource,
    ImportProgress,
    OnProgress,
    add,
    all_or_first_error,
    closed_rows,
    pages,
    silent,
)
from deployments.market_data.instants import EPOCH
from deployments.market_data.models import Coverage, IngestReport, Interval

OVERLAP_BARS = 3
"""Newest stored bars that are read again: sources correct them once late trades are in."""

HOLE_MARGIN_BARS = 3
"""Stored bars read again on either side of a hole: a page without any whole row counts as garbage."""

CONCURRENCY = 4
"""Symbols that are filled at once."""

Page = tuple[datetime, datetime]


class Direction(StrEnum):
    """From the stored bars towards now, towards the past, or both."""

    FORWARD = "forward"
    BACKWARD = "backward"
    BOTH = "both"


class FilledMarket(CandleSink, Protocol):
    """Where history goes, and what is there already."""

    async def coverage(self, symbol: str, interval: Interval, with_gaps: bool = False) -> Coverage: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """Fill bars that open from `start` on and are closed at `end`, where None is as far back as the source goes.

    `gaps` fills holes between the stored bars, too; `dry_run` stores nothing and reports what would change.
    """

    interval: Interval
    end: datetime
    start: datetime | None = None
    direction: Direction = Direction.BOTH
    gaps: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Pages to read of one symbol, in this order; `older` ends early where the source has nothing more.

    With `climbs` older pages are looked through first and stored from the oldest up, as a fill forward goes on.
    """

    newer: tuple[Page, ...]
    holes: tuple[Page, ...]
    older: tuple[Page, ...]
    is_open_ended: bool
    climbs: bool = False

    @property
    def known_pages(self) -> int:
        """How many pages are read for certain."""
        return len(self.newer) + len(self.holes) + (0 if self.is_open_ended else len(self.older))


def plan_of(coverage: Coverage, wish: Wish) -> Plan:
    """Return what is missing of a symbol."""
    first, last, step = coverage.first_time, coverage.last_time, wish.interval.delta
    floor, is_open_ended = wish.start or EPOCH, wish.start is None
    if first is None or last is None:
        if wish.direction is Direction.FORWARD and not is_open_ended:
            return Plan(tuple(pages(floor, wish.end, wish.interval)), (), (), is_open_ended)
        climbs = wish.direction is Direction.FORWARD
        return Plan((), (), tuple(pages_down(floor, wish.end, wish.interval)), is_open_ended, climbs)
    newest = max(floor, last - (OVERLAP_BARS - 1) * step)
    newer = pages(newest, wish.end, wish.interval) if wish.direction is not Direction.BACKWARD else []
    below = min(first, wish.end)
    older = pages_down(floor, below, wish.interval) if wish.direction is not Direction.FORWARD else []
    holes = holes_in(coverage, max(floor, first), newest if newer else wish.end, step)
    return Plan(
        tuple(newer),
        tuple(page for hole in holes for page in pages(*hole, wish.interval)),
        tuple(older),
        is_open_ended,
    )


def holes_in(coverage: Coverage, start: datetime, end: datetime, step: timedelta) -> list[Page]:
    """Return the parts of [start, end) around holes, ascending; no bar is in two, or a dry run would count it twice."""
    found: list[Page] = []
    for gap in coverage.gaps:
        low = max(start, gap.start - HOLE_MARGIN_BARS * step)
        high = min(end, gap.end + (1 + HOLE_MARGIN_BARS) * step)
        if found and low < found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        elif low < high:
            found.append((low, high))
    return found


def pages_down(start: datetime, end: datetime, interval: Interval) -> list[Page]:
    """Return [start, end) cut into pages from its end down, the newest of full length."""
    length = min(PAGE, PAGE_BARS * interval.delta)
    count = max(0, -((start - end) // length))
    return [(max(start, end - (n + 1) * length), end - n * length) for n in range(count)]


async def fill(
    source: HistorySource,
    market: FilledMarket,
    symbols: Sequence[str],
    wish: Wish,
    on_progress: OnProgress = silent,
) -> dict[str, IngestReport]:
    """Fill the history of symbols and return for each what that did; idempotent.

    Raises the first error of source or market; what was stored until then stays, and the next fill goes on from there.
    """
    tally = _Tally(on_progress)
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(symbol: str) -> None:
        async with gate:
            plan = plan_of(await market.coverage(symbol, wish.interval, wish.gaps), wish)
            tally.expect(symbol, plan)
            await _follow(plan, _Carrier(source, market, symbol, wish, tally))

    await all_or_first_error(one(symbol) for symbol in symbols)
    return {symbol: tally.reports.get(symbol, NOTHING) for symbol in symbols}


async def _follow(plan: Plan, carrier: "_Carrier") -> None:
    for page in (*plan.newer, *plan.holes):
        await carrier.carry(page)
    older = await carrier.filled(plan.older) if plan.climbs else plan.older
    for page in older:
        if not await carrier.carry(page) and plan.is_open_ended:
            break


@dataclass(frozen=True, slots=True)
class _Carrier:
    """Carries pages of one symbol from the source to the market."""

    source: HistorySource
    market: FilledMarket
    symbol: str
    wish: Wish
    tally: "_Tally"

    async def filled(self, pages: Sequence[Page]) -> list[Page]:
        """Return those of descending pages that the source has anything in before the first empty one, ascending."""
        found: list[Page] = []
        for page in pages:
            if not (await self.source.candles(self.symbol, self.wish.interval, *page)).num_rows:
                break
            found.append(page)
        return found[::-1]

    async def carry(self, page: Page) -> bool:
        """Carry one page over and return whether the source had anything in it."""
        interval = self.wish.interval
        told = await self.source.candles(self.symbol, interval, *page)
        rows: pa.Table = closed_rows(self.symbol, told, interval, self.wish.end)
        report = await self.market.ingest(interval, rows, self.wish.dry_run) if rows.num_rows else NOTHING
        self.tally.note(self.symbol, report)
        return bool(told.num_rows)


@dataclass(slots=True)
class _Tally:
    """Counts pages and rows of all symbols."""

    tell: Callable[[ImportProgress], None]
    reports: dict[str, IngestReport] = field(default_factory=dict)
    _done: int = 0
    _known: int = 0
    _is_open: bool = False

    def expect(self, symbol: str, plan: Plan) -> None:
        self.reports[symbol] = NOTHING
        self._known += plan.known_pages
        self._is_open |= plan.is_open_ended and bool(plan.older)

    def note(self, symbol: str, report: IngestReport) -> None:
        self.reports[symbol] = add(self.reports[symbol], report)
        self._done += 1
        self.tell(
            ImportProgress(self._done, 0 if self._is_open else self._known, "pages", total_of(self.reports.values()))
        )


def total_of(reports: Iterable[IngestReport]) -> IngestReport:
    """Return the sum of reports."""
    total = NOTHING
    for report in reports:
        total = add(total, report)
    return total
