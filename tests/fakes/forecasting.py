"""Models, jobs and cards in memory, for tests of forecasting."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from deployments.common.clock import Clock
from deployments.common.errors import DamagedModel
from deployments.forecasting.issued import IssuedForecast, points_of
from deployments.forecasting.models import (
    Decision,
    Forecast,
    ForecastStatus,
    ModelCard,
    ModelRef,
    ModelStatus,
    TrainingRequest,
)
from deployments.forecasting.predicting.baselines import ewma_quantiles
from deployments.forecasting.quantiles import QUANTILES, FloatArray
from deployments.forecasting.registry.artefact import Tensors
from deployments.forecasting.series.windows import Past
from deployments.market_data.models import Interval

TRAINED_AT = datetime(2024, 3, 1, 12, tzinfo=UTC)


class FakeModel:
    """Answer the EWMA baseline moved up by `shift` in log price, so that a test can tell who answered."""

    def __init__(self, tensors: Tensors, config: dict[str, Any]) -> None:
        if config.get("broken"):
            raise DamagedModel("this model cannot be built")
        self.shift = float(tensors["shift"][0])
        self.input_size = int(config["input_size"])
        self.horizon = int(config["horizon"])
        self.history_bars = int(config.get("history_bars", self.input_size))
        self.batches: list[tuple[int, ...]] = []

    def quantiles(self, past: Past) -> FloatArray:
        self.batches.append(past.log_closes.shape)
        answer: FloatArray = ewma_quantiles(past.log_closes, self.horizon, known=past.known) + self.shift
        return answer


class FakeJobs:
    """Remember what was submitted; a test sets `known` to say what became of it.

    Like Ray it takes an id once and rejects it ever after, and it stops a job `stop_takes` after it was told to.
    """

    def __init__(self, clock: Clock = lambda: TRAINED_AT, stop_takes: timedelta = timedelta(0)) -> None:
        self.known: dict[str, str] = {}
        self.requests: dict[str, TrainingRequest] = {}
        self.logs: dict[str, str] = {}
        self.away = False
        self._clock = clock
        self._stop_takes = stop_takes
        self._stopping: dict[str, datetime] = {}

    async def submit(self, run_id: str, request: TrainingRequest) -> None:
        self._reach()
        await asyncio.sleep(0)
        if run_id in self.known:
            raise RuntimeError(f"Job with submission_id {run_id} already exists.")
        self.requests[run_id] = request
        self.known[run_id] = "PENDING"

    async def stop(self, run_id: str) -> None:
        self._reach()
        if self.known.get(run_id) in {"PENDING", "RUNNING"}:
            self._stopping[run_id] = self._clock() + self._stop_takes

    async def states(self) -> dict[str, str]:
        self._reach()
        for run_id in [run_id for run_id, when in self._stopping.items() if when <= self._clock()]:
            del self._stopping[run_id]
            self.known[run_id] = "STOPPED"
        return dict(self.known)

    async def log(self, run_id: str) -> str:
        return self.logs.get(run_id, "")

    def _reach(self) -> None:
        if self.away:
            raise ConnectionError("the jobs API is away")


def model_tensors(shift: float = 0.01) -> Tensors:
    """Return what a `FakeModel` is built from."""
    return {"shift": np.array([shift])}


def model_card(
    trained_at: datetime = TRAINED_AT,
    data_end: datetime | None = None,
    verdict: str | None = "promote",
    horizon: int = 24,
    interval: Interval = Interval.H1,
    input_size: int = 48,
    **config: Any,
) -> ModelCard:
    """Return the card of an unpublished version of a `FakeModel`."""
    decision = Decision("", verdict, f"the judge said {verdict}", trained_at) if verdict else None
    test = {"n": 300, "coverage80": 0.81, "coverage90": 0.9, "mase": 1.2}
    return ModelCard(
        version="",
        interval=interval,
        horizon=horizon,
        input_size=input_size,
        status=ModelStatus.CANDIDATE,
        trained_at=trained_at,
        data_start=datetime(2023, 1, 1, tzinfo=UTC),
        data_end=data_end or trained_at,
        symbols=("BTCUSD",),
        metrics={"test": test, "pinball_vs_baseline": 0.97},
        config={"input_size": input_size, "horizon": horizon, **config},
        decision=decision,
        sha256="",
    )


def issued_forecast(
    symbol: str,
    last_time: datetime,
    horizon: int = 3,
    version: str | None = None,
    warnings: tuple[str, ...] = (),
    centre: float = 4.0,
    width: float = 0.01,
) -> IssuedForecast:
    """Return an hourly forecast around `centre` in log price, its baseline twice as wide."""
    grid = np.tile(np.linspace(-1.0, 1.0, len(QUANTILES)), (horizon, 1))
    quantiles = centre + width * grid
    times = tuple(last_time + timedelta(hours=step) for step in range(1, horizon + 1))
    forecast = Forecast(
        symbol=symbol,
        interval=Interval.H1,
        horizon=horizon,
        issued_at=last_time + timedelta(hours=1, minutes=1),
        data_as_of=last_time + timedelta(hours=1),
        expires_at=last_time + timedelta(hours=2),
        status=ForecastStatus.FRESH if version else ForecastStatus.FALLBACK,
        model=ModelRef("nhits", version, TRAINED_AT) if version else ModelRef("ewma", None, None),
        levels=(80.0, 97.5),
        points=points_of(quantiles, times, (80.0, 97.5)),
        skill=None,
        warnings=warnings,
    )
    return IssuedForecast(forecast, last_time, centre, 0.005, quantiles, centre + 2 * width * grid)
