"""Answer candle queries from the database, else from EasyInsight, else from memory, and say which."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import pyarrow as pa

from deployments.common.clock import Clock
from deployments.common.errors import CandlecastError, DatabaseUnavailable, NoCandles, UpstreamTimeout
from deployments.common.telemetry import logger
from deployments.market_data.cache import CandleCache
from deployments.market_data.directory import Listing
from deployments.market_data.instants import MICROSECOND, times_of, to_datetime
from deployments.market_data.models import Bar, CandleQuery, Candles, Interval, LatestCandle, Source
from deployments.market_data.quality import gaps, screen
from deployments.market_data.windows import Window, cut, window_of

log = logger(__name__)

_DAY = timedelta(hours=24)

Read = Callable[[datetime | None, datetime, int], Awaitable[pa.Table]]
"""Reads the newest `limit` rows that open in [start, end)."""


class BackupCandles(Protocol):
    """A second source of candles; rows with `CANDLE_SCHEMA` that open in [start, end)."""

    async def candles(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> pa.Table: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """What a source knows of a window: closed rows, the forming row or none, and the newest closed opening."""

    closed: pa.Table
    forming: pa.Table
    newest: datetime | None
    source: Source


class CandleReader:
    """Read one symbol from the first source that answers."""

    def __init__(self, cache: CandleCache, backup: BackupCandles | None, clock: Clock) -> None:
        self._cache = cache
        self._backup = backup
        self._clock = clock

    async def read(self, listing: Listing, query: CandleQuery) -> Candles:
        """Return the candles of a query; raises `InvalidRequest`, `NoCandles` or `DatabaseUnavailable`."""
        window = window_of(query, listing.calendar, self._clock())
        known = await self._first_answer(listing, window)
        if known.newest is None and not known.forming.num_rows:
            await self._refuse_unless_later(listing.symbol, window)
        return _answer(listing, window, known)

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
        try:
            known = await self._from_database(listing.symbol, window)
        except (DatabaseUnavailable, UpstreamTimeout) as error:
            return await self._without_database(listing, window, error)
        if known.newest is None and listing.managed is not None:
            return await self._from_backup(listing, window) or known
        return known

    async def _without_database(self, listing: Listing, window: Window, error: CandlecastError) -> _Known:
        log.warning("database does not answer", symbol=listing.symbol, reason=error.detail)
        known = await self._from_backup(listing, window) or await self._from_memory(listing.symbol, window)
        if known.newest is None:
            raise error
        return known

    async def _from_database(self, symbol: str, window: Window) -> _Known:
        async def read(start: datetime | None, end: datetime, limit: int) -> pa.Table:
            return await self._cache.window(symbol, window.interval, start, end, limit)

        return await _gather(read, window, Source.DATABASE)

    async def _from_memory(self, symbol: str, window: Window) -> _Known:
        async def read(start: datetime | None, end: datetime, limit: int) -> pa.Table:
            return self._cache.held(symbol, window.interval, start, end, limit)

        return await _gather(read, window, Source.CACHE)

    async def _from_backup(self, listing: Listing, window: Window) -> _Known | None:
        """Return what EasyInsight knows, or None where there is none, it fails, or it knows nothing."""
        if self._backup is None:
            return None
        start, end = window.span(listing.calendar)
        try:
            told = await self._backup.candles(listing.symbol, window.interval, start, end)
        except CandlecastError as error:
            log.warning("EasyInsight does not answer", symbol=listing.symbol, reason=error.detail)
            return None
        sound = screen(told, self._clock())[0].sort_by("time").combine_chunks()

        async def read(start: datetime | None, end: datetime, limit: int) -> pa.Table:
            return cut(sound, start, end, limit)

        known = await _gather(read, window, Source.EASYINSIGHT)
        return known if known.newest is not None else None

    async def _refuse_unless_later(self, symbol: str, window: Window) -> None:
        """Tell a symbol without any candle from one whose first candle closed after the reference instant."""
        try:
            any_row = await self._cache.window(symbol, window.interval, None, self._clock(), 1)
        except (DatabaseUnavailable, UpstreamTimeout):
            any_row = self._cache.held(symbol, window.interval, None, self._clock(), 1)
        if not any_row.num_rows:
            raise NoCandles(f"{symbol} has no {window.interval} candles")


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
        table=table.combine_chunks(),
        source=known.source,
        data_as_of=known.newest + interval.delta if known.newest else None,
        stale=behind or known.source is Source.CACHE,
        gaps=gaps(times_of(known.closed), interval, listing.calendar),
        forming=known.forming.num_rows > 0,
    )
