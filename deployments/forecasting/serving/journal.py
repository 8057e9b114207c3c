"""Keep issued forecasts off the request path: queue them, store them in batches."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from deployments.common.telemetry import logger
from deployments.forecasting.issued import IssuedForecast

log = logger(__name__)

MAX_STEPS = 240_000
"""Steps of the forecasts kept while the store cannot be written, some 200 MB; beyond it the oldest forecasts go."""

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
        self._steps = 0
        self._stored: dict[str, None] = {}
        self._flushing = asyncio.Lock()

    def add(self, issued: IssuedForecast) -> None:
        """Queue a forecast unless it was queued or stored before."""
        key = issued.key
        if key in self._pending or key in self._stored:
            return
        self._pending[key] = issued
        self._steps += issued.forecast.horizon
        while self._steps > MAX_STEPS:
            self._drop(next(iter(self._pending)))

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
            self._drop(key)
            self._stored[key] = None
        while len(self._stored) > REMEMBERED:
            self._stored.pop(next(iter(self._stored)))

    def _drop(self, key: str) -> None:
        if dropped := self._pending.pop(key, None):
            self._steps -= dropped.forecast.horizon
