"""Bring the passages table up to the market data; plain, resumable, idempotent.

Nothing is remembered between cycles: where to go on follows from what is stored. A series is read upwards in time and
written in that order, so whatever moment a cycle dies at, the next one begins at the last stored candle.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

import pyarrow as pa

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import NotFound
from deployments.common.telemetry import logger
from deployments.knowledge.digests import context_span, day_id, day_passages, days_to_tell, finished_days
from deployments.knowledge.embedding import Vectors
from deployments.knowledge.models import Passage, SyncCycle
from deployments.knowledge.passages import candle_passages, changed
from deployments.knowledge.progress import Progress
from deployments.knowledge.store import Series
from deployments.market_data.models import Interval, LatestCandle, SymbolFilter, SymbolPage

log = logger(__name__)

READ_LIMIT = 10_000
"""Rows of one read of a digest's context."""

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class CandleReader(Protocol):
    """What the sync asks of market data."""

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage: ...
    async def latest(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> LatestCandle: ...
    async def candles_after(
        self, interval: Interval, after_time: datetime, after_symbol: str, limit: int, symbols: tuple[str, ...] = ()
    ) -> pa.Table: ...


class PassageWriter(Protocol):
    """What the sync asks of the passages table."""

    def watermarks(self) -> dict[Series, datetime]: ...
    def content_hashes(self, ids: Collection[int]) -> dict[int, int]: ...
    def upsert(self, passages: Sequence[Passage], vectors: Vectors) -> tuple[int, int]: ...
    def count(self) -> int: ...
    def clear(self) -> None: ...
    def tidy(self) -> None: ...


class Encoder(Protocol):
    """What turns texts into unit vectors."""

    def encode(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """How the sync reads: rows per commit, reach back from each symbol's newest bar (None: all), bars read again."""

    batch_size: int = 512
    lookback: timedelta | None = timedelta(days=90)
    overlap_bars: int = 48

    def first_time(self, interval: Interval, newest: datetime, watermark: datetime | None) -> datetime:
        """Return the opening time from which on a series is read in this cycle."""
        reach = newest - self.lookback if self.lookback is not None else _FIRST
        return reach if watermark is None else max(reach, watermark - self.overlap_bars * interval.delta)


@dataclass(slots=True)
class _Batch:
    """What is read but not yet written: passages in order, and up to where each series is covered by them."""

    passages: list[Passage] = field(default_factory=list)
    covered: dict[Series, datetime] = field(default_factory=dict)


@dataclass(slots=True)
class _Counts:
    read: int = 0
    new: int = 0
    changed: int = 0


class SyncEngine:
    """Run one cycle after the other; `guard` raises where this process may no longer write."""

    def __init__(
        self,
        market_data: CandleReader,
        store: PassageWriter,
        encoder: Encoder,
        plan: SyncPlan,
        guard: Callable[[], None] = lambda: None,
        clock: Clock = utc_now,
    ) -> None:
        self._market_data = market_data
        self._store = store
        self._encoder = encoder
        self._plan = plan
        self._guard = guard
        self._clock = clock
        self._stopping = False
        self.progress = Progress()

    def stop(self) -> None:
        """End the cycle under way after its current batch; only while one runs."""
        self._stopping = True

    async def recall(self) -> None:
        """Note what is stored, so that a stopped sync can tell too."""
        self.progress.indexed = await asyncio.to_thread(self._store.watermarks)
        self.progress.passages = await asyncio.to_thread(self._store.count)

    async def clear(self) -> None:
        """Delete every passage, to be built again by the next cycle."""
        self._guard()
        await asyncio.to_thread(self._store.clear)
        self.progress = Progress()

    async def run_cycle(self) -> SyncCycle:
        """Index everything that market data has beyond the table; return what was done.

        Raises the error of market data or of the store that ended it; what was written before stays.
        """
        started_at, clock_s = self._clock(), time.perf_counter()
        counts = _Counts()
        try:
            await self._look(await self._series())
            await self._drain(counts)
            await asyncio.to_thread(self._store.tidy)
            if not self._stopping:
                self.progress.looked_at = started_at
        finally:
            self._stopping = False
        return SyncCycle(started_at, counts.read, counts.new, counts.changed, time.perf_counter() - clock_s)

    async def _drain(self, counts: _Counts) -> None:
        batch = _Batch()
        try:
            async for series, rows in self._unread():
                counts.read += rows.num_rows
                batch.passages += await self._passages(series, rows)
                batch.covered[series] = rows["time"][-1].as_py()
                if len(batch.passages) >= self._plan.batch_size:
                    full, batch = batch, _Batch()
                    await self._write(full, counts)
        finally:
            await self._write(batch, counts)

    async def _series(self) -> list[Series]:
        """Return the enabled managed symbols, each with its own interval."""
        series: list[Series] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self._market_data.managed_symbols(SymbolFilter(limit=500, cursor=cursor))
            series += [(symbol.symbol, symbol.interval) for symbol in page.symbols if symbol.enabled]
            cursor = page.next_cursor
        return series

    async def _look(self, series: list[Series]) -> None:
        """Note each series' newest bar and watermark; a symbol without candles has nothing to index."""
        newest: dict[Series, datetime] = {}
        for symbol, interval in series:
            try:
                newest[symbol, interval] = (await self._market_data.latest(symbol, interval)).closed.time
            except NotFound as error:
                log.debug("nothing to index", symbol=symbol, interval=interval, reason=str(error))
        watermarks = await asyncio.to_thread(self._store.watermarks)
        self.progress.newest = newest
        self.progress.indexed = {key: watermarks[key] for key in newest if key in watermarks}
        self.progress.passages = await asyncio.to_thread(self._store.count)

    async def _unread(self) -> AsyncIterator[tuple[Series, pa.Table]]:
        """Yield the rows of one series after the other, at most a batch at a time, ascending."""
        for series, newest in list(self.progress.newest.items()):
            first = self._plan.first_time(series[1], newest, self.progress.indexed.get(series))
            async for rows in self._rows(series, first, self._plan.batch_size):
                yield series, rows
                if self._stopping:
                    return

    async def _rows(self, series: Series, first: datetime, limit: int) -> AsyncIterator[pa.Table]:
        symbol, interval = series
        after_time, after_symbol = first - _TICK, symbol
        while True:
            rows = await self._market_data.candles_after(interval, after_time, after_symbol, limit, (symbol,))
            if rows.num_rows:
                yield rows
                after_time = rows["time"][-1].as_py()
            if rows.num_rows < limit:
                return

    async def _passages(self, series: Series, rows: pa.Table) -> list[Passage]:
        """Return the new and changed passages of these rows and of the finished days that they touch.

        A candle and its day go into one transaction, or a kill between them would leave the digest behind.
        """
        symbol, interval = series
        candles = await asyncio.to_thread(candle_passages, rows, interval)
        days = finished_days(candles, interval, self._clock())
        ids = [*(passage.id for passage in candles), *(day_id(symbol, interval, day) for day in days)]
        stored = await asyncio.to_thread(self._store.content_hashes, ids)
        fresh = changed(candles, stored)
        return fresh + changed(await self._digests(series, days_to_tell(days, fresh, stored, series)), stored)

    async def _digests(self, series: Series, days: list[date]) -> list[Passage]:
        if not days:
            return []
        first, end = context_span(days, series[1])
        parts: list[pa.Table] = []
        most = math.ceil((end - first) / series[1].delta) + 1
        async for rows in self._rows(series, first, min(most, READ_LIMIT)):
            parts.append(rows)
            if rows["time"][-1].as_py() >= end:
                break
        return await asyncio.to_thread(day_passages, pa.concat_tables(parts), series[1], days) if parts else []

    async def _write(self, batch: _Batch, counts: _Counts) -> None:
        """Embed and upsert in one transaction, unless another process has taken over."""
        unique = list({passage.id: passage for passage in batch.passages}.values())
        if unique:
            vectors = await asyncio.to_thread(self._encoder.encode, [passage.text for passage in unique])
            self._guard()
            new, replaced = await asyncio.to_thread(self._store.upsert, unique, vectors)
            counts.new += new
            counts.changed += replaced
            self.progress.passages += new
        self.progress.indexed |= batch.covered
