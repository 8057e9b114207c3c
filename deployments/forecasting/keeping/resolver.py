"""Resolve issued forecasts as their bars arrive."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from deployments.common.clock import Clock
from deployments.forecasting.judging.resolving import ResolvedForecast, resolve
from deployments.forecasting.judging.scoreboard import CandleReader, realised_closes
from deployments.forecasting.keeping.resolved_store import ResolvedStore
from deployments.forecasting.keeping.store import ForecastStore
from deployments.market_data.models import Interval

BATCH = 500
"""Forecasts resolved in one transaction."""

LOOKED_BACK = timedelta(days=100)
"""How far back open forecasts are looked for: as long as resolved ones count, and what was late before."""


class Resolver:
    """Read open forecasts, and write what became of them."""

    def __init__(self, forecasts: ForecastStore, resolved: ResolvedStore, market: CandleReader, clock: Clock) -> None:
        self._forecasts = forecasts
        self._resolved = resolved
        self._market = market
        self._clock = clock

    async def batches(self) -> list[Sequence[str]]:
        """Return the keys of the forecasts that may be resolved by now, oldest first, in batches."""
        due = await asyncio.to_thread(self._due)
        return [due[start : start + BATCH] for start in range(0, len(due), BATCH)]

    async def resolved(self, keys: Sequence[str]) -> list[ResolvedForecast]:
        """Return what became of these forecasts; those still open, or of symbols that cannot be read, are left out."""
        issued = await asyncio.to_thread(self._forecasts.with_keys, keys)
        closes = await realised_closes(self._market, issued)
        found = []
        for one in issued:
            # Nothing at all tells of a source that is away, not of bars that never came.
            if known := closes[one.forecast.symbol, one.forecast.interval]:
                found.append(resolve(one, known, self._clock()))
        return [outcome for outcome in found if outcome]

    async def store(self, outcomes: Sequence[ResolvedForecast]) -> None:
        """Write outcomes; those that are known stay as they are."""
        await asyncio.to_thread(self._resolved.append, outcomes)

    def _due(self) -> list[str]:
        now = self._clock()
        table = self._forecasts.keys(now - LOOKED_BACK)
        known = self._resolved.keys(now - LOOKED_BACK - timedelta(days=30))
        return [
            row["key"]
            for row in table.to_pylist()
            # A closed market only makes it later.
            if row["last_time"] + (row["horizon"] + 1) * Interval(row["interval"]).delta <= now
            and row["key"] not in known
        ]
