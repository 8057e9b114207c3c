"""Forecasting as other contexts see it: a Serve handle with deadlines, typed. Knows no Ray."""

from typing import Any

from deployments.common.clock import within
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

TIMEOUT_S = 15.0


class ForecasterClient:
    """Call the `Forecaster` deployment through `handle` (a `DeploymentHandle` or anything of its shape)."""

    def __init__(self, handle: Any, timeout_s: float = TIMEOUT_S) -> None:
        self._handle = handle
        self._timeout_s = timeout_s

    async def _call(self, method: str, *args: object) -> Any:
        return await within(self._timeout_s, getattr(self._handle, method).remote(*args), "Forecaster")

    async def forecast(self, request: ForecastRequest) -> Forecast:
        """Forecast one symbol; raises `UnknownSymbol`, `NoCandles` or `TooLittleHistory`."""
        result: Forecast = await self._call("forecast", request)
        return result

    async def forecast_batch(
        self, symbols: tuple[str, ...], request: ForecastRequest
    ) -> dict[str, Forecast | CandlecastError]:
        """Forecast many symbols in one pass; `request.symbol` is ignored."""
        result: dict[str, Forecast | CandlecastError] = await self._call("forecast_batch", symbols, request)
        return result

    async def history(self, wanted: HistoryRequest) -> tuple[PastForecast, ...]:
        """Return earlier forecasts of a symbol, newest first, with what followed; raises `UnknownSymbol`."""
        result: tuple[PastForecast, ...] = await self._call("history", wanted)
        return result

    async def accuracy(self, symbol: str | None = None) -> tuple[AccuracyRow, ...]:
        """Return live scores, of one symbol or of all; raises `UnknownSymbol`."""
        result: tuple[AccuracyRow, ...] = await self._call("accuracy", symbol)
        return result

    async def models(self) -> ModelList:
        """Return the registry's versions, champions and decisions."""
        result: ModelList = await self._call("models")
        return result

    async def model(self, version: str) -> ModelCard:
        """Return one version; raises `UnknownModel`."""
        result: ModelCard = await self._call("model", version)
        return result

    async def promote(self, version: str, force: bool) -> Decision:
        """Make a version champion; raises `PromotionRefused` when the gate says no and `force` is false."""
        result: Decision = await self._call("promote", version, force)
        return result

    async def rollback(self, champion: str | None = None) -> Decision:
        """Go back from `champion`, else undo the latest change; raises `NothingTrained` or `PreconditionFailed`."""
        result: Decision = await self._call("rollback", champion)
        return result

    async def start_training(self, request: TrainingRequest) -> TrainingRun:
        """Submit a training job; the same request while one runs answers the running one."""
        result: TrainingRun = await self._call("start_training", request)
        return result

    async def training_runs(self) -> tuple[TrainingRun, ...]:
        """Return training runs, newest first."""
        result: tuple[TrainingRun, ...] = await self._call("training_runs")
        return result

    async def training_run(self, run_id: str) -> TrainingRun:
        """Return one training run; raises `UnknownTraining`."""
        result: TrainingRun = await self._call("training_run", run_id)
        return result

    async def training_log(self, run_id: str, offset: int) -> tuple[str, int]:
        """Return the log text from character `offset` on and the next offset."""
        result: tuple[str, int] = await self._call("training_log", run_id, offset)
        return result

    async def stop_training(self, run_id: str) -> TrainingRun:
        """Stop a run; a finished one is returned as it is."""
        result: TrainingRun = await self._call("stop_training", run_id)
        return result

    async def health(self) -> ForecasterHealth:
        """Return which champions there are and which models are loaded."""
        result: ForecasterHealth = await self._call("health")
        return result
