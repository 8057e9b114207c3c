"""Keep issued forecasts off the request path: queue them, store them in batches."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from deployments.common.telemetry import logger
from deployments.forecasting.issued import IssuedForecast

log = logger(__name__)

MAX_PENDING = 10_000
"""Forecasts kept while the store cannot be written; beyond it the oldest go, some 40 MB at a horizon of 24."""

REMEMBERED = 10_000
"""Keys remembered as stored, so that a forecast asked for a hundred times in its hour is offered once."""


class ForecastTable(Protocol):
    """Where issued forecasts end up."""

    def append(self, issued: Sequence[IssuedForecast]) -> int: ...


class ForecastJournal:
    """Queue issued forecasts and flush them to a table. Belongs to one event loop."""

    def __init__(self, table: ForecastTable) -> None:
        self._table = table
        self._pending: dict[str, IssuedForecast] = {}
        self._stored: dict[str, None] = {}
        self._flushing = asyncio.Lock()

    def add(self, issued: IssuedForecast) -> None:
        """Queue a forecast unless it was queued or stored before."""
        key = issued.key
        if key in self._pending or key in self._stored:
            return
        self._pending[key] = issued
        if len(self._pending) > MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))

    async def flush(self) -> None:
        """Store what is queued; what cannot be stored stays queued and is logged."""
        async with self._flushing:
            batch = dict(self._pending)
            if not batch:
                return
            try:
                await asyncio.to_thread(self._table.append, list(batch.values()))
            except Exception as error:
                log.error("forecasts not stored", exc_info=error, pending=len(batch))
                return
            self._forget(batch)

    def _forget(self, batch: dict[str, IssuedForecast]) -> None:
        for key in batch:
            self._pending.pop(key, None)
            self._stored[key] = None
        while len(self._stored) > REMEMBERED:
            self._stored.pop(next(iter(self._stored)))
