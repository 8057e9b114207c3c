"""What the Knowledge deployment does: search, analogues, and word of the sync."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, InvalidRequest
from deployments.common.telemetry import logger
from deployments.knowledge.analogues import MAX_BARS, check_query, find_analogues
from deployments.knowledge.index import PassageFilter, PassageIndex
from deployments.knowledge.models import (
    AnalogueQuery,
    Analogues,
    KnowledgeHealth,
    SearchAnswer,
    SearchQuery,
    SyncStatus,
)
from deployments.knowledge.question import read_question
from deployments.knowledge.store import TableChange
from deployments.knowledge.sync import Encoder
from deployments.market_data.models import CandleQuery, Candles, Interval, LatestCandle
from deployments.market_data.symbols.names import canonical

log = logger(__name__)

MAX_QUESTION = 2_000
MAX_K = 100
FOLLOW_EVERY_S = 1.0
"""How often at most the table is asked for a newer version, and the sync for its status."""

STALE_CYCLES = 2
ENDED_KEPT_S = 30.0


class CandleSource(Protocol):
    """What analogues ask of market data."""

    async def candles(self, query: CandleQuery) -> Candles: ...

    async def latest(self, symbol: str, interval: Interval) -> LatestCandle: ...


class PassageReader(Protocol):
    """What search asks of the passages table."""

    def version(self) -> int: ...
    def changes(self, known: frozenset[int] = frozenset()) -> TableChange: ...


class SyncControl(Protocol):
    """The sync, wherever it runs; raises `Unavailable` or `UpstreamTimeout` while it is away."""

    async def status(self) -> SyncStatus: ...
    async def start(self) -> SyncStatus: ...
    async def stop(self) -> SyncStatus: ...
    async def trigger(self) -> SyncStatus: ...
    async def rebuild(self) -> SyncStatus: ...


class KnowledgeService:
    """Answer from an index in memory that follows the table within a second."""

    def __init__(
        self,
        store: PassageReader,
        encoder: Encoder,
        market_data: CandleSource,
        sync: SyncControl,
        clock: Clock = utc_now,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._market_data = market_data
        self._sync = sync
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._index = PassageIndex()
        self._following = asyncio.Lock()
        self._followed_s = -FOLLOW_EVERY_S
        self._status: SyncStatus | None = None
        self._ended: dict[tuple[str, Interval], tuple[float, bool]] = {}

    async def search(self, query: SearchQuery) -> SearchAnswer:
        """Return the passages nearest to a question; its dates, levels and symbols filter. Raises `InvalidRequest`."""
        _check_search(query)
        await self._follow()
        vectors = await asyncio.to_thread(self._encoder.encode, [query.q])
        where = passage_filter(query, self._index.symbols())
        hits = await asyncio.to_thread(self._index.search, vectors[0], query.k, where)
        status = self._status
        indexed_until = status.watermark if status is not None else self._index.newest()
        stale = _is_stale(status) or await self._has_ended({(hit.symbol, hit.interval) for hit in hits})
        return SearchAnswer(hits, self._index.size, indexed_until, stale)

    async def _has_ended(self, series: set[tuple[str, Interval]]) -> bool:
        """Return whether the data behind any of these series have stopped; an unknown answer counts as yes."""
        return any([await self._series_ended(*each) for each in series])

    async def _series_ended(self, symbol: str, interval: Interval) -> bool:
        seen_s, ended = self._ended.get((symbol, interval), (-ENDED_KEPT_S, True))
        if self._monotonic_s() - seen_s < ENDED_KEPT_S:
            return ended
        try:
            ended = (await self._market_data.latest(symbol, interval)).stale
        except CandlecastError as error:
            log.warning("freshness of the data unknown", symbol=symbol, reason=str(error))
            return True
        self._ended[symbol, interval] = (self._monotonic_s(), ended)
        return ended

    async def analogues(self, query: AnalogueQuery) -> Analogues:
        """Return past windows of the same shape and what followed; raises `TooLittleHistory` or `InvalidRequest`."""
        check_query(query)
        wanted = CandleQuery(query.symbol, query.interval, limit=MAX_BARS, as_of=query.as_of)
        candles = await self._market_data.candles(wanted)
        return await asyncio.to_thread(find_analogues, candles, query)

    async def sync_status(self) -> SyncStatus:
        """Return where the sync stands."""
        return await self._sync.status()

    async def start_sync(self) -> SyncStatus:
        """Let the sync run periodically; survives restarts."""
        return await self._sync.start()

    async def stop_sync(self) -> SyncStatus:
        """Stop the periodic sync after the batch under way; survives restarts."""
        return await self._sync.stop()

    async def trigger_sync(self) -> SyncStatus:
        """Run a cycle now, or join the one that runs; returns at once."""
        return await self._sync.trigger()

    async def rebuild(self) -> SyncStatus:
        """Drop every passage and index anew; returns at once."""
        return await self._sync.rebuild()

    async def health(self) -> KnowledgeHealth:
        """Return how much is indexed and how the sync does; never fails because the sync is away."""
        try:
            await self._follow()
            status, reason = await self._sync.status(), ""
        except CandlecastError as error:
            status, reason = None, str(error)
        return KnowledgeHealth(self._index.size, self._index.version, status, reason)

    async def _follow(self) -> None:
        """Bring index and sync status up to date, at most once a second, one caller at a time."""
        async with self._following:
            if self._monotonic_s() - self._followed_s < FOLLOW_EVERY_S:
                return
            await asyncio.to_thread(follow, self._store, self._index)
            try:
                self._status = await self._sync.status()
            except CandlecastError as error:
                self._status = None
                log.warning("sync status unknown", reason=str(error))
            self._followed_s = self._monotonic_s()


def follow(store: PassageReader, index: PassageIndex) -> None:
    """Bring an index to the table's newest version, reading only fragments it has not read."""
    if store.version() != index.version and not index.advance(store.changes(index.fragments)):
        index.replace(store.changes())


def passage_filter(query: SearchQuery, known_symbols: frozenset[str]) -> PassageFilter:
    """Return the filter that a query states and its question implies; a stated symbol overrules the question's."""
    named = read_question(query.q, known_symbols)
    return PassageFilter(
        symbols=frozenset({canonical(query.symbol)}) if query.symbol else named.symbols,
        kind=query.kind,
        start=query.start,
        end=query.end,
        as_of=query.as_of,
        spans=named.spans,
        levels=named.levels,
    )


def _check_search(query: SearchQuery) -> None:
    wrong: list[tuple[str, str]] = []
    if not query.q.strip() or len(query.q) > MAX_QUESTION:
        wrong.append(("q", f"must have 1 to {MAX_QUESTION} characters"))
    if not 1 <= query.k <= MAX_K:
        wrong.append(("k", f"must be between 1 and {MAX_K}"))
    if query.start is not None and query.end is not None and query.start >= query.end:
        wrong.append(("end", "must lie after start"))
    if wrong:
        raise InvalidRequest("The search is malformed.", tuple(wrong))


def _is_stale(status: SyncStatus | None) -> bool:
    if status is None or status.lag_seconds is None:
        return True
    return status.lag_seconds > STALE_CYCLES * status.interval_seconds
