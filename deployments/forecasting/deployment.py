"""The `Forecaster` deployment: the forecaster service as a Serve replica, and Ray jobs as its training runner."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.job_submission import JobStatus, JobSubmissionClient
from ray.serve.handle import DeploymentHandle

from deployments.common.errors import CandlecastError
from deployments.common.telemetry import logger
from deployments.forecasting.artefact import Tensors
from deployments.forecasting.models import (
    AccuracyRow,
    Decision,
    Forecast,
    ForecasterHealth,
    ForecastRequest,
    ModelCard,
    ModelList,
    PastForecast,
    TrainingRequest,
    TrainingRun,
)
from deployments.forecasting.service import ForecasterService
from deployments.forecasting.shelf import ModelBuilder, QuantileModel
from deployments.forecasting.training_command import on_cluster, training_command, training_environment
from deployments.market_data.client import MarketDataClient

log = logger(__name__)

UPKEEP_PERIOD_S = 1.0
"""Champions are to be noticed within two seconds; a quiet round costs a few `stat` calls."""


class RayJobs:
    """Run training as Ray jobs on this cluster; the run id is the submission id and so an idempotency key."""

    def __init__(self, home: Path, gpu_share: float) -> None:
        self._home = home
        self._gpu_share = gpu_share

    async def submit(self, run_id: str, request: TrainingRequest) -> None:
        """Start a training job; a run id submitted before starts nothing."""
        command = training_command(run_id, request, self._gpu_share)
        await asyncio.to_thread(self._submit, run_id, command)

    async def stop(self, run_id: str) -> None:
        """Ask a job to end: SIGTERM, three seconds later SIGKILL. An unknown or ended job is left alone."""
        await asyncio.to_thread(self._stop, run_id)

    async def states(self) -> dict[str, str]:
        """Return the state of every job that the cluster remembers, by submission id."""
        jobs = await asyncio.to_thread(lambda: _client().list_jobs())
        return {job.submission_id: job.status.value for job in jobs if job.submission_id}

    async def log(self, run_id: str) -> str:
        """Return what a job has written so far, nothing for one that the cluster has forgotten."""
        return await asyncio.to_thread(self._log, run_id)

    def _submit(self, run_id: str, command: str) -> None:
        client = _client()
        if any(job.submission_id == run_id for job in client.list_jobs()):
            return
        client.submit_job(
            entrypoint=on_cluster(ray.get_runtime_context().gcs_address, command),
            submission_id=run_id,
            runtime_env={"env_vars": training_environment(self._home)},
        )

    def _stop(self, run_id: str) -> None:
        client = _client()
        for job in client.list_jobs():
            if job.submission_id == run_id and job.status in {JobStatus.PENDING, JobStatus.RUNNING}:
                client.stop_job(run_id)

    def _log(self, run_id: str) -> str:
        try:
            return str(_client().get_job_logs(run_id))
        except RuntimeError:
            return ""


@serve.deployment(max_ongoing_requests=64)
class Forecaster:
    """Serve `ForecasterService`. The forward pass runs in a thread per request, batched where a request is a batch."""

    async def __init__(  # type: ignore[misc] # Serve awaits it, which mypy does not know
        self, home: str, device: str, training_gpu_share: float, market_data: DeploymentHandle[Any]
    ) -> None:
        folder = Path(home)
        jobs = RayJobs(folder, training_gpu_share if device == "cuda" else 0.0)
        self._service = ForecasterService(folder, MarketDataClient(market_data), jobs, _builder(device))
        await self._service.follow_champions()
        # Apart, because a slow disk must not delay a new champion.
        chores = (self._service.follow_champions, self._service.keep_books)
        self._upkeep = [asyncio.create_task(_every_second(chore)) for chore in chores]

    async def forecast(self, request: ForecastRequest) -> Forecast:
        return await self._service.forecast(request)

    async def forecast_batch(
        self, symbols: tuple[str, ...], request: ForecastRequest
    ) -> dict[str, Forecast | CandlecastError]:
        return await self._service.forecast_batch(symbols, request)

    async def history(self, symbol: str, limit: int, since: datetime | None = None) -> tuple[PastForecast, ...]:
        return await self._service.history(symbol, limit, since)

    async def accuracy(self, symbol: str | None = None) -> tuple[AccuracyRow, ...]:
        return await self._service.accuracy(symbol)

    async def models(self) -> ModelList:
        return await self._service.models()

    async def model(self, version: str) -> ModelCard:
        return await self._service.model(version)

    async def promote(self, version: str, force: bool) -> Decision:
        return await self._service.promote(version, force)

    async def rollback(self) -> Decision:
        return await self._service.rollback()

    async def start_training(self, request: TrainingRequest) -> TrainingRun:
        return await self._service.start_training(request)

    async def training_runs(self) -> tuple[TrainingRun, ...]:
        return await self._service.training_runs()

    async def training_run(self, run_id: str) -> TrainingRun:
        return await self._service.training_run(run_id)

    async def training_log(self, run_id: str, offset: int) -> tuple[str, int]:
        return await self._service.training_log(run_id, offset)

    async def stop_training(self, run_id: str) -> TrainingRun:
        return await self._service.stop_training(run_id)

    async def health(self) -> ForecasterHealth:
        return await self._service.health()

    def check_health(self) -> None:
        """Raise when the upkeep has ended: a replica without it would serve an old champion for ever."""
        if any(task.done() for task in self._upkeep):
            raise RuntimeError("the upkeep of the forecaster has ended")

    async def __del__(self) -> None:
        """Store what is queued; Serve awaits this when it stops the replica."""
        for task in self._upkeep:
            task.cancel()
        await asyncio.gather(*self._upkeep, return_exceptions=True)
        await self._service.close()


async def _every_second(chore: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(UPKEEP_PERIOD_S)
        try:
            await chore()
        except Exception as error:
            log.error("upkeep failed", exc_info=error, chore=getattr(chore, "__name__", ""))


def _builder(device: str) -> ModelBuilder:
    def build(tensors: Tensors, config: dict[str, Any]) -> QuantileModel:
        # Imported here: torch and neuralforecast take seconds, and a replica without a model never needs them.
        from deployments.forecasting.predictor import Predictor

        return Predictor(tensors, config, device)

    return build


def _client() -> JobSubmissionClient:
    return JobSubmissionClient(ray.get_runtime_context().gcs_address)
