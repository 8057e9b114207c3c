"""Market data as other contexts see it: a Serve handle with deadlines, typed. Knows no Ray."""

from datetime import datetime
from typing import Any

import pyarrow as pa

from deployments.common.clock import within
from deployments.common.errors import CandlecastError
from deployments.market_data.findings import QualityReport
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

READ_TIMEOUT_S = 10.0
INGEST_TIMEOUT_S = 120.0


class MarketDataClient:
    """Call the `MarketData` deployment through `handle` (a `DeploymentHandle` or anything of its shape)."""

    def __init__(self, handle: Any, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._handle = handle
        self._timeout_s = timeout_s

    async def _call(self, method: str, *args: object, timeout_s: float | None = None) -> Any:
        answer = getattr(self._handle, method).remote(*args)
        return await within(timeout_s or self._timeout_s, answer, "MarketData")

    async def candles(self, query: CandleQuery) -> Candles:
        """Return the candles of one symbol; raises `UnknownSymbol` or `NoCandles`."""
        result: Candles = await self._call("candles", query)
        return result

    async def changed_candles(self, query: CandleQuery, generation: str) -> Candles | None:
        """Return the candles of one symbol, or None where they are still those of `generation`; raises as `candles`."""
        result: Candles | None = await self._call("changed_candles", query, generation)
        return result

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        """Return for each symbol its candles or the error in their place; `query.symbol` is ignored."""
        result: dict[str, Candles | CandlecastError] = await self._call("candles_batch", symbols, query)
        return result

    async def latest(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> LatestCandle:
        """Return the newest closed candle, the forming one, and the 24 h change."""
        result: LatestCandle = await self._call("latest", symbol, interval, as_of)
        return result

    async def quality(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> QualityReport:
        """Return what the quality checks found, with `as_of` in what was closed then."""
        result: QualityReport = await self._call("quality", symbol, interval, as_of)
        return result

    async def candles_after(
        self,
        interval: Interval,
        after_time: datetime,
        after_symbol: str,
        limit: int,
        symbols: tuple[str, ...] = (),
    ) -> pa.Table:
        """Return closed candles of enabled managed symbols after the key `(after_time, after_symbol)`.

        At most `limit` rows with `SYMBOL_CANDLE_SCHEMA`, ascending by (time, symbol), quarantined rows left out;
        `symbols` narrows them.
        """
        return await self._call("candles_after", interval, after_time, after_symbol, limit, symbols)

    async def discovered_symbols(self) -> tuple[DiscoveredSymbol, ...]:
        """Return what EasyInsight and the database know, managed or not."""
        result: tuple[DiscoveredSymbol, ...] = await self._call("discovered_symbols")
        return result

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage:
        """Return a page of managed symbols, ascending."""
        result: SymbolPage = await self._call("managed_symbols", wanted)
        return result

    async def managed_symbol(self, symbol: str) -> ManagedSymbol:
        """Return one managed symbol by its name or an alias; raises `UnknownSymbol`."""
        result: ManagedSymbol = await self._call("managed_symbol", symbol)
        return result

    async def create_symbol(self, draft: SymbolDraft) -> ManagedSymbol:
        """Add a managed symbol; raises `SymbolExists`."""
        result: ManagedSymbol = await self._call("create_symbol", draft)
        return result

    async def update_symbol(self, draft: SymbolDraft, seen_updated_at: datetime | None = None) -> ManagedSymbol:
        """Replace a managed symbol; raises `UnknownSymbol`, or `PreconditionFailed` if it changed since."""
        result: ManagedSymbol = await self._call("update_symbol", draft, seen_updated_at)
        return result

    async def delete_symbol(self, symbol: str, seen_updated_at: datetime | None = None) -> None:
        """Stop managing a symbol; its candles stay. Raises `UnknownSymbol`, or `PreconditionFailed` if it changed."""
        await self._call("delete_symbol", symbol, seen_updated_at)

    async def coverage(self, symbol: str, interval: Interval, with_gaps: bool = False) -> Coverage:
        """Return what the interval's own table holds of a symbol, the holes in it only where asked for."""
        result: Coverage = await self._call("coverage", symbol, interval, with_gaps, timeout_s=INGEST_TIMEOUT_S)
        return result

    async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> IngestReport:
        """Upsert rows with `SYMBOL_CANDLE_SCHEMA`; idempotent. With `dry_run` only say what that would do."""
        result: IngestReport = await self._call("ingest", interval, rows, dry_run, timeout_s=INGEST_TIMEOUT_S)
        return result

    async def health(self) -> MarketDataHealth:
        """Return the state of the database and of EasyInsight."""
        result: MarketDataHealth = await self._call("health")
        return result

    async def query_log(self, entries: tuple[QueryLogEntry, ...]) -> None:
        """Keep served requests."""
        await self._call("query_log", entries)

    async def query_logs(
        self,
        limit: int = 100,
        endpoint: str | None = None,
        min_duration_ms: float | None = None,
        since: datetime | None = None,
    ) -> tuple[QueryLogEntry, ...]:
        """Return served requests, newest first."""
        result: tuple[QueryLogEntry, ...] = await self._call("query_logs", limit, endpoint, min_duration_ms, since)
        return result
