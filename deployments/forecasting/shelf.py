"""The models in memory: champions loaded beside their forerunners and swapped in between requests."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from deployments.common.errors import CandlecastError
from deployments.common.telemetry import logger
from deployments.forecasting.artefact import Tensors
from deployments.forecasting.models import ModelCard
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.registry import Registry
from deployments.market_data.models import Interval

log = logger(__name__)

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

    def quantiles(self, log_closes: FloatArray) -> FloatArray:
        """Return log-price quantiles (n, horizon, 9), sorted, for log closes (n, at least input_size)."""
        ...


ModelBuilder = Callable[[Tensors, dict[str, Any]], QuantileModel]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    card: ModelCard
    model: QuantileModel


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that may answer, or None with the reason."""

    loaded: LoadedModel | None
    reason: str = ""


class ModelShelf:
    """Hold the champions of `registry`, built by `build`, and find the one for a request."""

    def __init__(self, registry: Registry, build: ModelBuilder) -> None:
        self._registry = registry
        self._build = build
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
            return Choice(current)
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
        return LoadedModel(card, self._build(tensors, card.config))
