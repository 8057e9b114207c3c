"""The newest candles of what is being read, as columns in memory, in front of the database."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np
import pyarrow as pa

from deployments.common.clock import Clock
from deployments.market_data.instants import times_of, to_datetime, to_numpy
from deployments.market_data.models import CANDLE_SCHEMA, MAX_CANDLES, Interval
from deployments.market_data.quality import CLOCK_TOLERANCE, screen
from deployments.market_data.windows import cut

TAIL_S = 1.0
"""How long the newest bars are believed."""

WHOLE_S = 300.0
"""How long all bars are believed; a correction of an old one is seen after at most this long."""

DEPTH = 5_000
"""Bars kept of a series: 90 days of hours and a half. 5,000 bars take 240 kB."""

MAX_SERIES = 256
_TAIL_BARS = 3


class CandleWindows(Protocol):
    """Where candles are kept: the newest `limit` of a symbol that open in [start, end), ascending."""

    async def window(
        self, symbol: str, interval: Interval, start: datetime | None, end: datetime, limit: int
    ) -> pa.Table: ...


@dataclass(slots=True)
class _Series:
    table: pa.Table = field(default_factory=CANDLE_SCHEMA.empty_table)
    is_whole: bool = False
    loaded_at: float = float("-inf")
    checked_at: float = float("-inf")
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


class CandleCache:
    """Read candles through memory; rows that a quality check refuses never leave it."""

    def __init__(self, store: CandleWindows, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._series: OrderedDict[tuple[str, Interval], _Series] = OrderedDict()

    async def window(
        self, symbol: str, interval: Interval, start: datetime | None, end: datetime, limit: int
    ) -> pa.Table:
        """Return the newest `limit` sound rows that open in [start, end), at most a second old.

        Raises what the store raises; what is held stays for `held`.
        """
        series = self._of(symbol, interval)
        async with series.lock:
            await self._renew(series, symbol, interval)
        if series.covers(start, end, limit):
            return cut(series.table, start, end, limit)
        return await self._read(symbol, interval, start, min(end, self._horizon()), limit)

    def held(self, symbol: str, interval: Interval, start: datetime | None, end: datetime, limit: int) -> pa.Table:
        """Return what memory has of a window, without asking anybody; it may be old and may lack the start."""
        series = self._series.get((symbol, interval))
        return cut(series.table, start, end, limit) if series else CANDLE_SCHEMA.empty_table()

    def expire(self, symbols: Collection[str]) -> None:
        """Have the series of these symbols read again before they are next used."""
        for (symbol, _), series in self._series.items():
            if symbol in symbols:
                series.loaded_at = series.checked_at = float("-inf")

    def size(self) -> int:
        """Return the number of rows held."""
        return sum(series.table.num_rows for series in self._series.values())

    def _of(self, symbol: str, interval: Interval) -> _Series:
        series = self._series.setdefault((symbol, interval), _Series())
        self._series.move_to_end((symbol, interval))
        if len(self._series) > MAX_SERIES:
            self._series.popitem(last=False)
        return series

    async def _renew(self, series: _Series, symbol: str, interval: Interval) -> None:
        now = self._monotonic()
        if now - series.checked_at <= TAIL_S:
            return
        if now - series.loaded_at > WHOLE_S or not series.table.num_rows:
            await self._load(series, symbol, interval)
            series.loaded_at = now
        else:
            await self._renew_tail(series, symbol, interval)
        series.checked_at = now

    async def _load(self, series: _Series, symbol: str, interval: Interval) -> None:
        rows = await self._store.window(symbol, interval, None, self._horizon(), DEPTH)
        series.is_whole = rows.num_rows < DEPTH
        series.table = self._sound(rows)

    async def _renew_tail(self, series: _Series, symbol: str, interval: Interval) -> None:
        since = to_datetime(times_of(series.table)[-1]) - _TAIL_BARS * interval.delta
        tail = await self._read(symbol, interval, since, self._horizon(), MAX_CANDLES)
        before = cut(series.table, None, since, DEPTH)
        merged = pa.concat_tables([before, tail]).combine_chunks()
        series.is_whole = series.is_whole and merged.num_rows <= DEPTH
        series.table = merged.slice(max(0, merged.num_rows - DEPTH))

    async def _read(
        self, symbol: str, interval: Interval, start: datetime | None, end: datetime, limit: int
    ) -> pa.Table:
        return self._sound(await self._store.window(symbol, interval, start, end, limit))

    def _sound(self, rows: pa.Table) -> pa.Table:
        return screen(rows, self._clock())[0].combine_chunks()

    def _horizon(self) -> datetime:
        return self._clock() + CLOCK_TOLERANCE
