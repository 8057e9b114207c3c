"""The models in memory: champions loaded beside their forerunners and swapped in between requests."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np

from deployments.common.errors import CandlecastError, DamagedModel
from deployments.common.telemetry import logger
from deployments.forecasting.artefact import Tensors
from deployments.forecasting.models import ModelCard
from deployments.forecasting.quantiles import QUANTILES, FloatArray
from deployments.forecasting.recalibration import Recalibration
from deployments.forecasting.recalibrations import Recalibrations
from deployments.forecasting.registry import Registry
from deployments.forecasting.windows import Past
from deployments.market_data.models import Interval

log = logger(__name__)

REHEARSED = (1, 32)
"""Series in the passes before a model serves: one, as most requests, and many, as a batch."""

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
    """The model that may answer and what its forecasts are corrected by, or None with the reason."""

    loaded: LoadedModel | None
    reason: str = ""
    recalibration: Recalibration | None = None


class ModelShelf:
    """Hold the champions of `registry`, built by `build`, and find the one for a request."""

    def __init__(self, registry: Registry, build: ModelBuilder, recalibrations: Recalibrations | None = None) -> None:
        self._registry = registry
        self._build = build
        self._recalibrations = recalibrations
        self._champions: dict[str, LoadedModel] = {}
        self._past: OrderedDict[str, LoadedModel] = OrderedDict()
        self._faults: dict[str, str] = {}
        self._seen: object = None
        self._refreshing = asyncio.Lock()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The versions that serve now."""
        return tuple(sorted(loaded.card.version for loaded in self._champions.values()))

    @property
    def reason(self) -> str:
        """Why a champion is not the one that serves; empty when all are."""
        return "; ".join(self._faults.values())

    async def refresh(self) -> None:
        """Load champions that changed; one that cannot be loaded leaves the former in place."""
        async with self._refreshing:
            if self._recalibrations:
                await asyncio.to_thread(self._recalibrations.refresh)
            stamp = await asyncio.to_thread(self._registry.stamp)
            if stamp == self._seen:
                return
            champions = await asyncio.to_thread(self._registry.champions)
            for series, version in champions.items():
                await self._take_up(series, version)
            self._seen = stamp

    async def choose(self, interval: Interval, horizon: int, as_of: datetime | None) -> Choice:
        """Return the model for a request, or why none may answer it."""
        if as_of is None and (current := self._current(interval, horizon)):
            # What was learnt since may not speak of the past, so it corrects only forecasts of now.
            corrected = self._recalibrations.of(current.card.version) if self._recalibrations else None
            return Choice(current, recalibration=corrected)
        wanted = await asyncio.to_thread(self._registry.serving_version, interval, horizon, as_of)
        if wanted.version is None:
            return Choice(None, wanted.reason)
        try:
            return Choice(await self._held(wanted.version))
        except CandlecastError as error:
            return Choice(None, str(error))

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
        else:
            self._faults.pop(series, None)
            log.info("champion loaded", series=series, version=version)

    async def _held(self, version: str) -> LoadedModel:
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
        model = self._build(tensors, card.config)
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
