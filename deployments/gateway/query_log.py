"""Send the log of served requests to market data in lots, off the request's path."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context

from deployments.common.telemetry import logger
from deployments.market_data.models import QueryLogEntry

log = logger(__name__)

LOT = 500
MAX_PENDING = 10_000
"""Entries kept while market data is away; older ones make room."""

Sink = Callable[[tuple[QueryLogEntry, ...]], Awaitable[None]]


class QueryLog:
    """Collect entries and hand them to `sink` at most `flush_s` seconds later."""

    def __init__(self, sink: Sink, flush_s: float) -> None:
        self._sink = sink
        self._flush_s = flush_s
        self._pending: deque[QueryLogEntry] = deque(maxlen=MAX_PENDING)
        self._task: asyncio.Task[None] | None = None
        self.lost = 0

    @property
    def pending(self) -> int:
        return len(self._pending)

    def add(self, entry: QueryLogEntry) -> None:
        """Take an entry; the first one of a lot starts the wait for the others."""
        self.lost += len(self._pending) == MAX_PENDING
        self._pending.append(entry)
        if self._task is None or self._task.done():
            # In a context of its own: Serve ends the calls of a request whose client has left.
            self._task = asyncio.create_task(self._flush_soon(), context=Context())

    async def flush(self) -> None:
        """Send what there is; entries that market data does not take are lost, requests never wait for it."""
        while self._pending:
            lot = tuple(self._pending.popleft() for _ in range(min(LOT, len(self._pending))))
            try:
                await self._sink(lot)
            except Exception as error:
                self.lost += len(lot)
                log.warning("query log entries lost", entries=len(lot), reason=type(error).__name__)

    async def _flush_soon(self) -> None:
        await asyncio.sleep(self._flush_s)
        await self.flush()
