"""The newest candles of what is being read, as columns in memory, in front of the database."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import numpy as np
import pyarrow as pa

from deployments.common.clock import Clock
from deployments.market_data.calendars.calendar import ALWAYS_OPEN, Calendar
from deployments.market_data.calendars.windows import Ask, cut
from deployments.market_data.instants import times_of, to_datetime, to_numpy
from deployments.market_data.models import MAX_CANDLES, WINDOW_SCHEMA, Interval
from deployments.market_data.quality.checks import CLOCK_TOLERANCE, screen

TAIL_S = 1.0
"""How long the newest bars are believed."""

WHOLE_S = 300.0
"""How long all bars are believed; a correction of an old one by somebody else is seen after at most this long."""

DEPTH = 5_000
"""Bars kept of a series: 90 days of hours and a half. `benchmarks/candle_cache.py` weighs them."""

SHALLOW = 512
"""Bars that the first read of a series loads at least."""

MAX_SERIES = 256
_TAIL_BARS = 3
_KEPT = DEPTH + 8
"""`DEPTH` closed bars, the one that is forming, and those of a minute that our clock may lag behind."""


class CandleWindows(Protocol):
    """Where candles are kept."""

    async def windows(self, interval: Interval, asks: Sequence[Ask]) -> Sequence[pa.Table]:
        """Return for each ask the newest `limit` rows that open in [start, end), ascending, as `WINDOW_SCHEMA`."""

    async def window(
        self,
        symbol: str,
        interval: Interval,
        start: datetime | None,
        end: datetime,
        limit: int,
        calendar: Calendar = ALWAYS_OPEN,
    ) -> pa.Table:
        """Return what `windows` does for one symbol, as `CANDLE_SCHEMA`."""


@dataclass(slots=True)
class _Series:
    """The newest rows of a symbol; `depth` of them were asked for, and `is_whole` says that there are no more."""

    table: pa.Table = field(default_factory=WINDOW_SCHEMA.empty_table)
    depth: int = 0
    calendar: str = ""
    is_whole: bool = False
    loaded_at: float = float("-inf")
    checked_at: float = float("-inf")
    changed_from: datetime | None = None
    changes: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def covers(self, start: datetime | None, end: datetime, limit: int) -> bool:
        """Whether the rows held include every row that a window can ask for."""
        if self.is_whole:
            return True
        if not self.table.num_rows:
            return False
        times = times_of(self.table)
        if start is not None and to_numpy(start) >= times[0]:
            return True
        return int(np.searchsorted(times, to_numpy(end))) >= limit


@dataclass(frozen=True, slots=True)
class _Renewal:
    """What to ask the store for, and how deep the series is afterwards; `since` None replaces all of it.

    `changes` tells whether rows were stored while the store was being asked.
    """

    ask: Ask
    depth: int
    since: datetime | None
    changes: int


class CandleCache:
    """Read candles through memory; rows that a quality check refuses never leave it.

    A series is as deep as what was asked of it, up to `DEPTH` bars; a window that reaches further back is read from
    the store each time. Each series is renewed by one reader at a time while the others wait for it.
    """

    def __init__(self, store: CandleWindows, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._series: OrderedDict[tuple[str, Interval], _Series] = OrderedDict()

    async def window(self, interval: Interval, ask: Ask) -> pa.Table:
        """Return the sound rows of an ask with `WINDOW_SCHEMA`, at most a second old.

        Raises what the store raises; what is held stays for `held`.
        """
        series = self._of(ask.symbol, interval)
        async with series.lock:
            renewal = self._due(series, interval, ask)
            if renewal is not None:
                (rows,) = await self._store.windows(interval, [renewal.ask])
                self._keep(series, renewal, rows)
        if series.covers(ask.start, ask.end, ask.limit):
            return cut(series.table, ask.start, ask.end, ask.limit)
        return await self._unkept(interval, replace(ask, end=min(ask.end, self._horizon())))

    async def warm(self, interval: Interval, asks: Sequence[Ask]) -> None:
        """Renew many series with one read of the store, so that `window` finds them fresh; raises as it does."""
        by_symbol = {ask.symbol: ask for ask in asks}
        async with AsyncExitStack() as locks:
            due: list[tuple[_Series, _Renewal]] = []
            for symbol in sorted(by_symbol):  # in one order, so that two batches never wait for each other
                series = self._of(symbol, interval)
                await locks.enter_async_context(series.lock)
                renewal = self._due(series, interval, by_symbol[symbol])
                if renewal is not None:
                    due.append((series, renewal))
            if not due:
                return
            tables = await self._store.windows(interval, [renewal.ask for _, renewal in due])
            for (series, renewal), rows in zip(due, tables, strict=True):
                self._keep(series, renewal, rows)

    async def _unkept(self, interval: Interval, ask: Ask) -> pa.Table:
        """Read past memory, and on behind refused rows until there are as many sound ones as asked for."""
        sound = WINDOW_SCHEMA.empty_table()
        end, limit = ask.end, ask.limit
        while True:
            (rows,) = await self._store.windows(interval, [replace(ask, end=end, limit=limit)])
            sound = pa.concat_tables([self._sound(rows), sound]).combine_chunks()
            if rows.num_rows < limit or sound.num_rows >= ask.limit:
                return sound.slice(max(0, sound.num_rows - ask.limit))
            end, limit = to_datetime(times_of(rows)[0]), max(SHALLOW, ask.limit - sound.num_rows)

    def held(self, interval: Interval, ask: Ask) -> pa.Table:
        """Return what memory has of a window, without asking anybody; it may be old and may lack the start."""
        series = self._series.get((ask.symbol, interval))
        return cut(series.table, ask.start, ask.end, ask.limit) if series else WINDOW_SCHEMA.empty_table()

    def covers(self, interval: Interval, ask: Ask) -> bool:
        """Whether memory has every row of a window, however old."""
        series = self._series.get((ask.symbol, interval))
        return series is not None and series.covers(ask.start, ask.end, ask.limit)

    def changed(self, interval: Interval, rows: pa.Table) -> None:
        """Have what these rows with `SYMBOL_CANDLE_SCHEMA` touch read again before it is next used, and no more.

        Bars of longer intervals may be made of them.
        """
        oldest = rows.group_by("symbol").aggregate([("time", "min")]).to_pydict()
        since = dict(zip(oldest["symbol"], oldest["time_min"], strict=True))
        for (symbol, held), series in self._series.items():
            if symbol in since and held.delta >= interval.delta:
                series.checked_at = float("-inf")
                series.changes += 1
                series.changed_from = min(since[symbol], series.changed_from or since[symbol])

    def size(self) -> int:
        """Return the number of rows held."""
        return sum(series.table.num_rows for series in self._series.values())

    def size_bytes(self) -> int:
        """Return the bytes of the rows held."""
        return sum(series.table.get_total_buffer_size() for series in self._series.values())

    def _of(self, symbol: str, interval: Interval) -> _Series:
        series = self._series.setdefault((symbol, interval), _Series())
        self._series.move_to_end((symbol, interval))
        if len(self._series) > MAX_SERIES:
            self._series.popitem(last=False)
        return series

    def _due(self, series: _Series, interval: Interval, ask: Ask) -> _Renewal | None:
        """Return what must be read before the series can answer, or None where it can, or never will."""
        now = self._monotonic()
        is_fresh = now - series.checked_at <= TAIL_S
        is_deep = series.covers(ask.start, ask.end, ask.limit)
        if is_fresh and is_deep:
            return None
        depth = series.depth if is_deep else max(series.depth, self._depth_for(interval, ask))
        if depth == 0 or (is_fresh and depth == series.depth):
            return None  # too far back to be kept
        since = self._tail_start(series, interval)
        is_other = series.calendar != ask.calendar.name  # which bars there are, where they are added up, has changed
        if since is None or is_other or depth > series.depth or now - series.loaded_at > WHOLE_S:
            return _Renewal(replace(ask, start=None, end=self._horizon(), limit=depth), depth, None, series.changes)
        return _Renewal(replace(ask, start=since, end=self._horizon(), limit=MAX_CANDLES), depth, since, series.changes)

    def _depth_for(self, interval: Interval, ask: Ask) -> int:
        """Return how many of the newest bars include a window, rounded up; 0 where that is more than is kept."""
        since = ask.end if ask.start is None else ask.start
        horizon = self._horizon()
        slots = (horizon - since) / interval.delta
        if slots > 8 * DEPTH:
            return 0
        bars = len(ask.calendar.expected(interval, since, horizon)) if slots > 0 else 0
        bars += ask.limit if ask.start is None else 0
        if bars > _KEPT:
            return 0
        return min(_KEPT, max(SHALLOW, 1 << (bars + _TAIL_BARS).bit_length()))

    def _tail_start(self, series: _Series, interval: Interval) -> datetime | None:
        """Return from where on the rows may have changed, or None where that is before the first one held."""
        if not series.table.num_rows:
            return None
        times = times_of(series.table)
        since = to_datetime(times[-1]) - _TAIL_BARS * interval.delta
        if series.changed_from is not None:
            # The bar that a changed row belongs to opens at most two of its lengths before it.
            since = min(since, series.changed_from - 2 * interval.delta)
            if since <= to_datetime(times[0]):
                return None
        return since

    def _keep(self, series: _Series, renewal: _Renewal, rows: pa.Table) -> None:
        now = self._monotonic()
        sound = self._sound(rows)
        if renewal.since is None:
            series.is_whole = rows.num_rows < renewal.ask.limit
            series.loaded_at = now
        else:
            before = cut(series.table, None, renewal.since, renewal.depth)
            sound = pa.concat_tables([before, sound]).combine_chunks()
            series.is_whole = series.is_whole and sound.num_rows <= _KEPT
        series.table = _compact(sound.slice(max(0, sound.num_rows - _KEPT)))
        series.depth, series.calendar = renewal.depth, renewal.ask.calendar.name
        if series.changes == renewal.changes:
            series.changed_from = None
            series.checked_at = now

    def _sound(self, rows: pa.Table) -> pa.Table:
        return screen(rows, self._clock())[0].combine_chunks()

    def _horizon(self) -> datetime:
        return self._clock() + CLOCK_TOLERANCE


def _compact(table: pa.Table) -> pa.Table:
    """Return a table with memory of its own: a slice would keep alive all that was read together with it."""
    return table if table.get_total_buffer_size() <= 1.1 * table.nbytes else table.take(np.arange(table.num_rows))
