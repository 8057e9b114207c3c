"""The log of served requests and of the SQL inside them, written off the request's path and kept in bounds."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from deployments.common.clock import Clock, utc_now
from deployments.common.telemetry import current_request_id, logger
from deployments.market_data.models import QueryLogEntry
from deployments.market_data.observation import Observation

log = logger(__name__)

LOT = 1_000
MAX_PENDING = 20_000
"""Statements kept while the database is away; older ones make room."""

PRUNE_EVERY_S = 60.0
PRUNE_LOT = 5_000
"""Entries that one statement removes: a large one would hold its locks, and its place in the pool, for seconds."""


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """One SQL statement inside a request; `time` is when it had ended, `error` the class of what it raised."""

    request_id: str
    time: datetime
    name: str
    duration_ms: float
    rows: int
    error: str


@dataclass(frozen=True, slots=True)
class QueryFilter:
    """Which requests to return, newest first; an empty `endpoint` means every one."""

    limit: int = 100
    endpoint: str = ""
    min_duration_ms: float = 0.0
    since: datetime | None = None


class QueryLogStore(Protocol):
    """Where the log is kept; every method may raise `DatabaseUnavailable`."""

    async def add_requests(self, entries: Sequence[QueryLogEntry]) -> None: ...

    async def add_statements(self, entries: Sequence[StatementEntry]) -> None: ...

    async def requests(self, wanted: QueryFilter) -> tuple[QueryLogEntry, ...]:
        """Return requests with the statements of the same id that ran while they were served."""
        ...

    async def prune(self, before: datetime, max_rows: int, at_most: int) -> int:
        """Remove entries older than `before` or beyond the newest `max_rows` of each kind, at most so many of each.

        Returns the number removed.
        """
        ...

    async def close(self) -> None: ...


class QueryLog:
    """Keep the newest `max_rows` requests, and as many statements, for `max_days` days.

    Statements are collected in memory and written `flush_s` seconds later; those outside a request are not kept. For
    one event loop.
    """

    def __init__(
        self,
        store: QueryLogStore,
        max_rows: int = 100_000,
        max_days: float = 30.0,
        flush_s: float = 1.0,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._max_rows = max_rows
        self._max_age = timedelta(days=max_days)
        self._flush_s = flush_s
        self._clock = clock
        self._monotonic = monotonic
        self._pending: deque[StatementEntry] = deque(maxlen=MAX_PENDING)
        self._task: asyncio.Task[None] | None = None
        self._pruned_at = float("-inf")
        self.lost = 0

    def note(self, seen: Observation) -> None:
        """Take a statement of the request that this task works for."""
        identity = current_request_id()
        if not identity:
            return
        self.lost += len(self._pending) == MAX_PENDING
        self._pending.append(
            StatementEntry(identity, self._clock(), seen.name, seen.duration_ms, seen.rows, seen.error)
        )
        self._wake()

    async def add(self, entries: Sequence[QueryLogEntry]) -> None:
        """Keep served requests."""
        if entries:
            await self._store.add_requests(entries)
            self._wake()

    async def read(self, wanted: QueryFilter) -> tuple[QueryLogEntry, ...]:
        """Return requests, newest first, with the statements inside them."""
        await self.flush()
        return await self._store.requests(wanted)

    async def flush(self) -> None:
        """Write the statements that there are; those that the database does not take are lost."""
        while self._pending:
            lot = [self._pending.popleft() for _ in range(min(LOT, len(self._pending)))]
            try:
                await self._store.add_statements(lot)
            except Exception as error:  # a log that cannot be written must fail nobody
                self.lost += len(lot)
                log.warning("statement log entries lost", entries=len(lot), reason=type(error).__name__)

    async def prune(self) -> int:
        """Remove what is too old or too much, in small lots; return how many entries went."""
        removed = 0
        while lot := await self._store.prune(self._clock() - self._max_age, self._max_rows, PRUNE_LOT):
            removed += lot
        return removed

    async def close(self) -> None:
        """Write what is left and end the connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self.flush()
        await self._store.close()

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            # In a context of its own: what it does belongs to no request.
            self._task = asyncio.create_task(self._tend(), context=Context())

    async def _tend(self) -> None:
        await asyncio.sleep(self._flush_s)
        await self.flush()
        if self._monotonic() - self._pruned_at >= PRUNE_EVERY_S:
            self._pruned_at = self._monotonic()
            await self._prune_if_possible()

    async def _prune_if_possible(self) -> None:
        try:
            removed = await self.prune()
        except Exception as error:  # tried again a minute later
            log.warning("query log not pruned", reason=type(error).__name__)
            return
        if removed:
            log.info("query log pruned", entries=removed)
