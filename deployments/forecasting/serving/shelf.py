"""The models in memory: champions loaded beside their forerunners and swapped in between requests."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np

from deployments.common.errors import CandlecastError, DamagedModel
from deployments.common.telemetry import logger
from deployments.forecasting.judging.setback import Setback
from deployments.forecasting.models import FallbackCause, ModelCard
from deployments.forecasting.predicting.recalibration import Recalibration
from deployments.forecasting.quantiles import QUANTILES, FloatArray
from deployments.forecasting.registry.artefact import Tensors
from deployments.forecasting.registry.recalibrations import Recalibrations
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.registry.setbacks import Setbacks
from deployments.forecasting.series.windows import Past
from deployments.market_data.models import Interval

log = logger(__name__)

REHEARSED = (1, 32)
"""Series in the passes before a model serves: one, as most requests, and many, as a batch."""

REGISTRY = ""
RETRY_AFTER_S = 60.0
"""Pause before a champion that could not be loaded is tried again: it may have been the store, not the artefact."""

PAST_MODELS = 4
"""Former versions kept loaded for requests with `as_of`."""


class QuantileModel(Protocol):
    """A model ready to answer; called from several threads at once."""

    @property
    def input_size(self) -> int: ...

    @property
    def history_bars(self) -> int: ...

    @property
    def horizon(self) -> int: ...

    def quantiles(self, past: Past) -> FloatArray:
        """Return log-price quantiles (n, horizon, 9), sorted, for at least `input_size` bars each."""
        ...


ModelBuilder = Callable[[Tensors, dict[str, Any]], QuantileModel]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    card: ModelCard
    model: QuantileModel


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that may answer and what its forecasts are corrected by, or None with the reason and its cause.

    `setback` says which symbols it has lost live to the baseline.
    """

    loaded: LoadedModel | None
    reason: str = ""
    recalibration: Recalibration | None = None
    setback: Setback | None = None
    cause: FallbackCause = FallbackCause.NO_MODEL

    def serving(self, symbol: str) -> "Choice":
        """Return the choice for one symbol: no model where the baseline has been significantly better."""
        if self.loaded is None:
            return self
        decision = self.loaded.card.decision
        if decision and symbol in decision.lost_symbols:
            reason = f"on the model's test span it was significantly better than the model for {symbol}"
            return Choice(None, reason, cause=FallbackCause.LOST_ON_TEST)
        reason = self.setback.reason(symbol) if self.setback else ""
        return Choice(None, reason, cause=FallbackCause.LOST_LIVE) if reason else self


class ModelShelf:
    """Hold the champions of `registry`, built by `build`, and find the one for a request."""

    def __init__(
        self,
        registry: Registry,
        build: ModelBuilder,
        recalibrations: Recalibrations | None = None,
        setbacks: Setbacks | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._build = build
        self._recalibrations = recalibrations
        self._setbacks = setbacks
        self._monotonic = monotonic
        self._tried_at = 0.0
        self._champions: dict[str, LoadedModel] = {}
        self._past: OrderedDict[str, LoadedModel] = OrderedDict()
        self._faults: dict[str, str] = {}
        self._seen: object = None
        self._refreshing = asyncio.Lock()
        self._loading = asyncio.Lock()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The versions that serve now."""
        return tuple(sorted(loaded.card.version for loaded in self._champions.values()))

    @property
    def faults(self) -> dict[str, str]:
        """Why a champion is not the one that serves, by its series."""
        return dict(self._faults)

    @property
    def reason(self) -> str:
        """Why a champion is not the one that serves; empty when all are."""
        return "; ".join(self._faults.values())

    async def refresh(self) -> None:
        """Load champions that changed; one that cannot be loaded leaves the former in place and is tried again."""
        async with self._refreshing:
            if self._recalibrations:
                await asyncio.to_thread(self._recalibrations.refresh)
            if self._setbacks:
                await asyncio.to_thread(self._setbacks.refresh)
            try:
                await self._follow()
            except CandlecastError as error:
                # Who serves goes on, and where nobody does the baseline answers.
                self._faults[REGISTRY] = str(error)
            else:
                self._faults.pop(REGISTRY, None)

    async def choose(self, interval: Interval, horizon: int, as_of: datetime | None) -> Choice:
        """Return the model for a request, or why none may answer it."""
        if as_of is None and (current := self._current(interval, horizon)):
            # What was learnt since may not speak of the past, so it concerns only forecasts of now.
            version = current.card.version
            corrected = self._recalibrations.of(version) if self._recalibrations else None
            return Choice(current, "", corrected, self._setbacks.of(version) if self._setbacks else None)
        try:
            wanted = await asyncio.to_thread(self._registry.serving_version, interval, horizon, as_of)
            return Choice(await self._held(wanted.version)) if wanted.version else Choice(None, wanted.reason)
        except CandlecastError as error:
            return Choice(None, str(error), cause=FallbackCause.MODEL_FAILED)

    async def _follow(self) -> None:
        stamp = await asyncio.to_thread(self._registry.stamp)
        if stamp == self._seen and (not self._faults or self._monotonic() - self._tried_at < RETRY_AFTER_S):
            return
        self._tried_at = self._monotonic()
        champions = await asyncio.to_thread(self._registry.champions)
        for series, version in champions.items():
            await self._take_up(series, version)
        for series in {series for series, pointer in stamp if pointer} - champions.keys():
            self._faults[series] = f"the champion pointer of {series} cannot be read: whoever served goes on"
        self._seen = stamp

    def _current(self, interval: Interval, horizon: int) -> LoadedModel | None:
        fitting = [
            loaded
            for loaded in self._champions.values()
            if loaded.card.interval is interval and loaded.card.horizon >= horizon
        ]
        return min(fitting, key=lambda loaded: loaded.card.horizon, default=None)

    async def _take_up(self, series: str, version: str) -> None:
        serving = self._champions.get(series)
        if serving and serving.card.version == version:
            self._faults.pop(series, None)
            return
        try:
            self._champions[series] = await self._load(version)
        except CandlecastError as error:
            self._faults[series] = str(error)
            log.error("champion not loaded", series=series, version=version, reason=str(error))
            if serving is None:
                await self._take_up_former(series)
        else:
            self._faults.pop(series, None)
            log.info("champion loaded", series=series, version=version)

    async def _take_up_former(self, series: str) -> None:
        for version in (await asyncio.to_thread(self._registry.formers, series))[:PAST_MODELS]:
            try:
                self._champions[series] = await self._load(version)
            except CandlecastError as error:
                log.warning("former champion not loaded", series=series, version=version, reason=str(error))
            else:
                return

    async def _held(self, version: str) -> LoadedModel:
        # One load at a time: many requests for one instant would each load, and hold, the same model.
        async with self._loading:
            for loaded in (*self._champions.values(), *self._past.values()):
                if loaded.card.version == version:
                    return loaded
            self._past[version] = await self._load(version)
            while len(self._past) > PAST_MODELS:
                self._past.popitem(last=False)
            return self._past[version]

    async def _load(self, version: str) -> LoadedModel:
        return await asyncio.to_thread(self._load_now, version)

    def _load_now(self, version: str) -> LoadedModel:
        tensors, card = self._registry.load(version)
        try:
            model = self._build(tensors, card.config)
        except CandlecastError:
            raise
        except Exception as error:
            raise DamagedModel(f"version {version} cannot be built: {type(error).__name__}") from error
        rehearse(model, version)
        return LoadedModel(card, model)


def rehearse(model: QuantileModel, version: str) -> None:
    """Let a model answer before it serves: the first passes are slow, and one that cannot answer must not serve.

    Raises `DamagedModel`.
    """
    random = np.random.default_rng(1)
    for count in REHEARSED:
        moves = 0.01 * random.normal(size=(count, max(model.history_bars, model.input_size)))
        hours = np.zeros(moves.shape, dtype=np.int16)
        past = Past(
            moves.cumsum(axis=1),
            moves**2,
            np.ones(moves.shape, dtype=bool),
            hours,
            np.zeros((count, model.horizon), dtype=np.int16),
            np.array(["24/7"] * count),
        )
        try:
            answer = model.quantiles(past)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise DamagedModel(f"version {version} cannot answer: {reason}") from error
        if answer.shape != (count, model.horizon, len(QUANTILES)) or not np.isfinite(answer).all():
            raise DamagedModel(f"version {version} answers no {model.horizon} steps of numbers")
