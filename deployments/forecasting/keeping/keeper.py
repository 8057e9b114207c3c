"""The keeper of the forecaster's books: issues, resolves, recalibrates, asks for training, throws away.

Everything it knows lies on disk, so that it may be killed and recreated at any moment. Of several keepers the one that
holds the lease works, and it looks at the lease again before each thing that it publishes.
"""

import asyncio
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, InvalidRequest, TooLittleHistory, Unavailable
from deployments.common.lease import Lease
from deployments.common.telemetry import logger
from deployments.forecasting.judging.resolving import Outcomes
from deployments.forecasting.judging.retention import Retention
from deployments.forecasting.judging.retraining import RetrainingPolicy, request_like, retraining_reason
from deployments.forecasting.judging.setback import LiveLosses, Setback, live_setback, period_of
from deployments.forecasting.keeping.resolved_store import ResolvedStore
from deployments.forecasting.keeping.resolver import Resolver
from deployments.forecasting.keeping.store import ForecastStore
from deployments.forecasting.models import (
    Forecast,
    ForecastRequest,
    KeeperState,
    KeeperStatus,
    ModelCard,
    TrainingRequest,
    TrainingRun,
)
from deployments.forecasting.predicting.recalibration import TRAILING, Resolved, fit_recalibration
from deployments.forecasting.registry.recalibrations import Recalibrations
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.registry.setbacks import Setbacks
from deployments.forecasting.training.data import calendars_of, enabled_symbols
from deployments.forecasting.training.ledger import FINISHED, TrainingLedger
from deployments.market_data.models import CandleQuery, Candles, SymbolFilter, SymbolPage

log = logger(__name__)

SYMBOLS_AT_ONCE = 50
SWEEP_EVERY = timedelta(days=1)
KEPT_FORECASTS = timedelta(days=400)
KEPT_RUNS = timedelta(days=90)
KEPT_CHECKPOINTS = timedelta(days=7)
"""How long a run that failed or was stopped can be resumed."""

EVERYWHERE = "*"

TRAILING_DAYS = timedelta(days=float(TRAILING / np.timedelta64(1, "D")))


class MarketData(Protocol):
    """What the keeper reads of market data."""

    async def candles(self, query: CandleQuery) -> Candles: ...

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage: ...


class Forecaster(Protocol):
    """What the keeper asks of the forecaster, as any other client does."""

    async def forecast_batch(
        self, symbols: tuple[str, ...], request: ForecastRequest
    ) -> dict[str, Forecast | CandlecastError]: ...

    async def start_training(self, request: TrainingRequest) -> TrainingRun: ...


@dataclass(frozen=True, slots=True)
class KeeperPolicy:
    """What the keeper does beside resolving: `issue` a forecast for each enabled symbol and bar, train, throw away."""

    issue: bool = True
    retraining: RetrainingPolicy = field(default_factory=RetrainingPolicy)
    retention: Retention = field(default_factory=Retention)


class Keeper:
    """Keep the books under `home` and the registry at `registry`."""

    def __init__(
        self,
        home: Path,
        market: MarketData,
        forecaster: Forecaster,
        policy: KeeperPolicy | None = None,
        registry: Path | str = "",
        clock: Clock = utc_now,
    ) -> None:
        self._home, self._market, self._forecaster, self._clock = home, market, forecaster, clock
        self._policy = policy or KeeperPolicy()
        self._registry = Registry(registry or home / "models")
        self._ledger = TrainingLedger(home / "models", clock)
        self._forecasts = ForecastStore(home / "forecasts.lance")
        self._resolved = ResolvedStore(home / "resolved.lance")
        self._resolver = Resolver(self._forecasts, self._resolved, market, clock)
        self._recalibrations = Recalibrations(home / "recalibration")
        self._setbacks = Setbacks(home / "setback")
        self._lease = Lease(home / "keeper.lease")
        self._swept: datetime | None = None

    async def round(self) -> KeeperStatus:
        """Do everything that is due and return what was done; `waiting` while another keeper holds the lease."""
        if not self._lease.acquire():
            return KeeperStatus(KeeperState.WAITING, self._clock())
        cards = await asyncio.to_thread(self._champions)
        status = KeeperStatus(KeeperState.KEEPING, self._clock(), self._lease.epoch)
        try:
            status = replace(status, issued=await self._issue(cards))
        except CandlecastError as error:
            # What was issued before can be resolved all the same.
            status = replace(status, state=KeeperState.FAILING, error=str(error))
        resolved, lost = await self._resolve()
        status = replace(status, resolved=resolved, lost=lost)
        status = replace(status, recalibrated=await self._recalibrate(cards), set_back=await self._set_back(cards))
        status = replace(status, retraining=await self._retrain(cards))
        return replace(status, deleted=await self._sweep(cards), at=self._clock())

    def end(self) -> None:
        """Let another keeper go on."""
        self._lease.release()

    async def _issue(self, cards: list[ModelCard]) -> int:
        if not cards or not self._policy.issue:
            return 0
        symbols, count = await enabled_symbols(self._market), 0
        for card in cards:
            request = ForecastRequest("", card.interval, card.horizon)
            for start in range(0, len(symbols), SYMBOLS_AT_ONCE):
                answers = await self._forecaster.forecast_batch(symbols[start : start + SYMBOLS_AT_ONCE], request)
                count += sum(isinstance(answer, Forecast) for answer in answers.values())
        return count

    async def _resolve(self) -> tuple[int, int]:
        resolved = lost = 0
        for keys in await self._resolver.batches():
            outcomes = await self._resolver.resolved(keys)
            self._check_lease()
            await self._resolver.store(outcomes)
            lost += sum(outcome.actual is None for outcome in outcomes)
            resolved += sum(outcome.actual is not None for outcome in outcomes)
        return resolved, lost

    async def _recalibrate(self, cards: list[ModelCard]) -> dict[str, int]:
        counts = {}
        for card in cards:
            outcomes = await asyncio.to_thread(self._outcomes, card)
            fitted = await asyncio.to_thread(
                fit_recalibration, Resolved(outcomes.actual, outcomes.raw, outcomes.origins, card.interval)
            )
            self._check_lease()
            await asyncio.to_thread(self._recalibrations.store, card.version, fitted)
            counts[card.version] = fitted.n
        return counts

    async def _set_back(self, cards: list[ModelCard]) -> dict[str, tuple[str, ...]]:
        lost = {}
        calendars = await calendars_of(self._market) if cards else {}
        for card in cards:
            found = await asyncio.to_thread(self._lost_live, card, calendars)
            self._check_lease()
            await asyncio.to_thread(self._setbacks.store, card.version, found)
            if found != Setback():
                lost[card.version] = (EVERYWHERE,) if found.everywhere else found.symbols
        return lost

    async def _retrain(self, cards: list[ModelCard]) -> dict[str, str]:
        asked = {}
        runs = await asyncio.to_thread(self._ledger.runs)
        for card in cards:
            outcomes, data_end = await asyncio.to_thread(self._outcomes, card), await self._data_end(card)
            reason = retraining_reason(card, outcomes, runs, data_end, self._policy.retraining, self._clock())
            if reason:
                self._check_lease()
                try:
                    run = await self._forecaster.start_training(request_like(card))
                except TooLittleHistory as refused:
                    # Bars can go: the other champions are looked after all the same.
                    log.warning("retraining refused", version=card.version, reason=str(refused))
                    continue
                log.info("retraining asked for", run_id=run.id, version=card.version, reason=reason)
                asked[run.id] = reason
        return asked

    async def _data_end(self, card: ModelCard) -> datetime | None:
        """Return the close of a bar that `card` has not seen, of whichever symbol has one, None where none has."""
        for symbol in (await enabled_symbols(self._market))[:SYMBOLS_AT_ONCE]:
            try:
                answer = await self._market.candles(CandleQuery(symbol, card.interval, limit=1))
            except CandlecastError:
                continue
            if answer.data_as_of and answer.data_as_of > card.data_end:
                return answer.data_as_of
        return None

    async def _sweep(self, cards: list[ModelCard]) -> tuple[str, ...]:
        now = self._clock()
        if self._swept and now - self._swept < SWEEP_EVERY:
            return ()
        self._check_lease()
        deleted = await asyncio.to_thread(self._swept_away, [card.version for card in cards], now)
        self._swept = now
        return deleted

    def _swept_away(self, serving: list[str], now: datetime) -> tuple[str, ...]:
        deleted = self._registry.prune(self._policy.retention, now)
        self._ledger.prune(now - KEPT_RUNS)
        self._forecasts.forget(now - KEPT_FORECASTS)
        self._resolved.forget(now - KEPT_FORECASTS)
        # A former champion may come back, and its outcomes with it; it is recalibrated anew then.
        self._recalibrations.keep_only(serving)
        self._setbacks.keep_only(serving)
        for run in self._ledger.runs():
            if run.state in FINISHED and now - run.updated_at > KEPT_CHECKPOINTS:
                shutil.rmtree(self._home / "train" / run.id, ignore_errors=True)
        return deleted

    def _champions(self) -> list[ModelCard]:
        """Return the cards of the champions; one that is damaged needs no books, and the health says why."""
        champions = set(self._registry.champions().values())
        return [card for card in self._registry.cards() if card.version in champions]

    def _outcomes(self, card: ModelCard) -> Outcomes:
        return self._resolved.outcomes(card.version, card.horizon, self._clock() - TRAILING_DAYS)

    def _lost_live(self, card: ModelCard, calendars: Mapping[str, str]) -> Setback:
        now = self._clock()
        periods = _periods(card, calendars)
        own, baseline = self._resolved.losses(
            card.version,
            card.horizon,
            now - 2 * period_of(card.interval, card.horizon),
            {symbol: now - 2 * period for symbol, period in periods.items()},
        )
        return live_setback(LiveLosses(own, baseline, card.interval, card.horizon, periods), card.trained_at, now)

    def _check_lease(self) -> None:
        if not self._lease.is_held():
            raise Unavailable("another keeper has taken over the forecaster's books", 5.0)


def _periods(card: ModelCard, calendars: Mapping[str, str]) -> dict[str, timedelta]:
    """Return how long each symbol's losses are judged together, without those whose calendar nobody knows."""
    periods = {}
    for symbol, name in calendars.items():
        # One calendar that a release no longer computes must not leave every symbol unwatched.
        with suppress(InvalidRequest):
            periods[symbol] = period_of(card.interval, card.horizon, name)
    return periods
