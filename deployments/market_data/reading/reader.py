"""Answer candle queries from the database, else from EasyInsight, else from memory, and say which."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.clock import Clock
from deployments.common.errors import CandlecastError, DatabaseUnavailable, NoCandles, NotFound, UpstreamTimeout
from deployments.common.telemetry import logger
from deployments.market_data.calendars.windows import Ask, Window, cut, window_of
from deployments.market_data.instants import MICROSECOND, times_of, to_datetime
from deployments.market_data.models import (
    CANDLE_SCHEMA,
    WINDOW_SCHEMA,
    Bar,
    CandleQuery,
    Candles,
    Interval,
    LatestCandle,
    Source,
)
from deployments.market_data.quality.checks import gaps, screen
from deployments.market_data.reading.cache import CandleCache
from deployments.market_data.symbols.directory import Listing

log = logger(__name__)

T = TypeVar("T")

TOTAL_S = 9.0
"""A read is over before its caller gives up, which `MarketDataClient` does after ten seconds."""

DATABASE_S = 6.0
"""What the database gets of it where another source is left to ask."""

BRIEF_S = 2.0
"""How long each source is waited for where memory has an answer, if an old one."""

_DAY = timedelta(hours=24)

Read = Callable[[datetime | None, datetime, int], Awaitable[pa.Table]]
"""Reads the newest `limit` rows that open in [start, end)."""


class BackupCandles(Protocol):
    """A second source of candles; rows with `CANDLE_SCHEMA` that open in [start, end)."""

    async def candles(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> pa.Table: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """What a source knows of a window: closed rows, the forming row or none, and the newest closed opening.

    Rows have `WINDOW_SCHEMA`.
    """

    closed: pa.Table
    forming: pa.Table
    newest: datetime | None
    source: Source


@dataclass(frozen=True, slots=True)
class FailedWarming:
    """Why the database told nothing of many symbols, and when, by the monotonic clock, their answer must be there."""

    error: CandlecastError
    ends_at: float


class CandleReader:
    """Read one symbol from the first source that answers."""

    def __init__(self, cache: CandleCache, backup: BackupCandles | None, clock: Clock) -> None:
        self._cache = cache
        self._backup = backup
        self._clock = clock
        self._silent: set[str] = set()

    async def read(self, listing: Listing, query: CandleQuery, failed: FailedWarming | None = None) -> Candles:
        """Return the candles of a query; raises `InvalidRequest`, `NoCandles` or `DatabaseUnavailable`.

        Where `warm` has just `failed` the database is not asked again: there is no time left to wait for it twice.
        """
        window = window_of(query, listing.calendar, self._clock())
        if failed is None:
            known = await self._first_answer(listing, window)
        else:
            known = await self._without_database(listing, window, failed.error, failed.ends_at - time.monotonic())
        if known.newest is None and not known.forming.num_rows:
            await self._refuse_unless_later(listing, window)
        return _answer(listing, window, known)

    async def warm(
        self, interval: Interval, windows: Sequence[tuple[Listing, Window]], began_at: float
    ) -> FailedWarming | None:
        """Bring what is asked of many symbols into memory with one read; return why it failed, if it did.

        `began_at` is when the answer that these reads belong to was asked for, in seconds of the monotonic clock.
        """
        asks = [_ask(listing, window) for listing, window in windows]
        ends_at = began_at + TOTAL_S
        is_remembered = all(self._cache.covers(interval, ask) for ask in asks)
        patience_s = min(self._patience(is_remembered), ends_at - time.monotonic() - BRIEF_S)
        try:
            await _within(patience_s, self._cache.warm(interval, asks), "the database")
        except (DatabaseUnavailable, UpstreamTimeout) as error:
            log.warning("no read of many symbols at once", symbols=len(asks), reason=error.detail)
            return FailedWarming(error, ends_at)
        return None

    async def latest(self, listing: Listing, interval: Interval, as_of: datetime | None) -> LatestCandle:
        """Return the newest closed candle with the forming one and the 24 h change; raises as `read` does."""
        query = CandleQuery(listing.symbol, interval, limit=1, as_of=as_of, include_open=as_of is None)
        answer = await self.read(listing, query)
        bars = [Bar(**row) for row in answer.table.to_pylist()]
        forming = bars.pop() if answer.forming else None
        if not bars or answer.data_as_of is None:
            raise NoCandles(f"{listing.symbol} has no closed {interval} candle")
        closed = bars[-1]
        return LatestCandle(
            symbol=listing.symbol,
            interval=interval,
            closed=closed,
            forming=forming,
            change_24h_percent=await self._change(listing, interval, closed, as_of),
            source=answer.source,
            data_as_of=answer.data_as_of,
            stale=answer.stale,
        )

    async def _change(self, listing: Listing, interval: Interval, closed: Bar, as_of: datetime | None) -> float | None:
        end = closed.time - _DAY + MICROSECOND
        before = await self.read(listing, CandleQuery(listing.symbol, interval, end=end, limit=1, as_of=as_of))
        if not before.table.num_rows:
            return None
        return float((closed.close / before.table["close"][-1].as_py() - 1.0) * 100.0)

    async def _first_answer(self, listing: Listing, window: Window) -> _Known:
        started = time.monotonic()
        is_remembered = self._cache.covers(window.interval, _ask(listing, window))
        try:
            known = await _within(self._patience(is_remembered), self._from_database(listing, window), "the database")
        except (DatabaseUnavailable, UpstreamTimeout) as error:
            left_s = BRIEF_S if is_remembered else TOTAL_S - (time.monotonic() - started)
            return await self._without_database(listing, window, error, left_s)
        self._note("database", None)
        if known.newest is None and listing.managed is not None:
            return await self._from_backup(listing, window, TOTAL_S - (time.monotonic() - started)) or known
        return known

    def _patience(self, is_remembered: bool) -> float:
        if is_remembered:
            return BRIEF_S
        return TOTAL_S if self._backup is None else DATABASE_S

    async def _without_database(
        self, listing: Listing, window: Window, error: CandlecastError, left_s: float
    ) -> _Known:
        self._note("database", error)
        known = await self._from_backup(listing, window, left_s) or await self._from_memory(listing, window)
        if known.newest is None:
            raise error
        return known

    def _note(self, source: str, error: CandlecastError | None) -> None:
        """Log that a source falls silent, once and not with each of the reads that find it so."""
        if error is not None and source not in self._silent and not isinstance(error, NotFound):
            log.warning("source does not answer", source=source, reason=error.detail)
            self._silent.add(source)
        elif error is None:
            self._silent.discard(source)

    async def _from_database(self, listing: Listing, window: Window) -> _Known:
        async def read(start: datetime | None, end: datetime, limit: int) -> pa.Table:
            return await self._cache.window(window.interval, Ask(listing.symbol, listing.calendar, start, end, limit))

        return await _gather(read, window, Source.DATABASE)

    async def _from_memory(self, listing: Listing, window: Window) -> _Known:
        async def read(start: datetime | None, end: datetime, limit: int) -> pa.Table:
            return self._cache.held(window.interval, Ask(listing.symbol, listing.calendar, start, end, limit))

        return await _gather(read, window, Source.CACHE)

    async def _from_backup(self, listing: Listing, window: Window, left_s: float) -> _Known | None:
        """Return what EasyInsight knows, or None where there is none, it fails, is too slow, or knows nothing."""
        if self._backup is None:
            return None
        start, end = window.span(listing.calendar)
        try:
            asked = self._backup.candles(listing.symbol, window.interval, start, end)
            told = await _within(left_s, asked, "EasyInsight")
        except CandlecastError as error:
            self._note("EasyInsight", error)
            return None
        self._note("EasyInsight", None)
        sound = _whole(screen(told, self._clock())[0].sort_by("time"))

        async def read(start: datetime | None, end: datetime, limit: int) -> pa.Table:
            return cut(sound, start, end, limit)

        known = await _gather(read, window, Source.EASYINSIGHT)
        return known if known.newest is not None else None

    async def _refuse_unless_later(self, listing: Listing, window: Window) -> None:
        """Tell a symbol without any candle from one whose first candle closed after the reference instant."""
        ask = Ask(listing.symbol, listing.calendar, None, self._clock(), 1)
        try:
            any_row = await _within(BRIEF_S, self._cache.window(window.interval, ask), "the database")
        except (DatabaseUnavailable, UpstreamTimeout):
            any_row = self._cache.held(window.interval, ask)
        if not any_row.num_rows:
            raise NoCandles(f"{listing.symbol} has no {window.interval} candles")


def _ask(listing: Listing, window: Window) -> Ask:
    return Ask(listing.symbol, listing.calendar, window.start, window.closed_end, window.limit)


async def _within(seconds: float, answer: Awaitable[T], name: str) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise UpstreamTimeout(f"{name} did not answer within {seconds:.1f} s") from None


def _whole(table: pa.Table) -> pa.Table:
    """Say that no bar was aggregated here."""
    return table.append_column(WINDOW_SCHEMA.field("incomplete"), pa.repeat(False, table.num_rows)).combine_chunks()


async def _gather(read: Read, window: Window, source: Source) -> _Known:
    delta, reference = window.interval.delta, window.reference
    closed = await read(window.start, window.closed_end, window.limit)
    newest = closed if window.end >= reference else closed.slice(0, 0)
    if not newest.num_rows:
        newest = await read(None, reference - delta + MICROSECOND, 1)
    forming = closed.slice(0, 0)
    if window.forming:
        forming = await read(reference - delta + MICROSECOND, min(window.end, reference + MICROSECOND), 1)
    return _Known(closed, forming, to_datetime(times_of(newest)[-1]) if newest.num_rows else None, source)


def _answer(listing: Listing, window: Window, known: _Known) -> Candles:
    interval = window.interval
    table = pa.concat_tables([known.closed, known.forming]) if known.forming.num_rows else known.closed
    behind = known.newest is None or listing.calendar.is_behind(interval, known.newest, window.reference)
    return Candles(
        symbol=listing.symbol,
        interval=interval,
        table=table.select(CANDLE_SCHEMA.names).combine_chunks(),
        source=known.source,
        data_as_of=known.newest + interval.delta if known.newest else None,
        stale=behind or known.source is Source.CACHE,
        gaps=gaps(times_of(known.closed), interval, listing.calendar),
        forming=known.forming.num_rows > 0,
        incomplete=_incomplete(known.closed),
    )


def _incomplete(closed: pa.Table) -> tuple[datetime, ...]:
    flags = closed["incomplete"]
    return tuple(closed["time"].filter(flags).to_pylist()) if pc.any(flags).as_py() else ()
