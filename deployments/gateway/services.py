"""What the gateway asks of the other contexts, and nothing more than it asks.

The clients in each context's `client.py` satisfy these protocols; tests bring lists.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from deployments.analysis.models import Analysis, AnalysisEvent, AnalysisRequest, AnalystHealth
from deployments.common.errors import CandlecastError
from deployments.forecasting.models import (
    AccuracyRow,
    Decision,
    Forecast,
    ForecasterHealth,
    ForecastRequest,
    HistoryRequest,
    ModelCard,
    ModelList,
    PastForecast,
    TrainingRequest,
    TrainingRun,
)
from deployments.knowledge.models import (
    AnalogueQuery,
    Analogues,
    KnowledgeHealth,
    SearchAnswer,
    SearchQuery,
    SyncStatus,
)
from deployments.market_data.findings import QualityReport
from deployments.market_data.models import (
    CandleQuery,
    Candles,
    DiscoveredSymbol,
    Interval,
    LatestCandle,
    ManagedSymbol,
    MarketDataHealth,
    QueryLogEntry,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)


class MarketDataApi(Protocol):
    """Symbols, candles and the query log."""

    async def candles(self, query: CandleQuery) -> Candles: ...

    async def changed_candles(self, query: CandleQuery, generation: str) -> Candles | None: ...

    async def candles_batch(
        self, symbols: tuple[str, ...], query: CandleQuery
    ) -> dict[str, Candles | CandlecastError]: ...

    async def latest(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> LatestCandle: ...

    async def quality(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> QualityReport: ...

    async def discovered_symbols(self) -> tuple[DiscoveredSymbol, ...]: ...

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage: ...

    async def managed_symbol(self, symbol: str) -> ManagedSymbol: ...

    async def create_symbol(self, draft: SymbolDraft) -> ManagedSymbol: ...

    async def update_symbol(self, draft: SymbolDraft, seen_updated_at: datetime | None = None) -> ManagedSymbol: ...

    async def delete_symbol(self, symbol: str, seen_updated_at: datetime | None = None) -> None: ...

    async def query_log(self, entries: tuple[QueryLogEntry, ...]) -> None: ...

    async def query_logs(
        self, limit: int, endpoint: str | None, min_duration_ms: float | None, since: datetime | None
    ) -> tuple[QueryLogEntry, ...]: ...

    async def health(self) -> MarketDataHealth: ...


class ForecasterApi(Protocol):
    """Forecasts, models and training."""

    async def forecast(self, request: ForecastRequest) -> Forecast: ...

    async def forecast_batch(
        self, symbols: tuple[str, ...], request: ForecastRequest
    ) -> dict[str, Forecast | CandlecastError]: ...

    async def history(self, wanted: HistoryRequest) -> tuple[PastForecast, ...]: ...

    async def accuracy(self, symbol: str | None = None) -> tuple[AccuracyRow, ...]: ...

    async def models(self) -> ModelList: ...

    async def model(self, version: str) -> ModelCard: ...

    async def promote(self, version: str, force: bool) -> Decision: ...

    async def rollback(self, champion: str | None = None) -> Decision: ...

    async def start_training(self, request: TrainingRequest) -> TrainingRun: ...

    async def training_runs(self) -> tuple[TrainingRun, ...]: ...

    async def training_run(self, run_id: str) -> TrainingRun: ...

    async def training_log(self, run_id: str, offset: int) -> tuple[str, int]: ...

    async def stop_training(self, run_id: str) -> TrainingRun: ...

    async def health(self) -> ForecasterHealth: ...


class KnowledgeApi(Protocol):
    """Retrieval, analogues and the sync."""

    async def search(self, query: SearchQuery) -> SearchAnswer: ...

    async def analogues(self, query: AnalogueQuery) -> Analogues: ...

    async def sync_status(self) -> SyncStatus: ...

    async def start_sync(self) -> SyncStatus: ...

    async def stop_sync(self) -> SyncStatus: ...

    async def trigger_sync(self) -> SyncStatus: ...

    async def health(self) -> KnowledgeHealth: ...


class AnalystApi(Protocol):
    """Analyses."""

    async def analyze(self, request: AnalysisRequest) -> Analysis: ...

    def analyze_stream(self, request: AnalysisRequest) -> AsyncIterator[AnalysisEvent]: ...

    async def analyses(self, symbol: str | None, limit: int) -> tuple[Analysis, ...]: ...

    async def analysis(self, analysis_id: str) -> Analysis: ...

    async def health(self) -> AnalystHealth: ...


@dataclass(frozen=True, slots=True)
class Services:
    """The four contexts behind the gateway."""

    market_data: MarketDataApi
    forecaster: ForecasterApi
    knowledge: KnowledgeApi
    analyst: AnalystApi
