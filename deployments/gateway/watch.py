"""What the event hub looks at: one snapshot of the graph, cheap enough for every two seconds."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from deployments.common.clock import Clock
from deployments.common.errors import CandlecastError
from deployments.forecasting.models import Forecast, HistoryRequest
from deployments.gateway.events import Key, Sight, Snapshot
from deployments.gateway.health import HealthBoard
from deployments.gateway.models import HealthEntry
from deployments.gateway.services import Services
from deployments.gateway.settings import MAX_BATCH
from deployments.gateway.wire.encoding import plain
from deployments.knowledge.models import SyncStatus
from deployments.market_data.models import (
    CandleQuery,
    Candles,
    Interval,
    ManagedSymbol,
    SymbolFilter,
    SymbolStatus,
)

WATCHED = 200
"""Managed symbols whose candles are watched, ascending by name."""

PAUSE = timedelta(seconds=30)
"""After this long without a look, forecasts issued meanwhile are no news."""


class Watch:
    """Take snapshots of candles, forecasts, sync, training, models and health.

    A part that does not answer is missing from the snapshot; its health entry says why. Forecasts are looked at one
    symbol per snapshot, in turn, because each costs a read of the forecast store; those that this gateway serves are
    told at once.
    """

    def __init__(self, services: Services, board: HealthBoard, clock: Clock) -> None:
        self._services = services
        self._board = board
        self._clock = clock
        self._turn = 0
        self._since: datetime | None = None
        self._looked_at: datetime | None = None

    async def look(self) -> Snapshot:
        """Return what is to be seen now."""
        self._begin(self._clock())
        parts = await asyncio.gather(
            _seen(self._market), _seen(self._sync), _seen(self._training), _seen(self._models), _seen(self._health)
        )
        return {key: sight for part in parts for key, sight in part.items()}

    def _begin(self, now: datetime) -> None:
        if self._since is None or self._looked_at is None or now - self._looked_at > PAUSE:
            self._since = now
        self._looked_at = now

    async def _market(self) -> dict[Key, Sight]:
        page = await self._services.market_data.managed_symbols(SymbolFilter(status=SymbolStatus.ACTIVE, limit=WATCHED))
        symbols = [symbol for symbol in page.symbols if symbol.enabled]
        seen: dict[Key, Sight] = {}
        for interval, names in _lots(symbols):
            query = CandleQuery("", interval, limit=1, include_open=True)
            found = await self._services.market_data.candles_batch(names, query)
            seen |= {key: sight for answer in found.values() for key, sight in _candle(answer)}
        return seen | await self._forecast(symbols)

    async def _forecast(self, symbols: list[ManagedSymbol]) -> dict[Key, Sight]:
        if not symbols:
            return {}
        symbol = symbols[self._turn % len(symbols)].symbol
        self._turn += 1
        try:
            past = await self._services.forecaster.history(HistoryRequest(symbol, 1))
        except CandlecastError:
            return {}
        return {
            key: sight
            for item in past
            if self._since is not None and item.forecast.issued_at >= self._since
            for key, sight in forecast_sight(item.forecast).items()
        }

    async def _sync(self) -> dict[Key, Sight]:
        status = await self._services.knowledge.sync_status()
        return {("sync", ""): Sight(status, _steady(status))}

    async def _training(self) -> dict[Key, Sight]:
        runs = await self._services.forecaster.training_runs()
        return {("training", run.id): Sight(run, plain(run)) for run in runs[:MAX_BATCH]}

    async def _models(self) -> dict[Key, Sight]:
        champions = (await self._services.forecaster.models()).champions
        return {("model", name): Sight({"champion_of": name, "version": v}, v) for name, v in champions.items()}

    async def _health(self) -> dict[Key, Sight]:
        report = await self._board.report()
        return {("health", entry.name): Sight(entry, _state(entry)) for entry in report.entries}


def forecast_sight(forecast: Forecast) -> dict[Key, Sight]:
    """Return a forecast as the hub sees it: enough to know that there is a new one to ask for."""
    data = {
        "symbol": forecast.symbol,
        "interval": forecast.interval,
        "horizon": forecast.horizon,
        "issued_at": forecast.issued_at,
        "data_as_of": forecast.data_as_of,
        "status": forecast.status,
        "model": forecast.model,
    }
    about = f"{forecast.symbol}/{forecast.interval}/{forecast.horizon}"
    # Not `issued_at`: every replica has its own, so each reader of the news might make more of them.
    return {("forecast", about): Sight(data, (forecast.data_as_of, forecast.model))}


async def _seen(part: Callable[[], Awaitable[dict[Key, Sight]]]) -> dict[Key, Sight]:
    try:
        return await part()
    except CandlecastError:
        return {}


def _lots(symbols: list[ManagedSymbol]) -> Iterator[tuple[Interval, tuple[str, ...]]]:
    by_interval: dict[Interval, list[str]] = defaultdict(list)
    for symbol in symbols:
        by_interval[symbol.interval].append(symbol.symbol)
    for interval, names in by_interval.items():
        for start in range(0, len(names), MAX_BATCH):
            yield interval, tuple(names[start : start + MAX_BATCH])


def _candle(answer: Candles | CandlecastError) -> Iterator[tuple[Key, Sight]]:
    if isinstance(answer, CandlecastError) or not answer.table.num_rows:
        return
    newest = answer.table.slice(answer.table.num_rows - 1).to_pylist()[0]
    data = {
        "symbol": answer.symbol,
        "interval": answer.interval,
        "candle": newest,
        "forming": answer.forming,
        "data_as_of": answer.data_as_of,
        "stale": answer.stale,
    }
    yield ("candle", f"{answer.symbol}/{answer.interval}"), Sight(data, (newest, answer.forming, answer.stale))


def _steady(status: SyncStatus) -> SyncStatus:
    """Leave out what moves with the clock alone."""
    return replace(status, lag_seconds=None)


def _state(entry: HealthEntry) -> tuple[str, str]:
    return entry.status, entry.reason
