"""The `MarketData` replica, the only holder of database credentials, and the actor that feeds it new bars."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray import serve
from ray.serve.context import _get_serve_request_context
from ray.serve.handle import DeploymentHandle
from ray.serve.metrics import Counter, Histogram

from deployments.common.errors import CandlecastError
from deployments.common.settings import (
    AppDatabaseSettings,
    DatabaseSettings,
    EasyInsightSettings,
    QueryLogSettings,
    StackSettings,
)
from deployments.common.telemetry import follow_calls, pass_over_refusals
from deployments.market_data.assembly import assemble, start_import
from deployments.market_data.client import MarketDataClient
from deployments.market_data.easyinsight.source import EasyInsightSource
from deployments.market_data.findings import QualityReport
from deployments.market_data.ingest.feed import Feed, FeedStatus
from deployments.market_data.models import (
    CandleQuery,
    Candles,
    Coverage,
    DiscoveredSymbol,
    IngestReport,
    Interval,
    LatestCandle,
    ManagedSymbol,
    MarketDataHealth,
    QueryLogEntry,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)
from deployments.market_data.observation import Observation


class StatementMeter:
    """Hand what is seen of SQL statements to Ray's metrics, by the statement's name."""

    def __init__(self) -> None:
        self._durations = Histogram(
            "candlecast_sql_ms",
            "SQL statements by name, in milliseconds.",
            boundaries=[0.5, 1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000],
            tag_keys=("statement", "error"),
        )
        self._rows = Counter("candlecast_sql_rows", "Rows that SQL statements had.", tag_keys=("statement",))

    def __call__(self, seen: Observation) -> None:
        """Note one statement."""
        self._durations.observe(seen.duration_ms, {"statement": seen.name, "error": seen.error})
        if seen.rows:
            self._rows.inc(seen.rows, {"statement": seen.name})


@serve.deployment(name="MarketData", max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.25})
class MarketData:
    """Serve `MarketDataService` by handle."""

    async def __init__(self, home: str, easyinsight_url: str) -> None:  # type: ignore[misc]  # Serve awaits it
        """Open the database that the environment of this replica names; `home` may hold `symbols.json`."""
        follow_calls(_get_serve_request_context)
        pass_over_refusals()
        # Read here, not in the builder: arguments bound into the graph are stored by the Serve controller.
        stack, database = StackSettings.read(), DatabaseSettings.read()
        self._service = await assemble(
            stack, database, AppDatabaseSettings.read(), easyinsight_url, QueryLogSettings.read(), StatementMeter()
        )
        self._importing = await start_import(self._service, Path(home) / "symbols.json")

    async def check_health(self) -> None:
        """Answer while the loop turns: a database that is away is no reason to restart what serves from memory."""

    async def candles(self, query: CandleQuery) -> Candles:
        return await self._service.candles(query)

    async def changed_candles(self, query: CandleQuery, generation: str) -> Candles | None:
        return await self._service.changed_candles(query, generation)

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        return await self._service.candles_batch(symbols, query)

    async def latest(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> LatestCandle:
        return await self._service.latest(symbol, interval, as_of)

    async def quality(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> QualityReport:
        return await self._service.quality(symbol, interval, as_of)

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

    async def delete_symbol(self, symbol: str, seen_updated_at: datetime | None = None) -> None:
        await self._service.delete_symbol(symbol, seen_updated_at)

    async def coverage(self, symbol: str, interval: Interval, with_gaps: bool = False) -> Coverage:
        return await self._service.coverage(symbol, interval, with_gaps)

    async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> IngestReport:
        return await self._service.ingest(interval, rows, dry_run)

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
