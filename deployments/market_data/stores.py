"""What the service asks of the places that keep its data."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from deployments.market_data.findings import QuarantinedRow
from deployments.market_data.health import Probed
from deployments.market_data.instants import Times
from deployments.market_data.models import (
    DependencyHealth,
    DiscoveredSymbol,
    Interval,
    ManagedSymbol,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)
from deployments.market_data.reading.cache import CandleWindows
from deployments.market_data.reading.keyset import KeyedCandles
from deployments.market_data.reading.reader import BackupCandles
from deployments.market_data.symbols.directory import HeldSymbols, SymbolList
from deployments.market_data.symbols.discovery import Span


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

    async def ends(self, symbol: str, interval: Interval, until: datetime) -> tuple[datetime, datetime] | None: ...

    async def times(self, symbol: str, interval: Interval, until: datetime) -> Times: ...

    async def upsert(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> Upserted: ...

    async def close(self) -> None: ...


class Catalogue(SymbolList, Protocol):
    """Managed symbols and quarantined rows."""

    async def page(self, wanted: SymbolFilter) -> SymbolPage: ...

    async def add(self, draft: SymbolDraft, now: datetime) -> ManagedSymbol: ...

    async def add_first(self, drafts: Sequence[SymbolDraft], now: datetime) -> int: ...

    async def replace(self, draft: SymbolDraft, now: datetime, seen_updated_at: datetime | None) -> ManagedSymbol: ...

    async def remove(self, symbol: str, seen_updated_at: datetime | None = None) -> None: ...

    async def quarantine(self, symbol: str, interval: Interval, rows: Sequence[QuarantinedRow]) -> None: ...

    async def quarantined(
        self, symbol: str, interval: Interval, before: datetime | None = None
    ) -> tuple[QuarantinedRow, ...]: ...

    async def quarantine_counts(
        self, symbol: str, interval: Interval, before: datetime | None = None
    ) -> Mapping[str, int]: ...

    async def close(self) -> None: ...


class BackupSource(BackupCandles, Protocol):
    """EasyInsight."""

    async def symbols(self) -> Sequence[DiscoveredSymbol]: ...

    async def probe(self) -> DependencyHealth: ...

    async def aclose(self) -> None: ...
