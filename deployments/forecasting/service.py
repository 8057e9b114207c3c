"""The forecaster: forecasts on request, keeps score, and looks after models and their training."""

import asyncio
from pathlib import Path
from typing import Protocol

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, UnknownSymbol
from deployments.forecasting.judging.scoreboard import SCORED_FORECASTS, accuracy_rows, past_forecast, realised_closes
from deployments.forecasting.keeping.loop import keeper_trouble, read_status
from deployments.forecasting.keeping.store import ForecastStore
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
from deployments.forecasting.registry import promotion
from deployments.forecasting.registry.recalibrations import Recalibrations
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.registry.setbacks import Setbacks
from deployments.forecasting.serving.forecasts import Forecasts, Predict, predict_in_thread
from deployments.forecasting.serving.journal import ForecastJournal
from deployments.forecasting.serving.listings import Listings
from deployments.forecasting.serving.shelf import ModelBuilder, ModelShelf
from deployments.forecasting.serving.skillbook import Skillbook
from deployments.forecasting.training.ledger import TrainingLedger
from deployments.forecasting.training.prospects import check_prospects
from deployments.forecasting.training.trainings import JobRunner, Trainings, check_training
from deployments.market_data.models import CandleQuery, Candles, ManagedSymbol, SymbolFilter, SymbolPage


class MarketData(Protocol):
    """What the forecaster reads of market data."""

    async def candles(self, query: CandleQuery) -> Candles: ...

    async def candles_batch(
        self, symbols: tuple[str, ...], query: CandleQuery
    ) -> dict[str, Candles | CandlecastError]: ...

    async def managed_symbol(self, symbol: str) -> ManagedSymbol: ...

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage: ...


class ForecasterService:
    """Serve everything that `ForecasterClient` offers, from the state under `home`.

    `build` turns tensors and configuration of a model version into a model on this replica's device, `predict` carries
    out forecasts off the event loop. The registry lies under `home` unless `registry` names another folder or a URI.
    Belongs to one event loop, which calls `follow_champions` and `keep_books` about once a second, each on its own.
    """

    def __init__(
        self,
        home: Path,
        market: MarketData,
        jobs: JobRunner,
        build: ModelBuilder,
        clock: Clock = utc_now,
        predict: Predict = predict_in_thread,
        registry: Path | str = "",
    ) -> None:
        self._market = market
        self._clock = clock
        self._keeper = home / "keeper.json"
        self._registry = Registry(registry or home / "models")
        self._trainings = Trainings(TrainingLedger(home / "models", clock), jobs, clock)
        self._store = ForecastStore(home / "forecasts.lance")
        self._rollbacks: dict[str | None, asyncio.Task[Decision]] = {}
        self._journal = ForecastJournal(self._store)
        self._shelf = ModelShelf(
            self._registry, build, Recalibrations(home / "recalibration"), Setbacks(home / "setback")
        )
        self._skillbook = Skillbook(self.accuracy, clock)
        self._listings = Listings(market, clock)
        self._forecasts = Forecasts(market, self._listings, self._shelf, self._journal, self._skillbook, clock, predict)

    async def follow_champions(self) -> None:
        """Take up champions that changed, swapping them in between requests."""
        await self._shelf.refresh()

    async def keep_books(self) -> None:
        """Store issued forecasts and renew live skill; may take long where the disk does."""
        await self._journal.flush()
        await self._skillbook.refresh()

    async def close(self) -> None:
        """Store what is still queued."""
        await self._journal.flush()

    async def forecast(self, request: ForecastRequest) -> Forecast:
        """Forecast one symbol; raises `InvalidRequest`, `UnknownSymbol`, `NoCandles` or `TooLittleHistory`."""
        return await self._forecasts.one(request)

    async def forecast_batch(
        self, symbols: tuple[str, ...], request: ForecastRequest
    ) -> dict[str, Forecast | CandlecastError]:
        """Forecast many symbols in one pass; `request.symbol` is ignored."""
        return await self._forecasts.many(symbols, request)

    async def history(self, wanted: HistoryRequest) -> tuple[PastForecast, ...]:
        """Return earlier forecasts, newest first, with what followed; at most 500.

        Raises `UnknownSymbol` where a forecast would.
        """
        await self._journal.flush()
        name = (await self._listings.listing(wanted.symbol)).symbol
        bounded = max(1, min(wanted.limit, SCORED_FORECASTS))
        issued = await asyncio.to_thread(
            self._store.newest, name, bounded, wanted.since, interval=wanted.interval, horizon=wanted.horizon
        )
        if not issued:
            await self._check_known(name)
        closes = await realised_closes(self._market, issued)
        return tuple(past_forecast(one, closes[one.forecast.symbol, one.forecast.interval]) for one in issued)

    async def accuracy(self, symbol: str | None = None) -> tuple[AccuracyRow, ...]:
        """Return live scores over the newest 500 forecasts whose bars have come, of one symbol or of all.

        Raises `UnknownSymbol` where a forecast of that symbol would.
        """
        await self._journal.flush()
        name = (await self._listings.listing(symbol)).symbol if symbol else None
        # Open ones left out: many symbols issue more of them than are looked at.
        issued = await asyncio.to_thread(self._store.newest, name, SCORED_FORECASTS, None, self._clock())
        if name and not issued:
            await self._check_known(name)
        return accuracy_rows(issued, await realised_closes(self._market, issued))

    async def _check_known(self, symbol: str) -> None:
        """Raise `UnknownSymbol` for a symbol that is neither managed nor has candles."""
        try:
            await self._market.candles(CandleQuery(symbol, limit=1))
        except UnknownSymbol:
            raise
        except CandlecastError:
            # None of this interval, or market data is away: that nothing was forecast yet is true all the same.
            return

    async def models(self) -> ModelList:
        """Return the registry's versions, champions and decisions, and why a champion does not serve."""
        return await asyncio.to_thread(
            lambda: ModelList(
                self._registry.cards(), self._registry.champions(), self._registry.history(), self._shelf.faults
            )
        )

    async def model(self, version: str) -> ModelCard:
        """Return one version; raises `UnknownModel` or `DamagedModel`."""
        return await asyncio.to_thread(self._registry.card, version)

    async def promote(self, version: str, force: bool) -> Decision:
        """Make a version champion; raises `PromotionRefused` when the gate says no and `force` is false."""
        decision = await asyncio.to_thread(promotion.promote, self._registry, version, force, self._clock())
        await self._shelf.refresh()
        return decision

    async def rollback(self, champion: str | None = None) -> Decision:
        """Go back from `champion`, or undo the latest change of any; two who ask so at once go back one step.

        Raises `NothingTrained`, `UnknownModel`, or `PreconditionFailed` where another one serves by now.
        """
        # Until it is answered nobody can know of it: who asks the same meanwhile means the same step.
        if champion not in self._rollbacks:
            self._rollbacks[champion] = asyncio.create_task(self._roll_back(champion))
            self._rollbacks[champion].add_done_callback(lambda _: self._rollbacks.pop(champion, None))
        return await asyncio.shield(self._rollbacks[champion])

    async def _roll_back(self, champion: str | None) -> Decision:
        decision = await asyncio.to_thread(promotion.rollback, self._registry, self._clock(), champion)
        await self._shelf.refresh()
        return decision

    async def start_training(self, request: TrainingRequest) -> TrainingRun:
        """Submit a training job; the same request while one runs answers the running one.

        Raises `InvalidRequest`, `UnknownSymbol` or `TooLittleHistory` for one that could only fail, and `Unavailable`.
        """
        check_training(request)
        await check_prospects(self._market, request)
        return await self._trainings.start(request)

    async def training_runs(self) -> tuple[TrainingRun, ...]:
        """Return training runs, newest first."""
        return await self._trainings.runs()

    async def training_run(self, run_id: str) -> TrainingRun:
        """Return one training run; raises `UnknownTraining`."""
        return await self._trainings.run(run_id)

    async def training_log(self, run_id: str, offset: int) -> tuple[str, int]:
        """Return the log text from character `offset` on and the next offset."""
        return await self._trainings.log(run_id, offset)

    async def stop_training(self, run_id: str) -> TrainingRun:
        """Stop a run; a finished one is returned as it is."""
        return await self._trainings.stop(run_id)

    async def health(self) -> ForecasterHealth:
        """Return which champions there are, which models are loaded, how the books stand, and what is wrong."""
        try:
            champions = await asyncio.to_thread(self._registry.champions)
        except CandlecastError:
            champions = {}  # the shelf says why
        keeper = await asyncio.to_thread(read_status, self._keeper)
        troubles = (self._shelf.reason, keeper_trouble(keeper, self._clock()))
        return ForecasterHealth(champions, self._shelf.loaded, "; ".join(filter(None, troubles)), keeper)
