"""The `MarketData` replica, the only holder of database credentials, and the actor that feeds it new bars."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.common.errors import CandlecastError
from deployments.common.settings import AppDatabaseSettings, DatabaseSettings, EasyInsightSettings, StackSettings
from deployments.market_data.assembly import assemble, import_symbols
from deployments.market_data.client import MarketDataClient
from deployments.market_data.easyinsight import EasyInsightSource
from deployments.market_data.feed import Feed, FeedStatus
from deployments.market_data.models import (
    CandleQuery,
    Candles,
    DiscoveredSymbol,
    IngestReport,
    Interval,
    LatestCandle,
    ManagedSymbol,
    MarketDataHealth,
    QualityReport,
    QueryLogEntry,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)


@serve.deployment(name="MarketData", max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.25})
class MarketData:
    """Serve `MarketDataService` by handle."""

    async def __init__(self, home: str, easyinsight_url: str) -> None:  # type: ignore[misc]  # Serve awaits it
        """Open the database that the environment of this replica names; `home` may hold `symbols.json`."""
        # Read here, not in the builder: arguments bound into the graph are stored by the Serve controller.
        stack, database = StackSettings.read(), DatabaseSettings.read()
        self._service = await assemble(stack, database, AppDatabaseSettings.read(), easyinsight_url)
        await import_symbols(self._service, Path(home) / "symbols.json")

    async def check_health(self) -> None:
        """Answer while the loop turns: a database that is away is no reason to restart what serves from memory."""

    async def candles(self, query: CandleQuery) -> Candles:
        return await self._service.candles(query)

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        return await self._service.candles_batch(symbols, query)

    async def latest(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> LatestCandle:
        return await self._service.latest(symbol, interval, as_of)

    async def quality(self, symbol: str, interval: Interval) -> QualityReport:
        return await self._service.quality(symbol, interval)

    async def candles_after(
        self, interval: Interval, after_time: datetime, after_symbol: str, limit: int, symbols: tuple[str, ...] = ()
    ) -> pa.Table:
        return await self._service.candles_after(interval, after_time, after_symbol, limit, symbols)

    async def discovered_symbols(self) -> tuple[DiscoveredSymbol, ...]:
        return await self._service.discovered_symbols()

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage:
        return await self._service.managed_symbols(wanted)

    async def managed_symbol(self, symbol: str) -> ManagedSymbol:
        return await self._service.managed_symbol(symbol)

    async def create_symbol(self, draft: SymbolDraft) -> ManagedSymbol:
        return await self._service.create_symbol(draft)

    async def update_symbol(self, draft: SymbolDraft, seen_updated_at: datetime | None = None) -> ManagedSymbol:
        return await self._service.update_symbol(draft, seen_updated_at)

    async def delete_symbol(self, symbol: str) -> None:
        await self._service.delete_symbol(symbol)

    async def ingest(self, interval: Interval, rows: pa.Table) -> IngestReport:
        return await self._service.ingest(interval, rows)

    async def health(self) -> MarketDataHealth:
        return await self._service.health()

    async def query_log(self, entries: tuple[QueryLogEntry, ...]) -> None:
        await self._service.query_log(entries)

    async def query_logs(
        self,
        limit: int = 100,
        endpoint: str | None = None,
        min_duration_ms: float | None = None,
        since: datetime | None = None,
    ) -> tuple[QueryLogEntry, ...]:
        return await self._service.query_logs(limit, endpoint, min_duration_ms, since)


class _LateMarketData:
    """Reach `MarketData` at the first call: an actor of a deployment is built before its replicas."""

    def __init__(self) -> None:
        self._handle: DeploymentHandle | None = None

    def __getattr__(self, method: str) -> Any:
        if self._handle is None:
            self._handle = serve.get_deployment_handle("MarketData", "candlecast")
        return getattr(self._handle, method)


@ray.remote
class CandleFeed:
    """Carry new closed bars from EasyInsight into MarketData, supervised by the Serve controller."""

    async def __init__(self, easyinsight_url: str, interval_s: float) -> None:  # type: ignore[misc]  # Ray awaits it
        self._feed = Feed(
            EasyInsightSource(easyinsight_url, EasyInsightSettings.read().timeout_s),
            MarketDataClient(_LateMarketData()),
        )
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._feed.run(interval_s, self._stop))

    async def status(self) -> FeedStatus:
        """Return what the feed did last."""
        return self._feed.status()
