"""The four contexts in memory, for tests of the gateway."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from deployments.analysis.models import (
    Analysis,
    AnalysisEvent,
    AnalysisRequest,
    AnalystHealth,
    CheckReport,
    Engine,
    Fact,
    Language,
)
from deployments.common.errors import (
    CandlecastError,
    NothingTrained,
    PreconditionFailed,
    PromotionRefused,
    SymbolExists,
    UnknownAnalysis,
    UnknownModel,
    UnknownSymbol,
    UnknownTraining,
)
from deployments.forecasting.models import (
    AccuracyRow,
    Decision,
    Forecast,
    ForecasterHealth,
    ForecastPoint,
    ForecastRequest,
    ForecastStatus,
    HistoryRequest,
    ModelCard,
    ModelList,
    ModelRef,
    ModelStatus,
    PastForecast,
    Skill,
    TrainingRequest,
    TrainingRun,
    TrainingState,
)
from deployments.gateway.services import Services
from deployments.knowledge.models import (
    Analogue,
    AnalogueQuery,
    Analogues,
    KnowledgeHealth,
    PassageKind,
    ReturnDistribution,
    SearchAnswer,
    SearchHit,
    SearchQuery,
    SyncState,
    SyncStatus,
)
from deployments.market_data.findings import QualityReport
from deployments.market_data.models import (
    CandleQuery,
    Candles,
    Category,
    DependencyHealth,
    DiscoveredSymbol,
    Interval,
    LatestCandle,
    ManagedSymbol,
    MarketDataHealth,
    QueryLogEntry,
    Source,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)
from tests.fakes.market_data import FakeMarketData, walk_table

NOW = datetime(2024, 6, 1, 12, 30, tzinfo=UTC)
START = datetime(2024, 5, 1, tzinfo=UTC)
VERSION = "v1"
RUN = "run-1"
ANALYSIS = "a1"


class FakeMarket:
    """Candles of a few symbols, a catalogue in a dict, and the query log in a list.

    `asked` is set by the first call for the latest candle, which waits for `goes_on`.
    """

    def __init__(self) -> None:
        hours = int((NOW - START) / timedelta(hours=1))
        tables = {name: walk_table(START, hours, seed=seed) for seed, name in enumerate(("BTCUSD", "ETHUSD"))}
        self.held = FakeMarketData(tables, NOW)
        self.managed = {name: _managed(SymbolDraft(name)) for name in tables}
        self.entries: list[QueryLogEntry] = []
        self.error: Exception | None = None
        self.calls = 0
        self.asked, self.goes_on = asyncio.Event(), asyncio.Event()
        self.goes_on.set()

    def _answer(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error

    async def candles(self, query: CandleQuery) -> Candles:
        self._answer()
        return await self.held.candles(query)

    async def changed_candles(self, query: CandleQuery, generation: str) -> Candles | None:
        self._answer()
        return await self.held.changed_candles(query, generation)

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        self._answer()
        return await self.held.candles_batch(symbols, query)

    async def latest(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> LatestCandle:
        self._answer()
        self.asked.set()
        await self.goes_on.wait()
        return await self.held.latest(symbol, interval, as_of)

    async def quality(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> QualityReport:
        self._known(symbol)
        return QualityReport(symbol, interval, 2, START, as_of or NOW, {"gap": 0}, (), ())

    async def discovered_symbols(self) -> tuple[DiscoveredSymbol, ...]:
        return tuple(
            DiscoveredSymbol(name, Category.CRYPTO, True, Interval.H1, 3, START, NOW, (Source.DATABASE,))
            for name in self.managed
        )

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage:
        self._answer()
        return SymbolPage(tuple(self.managed.values())[: wanted.limit], None)

    async def managed_symbol(self, symbol: str) -> ManagedSymbol:
        return self._known(symbol)

    async def create_symbol(self, draft: SymbolDraft) -> ManagedSymbol:
        if draft.symbol in self.managed:
            raise SymbolExists(f"{draft.symbol} is managed already")
        self.managed[draft.symbol] = _managed(draft)
        return self.managed[draft.symbol]

    async def update_symbol(self, draft: SymbolDraft, seen_updated_at: datetime | None = None) -> ManagedSymbol:
        held = self._known(draft.symbol)
        if seen_updated_at not in {None, held.updated_at}:
            raise PreconditionFailed("changed meanwhile")
        self.managed[draft.symbol] = replace(_managed(draft), updated_at=held.updated_at + timedelta(seconds=1))
        return self.managed[draft.symbol]

    async def delete_symbol(self, symbol: str, seen_updated_at: datetime | None = None) -> None:
        self._answer()
        if seen_updated_at not in {None, self._known(symbol).updated_at}:
            raise PreconditionFailed("changed meanwhile")
        del self.managed[symbol]

    async def query_log(self, entries: tuple[QueryLogEntry, ...]) -> None:
        if self.error is not None:
            raise self.error
        self.entries.extend(entries)

    async def query_logs(
        self, limit: int, endpoint: str | None, min_duration_ms: float | None, since: datetime | None
    ) -> tuple[QueryLogEntry, ...]:
        del endpoint, min_duration_ms, since
        return tuple(reversed(self.entries))[:limit]

    async def health(self) -> MarketDataHealth:
        self._answer()
        return MarketDataHealth("db.example", (DependencyHealth("timescaledb", "ok", 1.5),))

    def append(self, symbol: str, close: float) -> None:
        """Let one more candle arrive."""
        table = self.held.tables[symbol]
        last = table.slice(table.num_rows - 1).to_pylist()[0]
        row = {**last, "time": last["time"] + timedelta(hours=1), "close": close}
        self.held.tables[symbol] = pa.concat_tables([table, pa.Table.from_pylist([row], schema=table.schema)])
        self.held.now += timedelta(hours=1)

    def _known(self, symbol: str) -> ManagedSymbol:
        if symbol not in self.managed:
            raise UnknownSymbol(f"{symbol} is not managed")
        return self.managed[symbol]


class FakeForecaster:
    """One champion, one run, and forecasts that say what they were asked, each issued at `issued_at` by `serving`.

    `calls` counts the questions for forecasts; `error` is the answer to each of them while it is set.
    """

    def __init__(self) -> None:
        self.issued_at, self.warnings = NOW, tuple[str, ...]()
        self.serving, self.calls = VERSION, 0
        self.error: CandlecastError | None = None
        self.run = TrainingRun(RUN, TrainingState.RUNNING, "training", TrainingRequest(), START, START, 3, 10)
        self.log = "step 1\nstep 2\n"
        self.champions = {"1h-h24": VERSION}
        self.past: dict[str, tuple[PastForecast, ...]] = {}
        self.started: list[TrainingRequest] = []

    async def forecast(self, request: ForecastRequest) -> Forecast:
        self.calls += 1
        return self._forecast(request)

    def _forecast(self, request: ForecastRequest) -> Forecast:
        if self.error is not None:
            raise self.error
        _check_known(request.symbol)
        model = ModelRef("nhits", self.serving, START)
        return replace(forecast(request), issued_at=self.issued_at, warnings=self.warnings, model=model)

    async def forecast_batch(
        self, symbols: tuple[str, ...], request: ForecastRequest
    ) -> dict[str, Forecast | CandlecastError]:
        self.calls += 1
        answers: dict[str, Forecast | CandlecastError] = {}
        for symbol in symbols:
            try:
                answers[symbol] = self._forecast(replace(request, symbol=symbol))
            except CandlecastError as error:
                answers[symbol] = error
        return answers

    async def history(self, wanted: HistoryRequest) -> tuple[PastForecast, ...]:
        _check_known(wanted.symbol)
        told = [past for past in self.past.get(wanted.symbol, ()) if wanted.interval in (None, past.forecast.interval)]
        return tuple(past for past in told if wanted.horizon in (None, past.forecast.horizon))[: wanted.limit]

    async def accuracy(self, symbol: str | None = None) -> tuple[AccuracyRow, ...]:
        _check_known(symbol or "BTCUSD")
        return (AccuracyRow(symbol or "BTCUSD", Interval.H1, 24, "nhits", VERSION, _SKILL),)

    async def models(self) -> ModelList:
        return ModelList((_CARD,), self.champions, ())

    async def model(self, version: str) -> ModelCard:
        if version != VERSION:
            raise UnknownModel(f"no version {version}")
        return _CARD

    async def promote(self, version: str, force: bool) -> Decision:
        if not force:
            raise PromotionRefused("it does not beat the champion")
        self.serving = version
        return Decision(version, "promote", "forced", NOW)

    async def rollback(self, champion: str | None = None) -> Decision:
        if champion is not None:
            raise PreconditionFailed(f"{champion} is not the champion")
        raise NothingTrained("there is no former champion")

    async def start_training(self, request: TrainingRequest) -> TrainingRun:
        for symbol in request.symbols:
            _check_known(symbol)
        self.started.append(request)
        return replace(self.run, request=request)

    async def training_runs(self) -> tuple[TrainingRun, ...]:
        return (self.run,)

    async def training_run(self, run_id: str) -> TrainingRun:
        if run_id != RUN:
            raise UnknownTraining(f"no run {run_id}")
        return self.run

    async def training_log(self, run_id: str, offset: int) -> tuple[str, int]:
        await self.training_run(run_id)
        return self.log[offset:], len(self.log)

    async def stop_training(self, run_id: str) -> TrainingRun:
        return replace(await self.training_run(run_id), state=TrainingState.STOPPED)

    async def health(self) -> ForecasterHealth:
        return ForecasterHealth(self.champions, (VERSION,))


class FakeKnowledge:
    """One passage, one analogue, and a sync that does as it is told."""

    def __init__(self) -> None:
        self.status = SyncStatus(SyncState.RUNNING, False, START, 60.0, 1, None, None)

    async def search(self, query: SearchQuery) -> SearchAnswer:
        hit = SearchHit("0" * 16, 0.9, "BTCUSD", Interval.H1, START, PassageKind.CANDLE, f"about {query.q}")
        return SearchAnswer((hit,), 1, START, False)

    async def analogues(self, query: AnalogueQuery) -> Analogues:
        spread = ReturnDistribution({"50": 0.1}, 0.5, 1)
        match = Analogue(query.symbol, START, NOW, 0.2, (0.1,))
        return Analogues(query.symbol, query.interval, query.window, query.horizon, NOW, (match,), spread, spread)

    async def sync_status(self) -> SyncStatus:
        return self.status

    async def start_sync(self) -> SyncStatus:
        return self._set(SyncState.RUNNING)

    async def stop_sync(self) -> SyncStatus:
        return self._set(SyncState.STOPPED)

    async def trigger_sync(self) -> SyncStatus:
        self.status = replace(self.status, busy=True)
        return self.status

    async def health(self) -> KnowledgeHealth:
        return KnowledgeHealth(1, 1, self.status)

    def _set(self, state: SyncState) -> SyncStatus:
        self.status = replace(self.status, state=state)
        return self.status


class FakeAnalyst:
    """An analysis in three events; `error` ends it after `fails_after` of them, `stuck` after the first."""

    def __init__(self) -> None:
        self.error: CandlecastError | None = None
        self.fails_after = 0
        self.stuck = False
        self.closed = False

    async def analyze(self, request: AnalysisRequest) -> Analysis:
        if self.error is not None:
            raise self.error
        return analysis(request)

    async def analyze_stream(self, request: AnalysisRequest) -> AsyncIterator[AnalysisEvent]:
        events = (
            AnalysisEvent("facts", []),
            AnalysisEvent("token", "The price"),
            AnalysisEvent("done", {"id": analysis(request).id}),
        )
        try:
            for index, event in enumerate(events):
                if self.error is not None and index == self.fails_after:
                    raise self.error
                yield event
                if self.stuck:
                    await asyncio.Event().wait()
        finally:
            self.closed = True

    async def analyses(self, symbol: str | None, limit: int) -> tuple[Analysis, ...]:
        return (analysis(AnalysisRequest(symbol or "BTCUSD")),)[:limit]

    async def analysis(self, analysis_id: str) -> Analysis:
        if analysis_id != ANALYSIS:
            raise UnknownAnalysis(f"no analysis {analysis_id}")
        return analysis(AnalysisRequest("BTCUSD"))

    async def health(self) -> AnalystHealth:
        return AnalystHealth("absent", "llama", "no URL is set")


class Fakes:
    """All four, and the services made of them."""

    def __init__(self) -> None:
        self.market_data = FakeMarket()
        self.forecaster = FakeForecaster()
        self.knowledge = FakeKnowledge()
        self.analyst = FakeAnalyst()
        self.services = Services(self.market_data, self.forecaster, self.knowledge, self.analyst)


def _check_known(symbol: str) -> None:
    if symbol not in {"BTCUSD", "ETHUSD"}:
        raise UnknownSymbol(f"{symbol} is unknown")


def forecast(request: ForecastRequest, issued_at: datetime = NOW) -> Forecast:
    """Return a flat forecast at 100 with bounds one level wide."""
    bounds = {f"{level:g}": level for level in request.levels}
    points = tuple(
        ForecastPoint(
            NOW + index * request.interval.delta,
            100.0,
            {name: 100 - width / 10 for name, width in bounds.items()},
            {name: 100 + width / 10 for name, width in bounds.items()},
        )
        for index in range(request.horizon)
    )
    model = ModelRef("nhits", VERSION, START)
    return Forecast(
        request.symbol,
        request.interval,
        request.horizon,
        issued_at,
        issued_at,
        issued_at + timedelta(hours=1),
        ForecastStatus.FRESH,
        model,
        request.levels,
        points,
        _SKILL,
    )


def analysis(request: AnalysisRequest) -> Analysis:
    """Return an analysis by the template engine with one fact."""
    return Analysis(
        id=ANALYSIS,
        symbol=request.symbol,
        interval=request.interval,
        horizon=request.horizon,
        created_at=NOW,
        data_as_of=NOW,
        stale=False,
        language=Language(request.language),
        question=request.question,
        engine=Engine.TEMPLATE,
        engine_reason="no URL is set",
        model="",
        text="The price is 100.",
        facts=(Fact("price.last", "Last price", 100.0, "USD", NOW, "candles"),),
        passages=(),
        check=CheckReport(1, 1),
    )


def _managed(draft: SymbolDraft) -> ManagedSymbol:
    fields = {name: getattr(draft, name) for name in SymbolDraft.__slots__}
    return ManagedSymbol(**{**fields, "lot_size": Decimal("1E+2")}, created_at=START, updated_at=START)


_SKILL = Skill(0.98, 1.1, {"80": 0.79}, 40, "live")
_CARD = ModelCard(
    VERSION, Interval.H1, 24, 168, ModelStatus.CHAMPION, START, START, START, ("BTCUSD",), {}, {}, None, "ab" * 32
)
