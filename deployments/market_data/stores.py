"""What the service asks of the places that keep its data."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from deployments.market_data.cache import CandleWindows
from deployments.market_data.directory import HeldSymbols, SymbolList
from deployments.market_data.discovery import Span
from deployments.market_data.health import Probed
from deployments.market_data.keyset import KeyedCandles
from deployments.market_data.models import (
    DependencyHealth,
    DiscoveredSymbol,
    Interval,
    ManagedSymbol,
    QuarantinedRow,
    QueryLogEntry,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)
from deployments.market_data.reader import BackupCandles


class Upserted(Protocol):
    """What an upsert did, in rows."""

    @property
    def inserted(self) -> int: ...
    @property
    def changed(self) -> int: ...
    @property
    def unchanged(self) -> int: ...


class CandleStore(CandleWindows, KeyedCandles, HeldSymbols, Probed, Protocol):
    """The candle tables."""

    async def spans(self) -> Sequence[Span]: ...

    async def upsert(self, interval: Interval, rows: pa.Table) -> Upserted: ...

    async def close(self) -> None: ...


class Catalogue(SymbolList, Protocol):
    """Managed symbols, quarantined rows and the query log."""

    async def page(self, wanted: SymbolFilter) -> SymbolPage: ...

    async def add(self, draft: SymbolDraft, now: datetime) -> ManagedSymbol: ...

    async def replace(self, draft: SymbolDraft, now: datetime, seen_updated_at: datetime | None) -> ManagedSymbol: ...

    async def remove(self, symbol: str) -> None: ...

    async def quarantine(self, symbol: str, interval: Interval, rows: Sequence[QuarantinedRow]) -> None: ...

    async def quarantined(self, symbol: str, interval: Interval) -> tuple[QuarantinedRow, ...]: ...

    async def log_queries(self, entries: Sequence[QueryLogEntry]) -> None: ...

    async def queries(
        self, limit: int, endpoint: str, min_duration_ms: float, since: datetime | None
    ) -> tuple[QueryLogEntry, ...]: ...

    async def close(self) -> None: ...


class BackupSource(BackupCandles, Protocol):
    """EasyInsight."""

    async def symbols(self) -> Sequence[DiscoveredSymbol]: ...

    async def probe(self) -> DependencyHealth: ...

    async def aclose(self) -> None: ...
