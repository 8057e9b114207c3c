"""The Ray shells of forecasting: the `Forecaster` replica, its actor `ForecastKeeper`, and Ray jobs that train."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import serve
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient
from ray.serve.context import _get_serve_request_context
from ray.serve.handle import DeploymentHandle

from deployments.common.errors import CandlecastError
from deployments.common.telemetry import follow_calls, logger, pass_over_refusals
from deployments.forecasting.client import ForecasterClient
from deployments.forecasting.judging.retention import Retention
from deployments.forecasting.judging.retraining import RetrainingPolicy
from deployments.forecasting.keeping.keeper import Keeper, KeeperPolicy
from deployments.forecasting.keeping.loop import KeeperLoop
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
from deployments.forecasting.registry.artefact import Tensors
from deployments.forecasting.service import ForecasterService
from deployments.forecasting.serving.ladder import Prediction, Task, predict
from deployments.forecasting.serving.shelf import ModelBuilder, QuantileModel
from deployments.forecasting.training.command import on_cluster, training_command, training_environment
from deployments.forecasting.training.job_records import JobRecord, surplus
from deployments.market_data.client import MarketDataClient

log = logger(__name__)

APPLICATION = "candlecast"
KEEPER_TIMEOUT_S = 60.0
NICENESS = 10

T = TypeVar("T")

JOB_THREADS = 4
"""Threads that ask the cluster about jobs. It may never answer, and forecasts must not wait for threads that do."""

MOST_TOGETHER = 128
"""Series of one forward pass: those that queued up while the pass before was running, so none waits for company."""

UPKEEP_PERIOD_S = 1.0
"""Champions are to be noticed within two seconds; a quiet round costs a few `stat` calls."""


class RayJobs:
    """Run training as Ray jobs on this cluster; the run id is the submission id and so an idempotency key."""

    def __init__(self, home: Path, gpu_share: float, registry: str) -> None:
        self._environment = training_environment(home, registry)
        self._gpu_share = gpu_share
        self._threads = ThreadPoolExecutor(JOB_THREADS)

    async def submit(self, run_id: str, request: TrainingRequest) -> None:
        """Start a training job; a run id submitted before starts nothing."""
        command = training_command(run_id, request, self._gpu_share)
        await self._apart(self._submit, run_id, command)

    async def stop(self, run_id: str) -> None:
        """Ask a job to end: SIGTERM, three seconds later SIGKILL. An unknown or ended job is left alone."""
        await self._apart(self._stop, run_id)

    async def states(self) -> dict[str, str]:
        """Return the state of every job that the cluster remembers, by submission id."""
        jobs = await self._apart(lambda: _client().list_jobs())
        return {job.submission_id: job.status.value for job in jobs if job.submission_id}

    async def log(self, run_id: str) -> str:
        """Return what a job has written so far, nothing for one that the cluster has forgotten."""
        return await self._apart(self._log, run_id)

    async def _apart(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    def _submit(self, run_id: str, command: str) -> None:
        client = _client()
        jobs = client.list_jobs()
        if any(job.submission_id == run_id for job in jobs):
            return
        client.submit_job(
            entrypoint=on_cluster(ray.get_runtime_context().gcs_address, command),
            submission_id=run_id,
            runtime_env={"env_vars": self._environment},
        )
        _forget(client, jobs)

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


class _LateHandle:
    """Reach a deployment at the first call: an actor of a deployment is built before the deployments it calls."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle: DeploymentHandle[Any] | None = None

    def __getattr__(self, method: str) -> Any:
        if self._handle is None:
            self._handle = serve.get_deployment_handle(self._name, APPLICATION)
        return getattr(self._handle, method)


@ray.remote
class ForecastKeeper:
    """Keep the forecaster's books; one per cluster, supervised by the Serve controller."""

    async def __init__(  # type: ignore[misc] # Ray awaits it, which is how the loop finds its event loop
        self,
        home: str,
        registry: str,
        interval_s: float,
        issue: bool,
        retrain_days: float,
        keep_versions: int,
        keep_days: float,
    ) -> None:
        os.nice(NICENESS)  # books can wait, forecasts cannot
        policy = KeeperPolicy(
            issue=issue,
            retraining=RetrainingPolicy(timedelta(days=retrain_days) if retrain_days else None),
            retention=Retention(keep_versions, timedelta(days=keep_days)),
        )
        market = MarketDataClient(_LateHandle("MarketData"), KEEPER_TIMEOUT_S)
        forecaster = ForecasterClient(_LateHandle("Forecaster"), KEEPER_TIMEOUT_S)
        keeper = Keeper(Path(home), market, forecaster, policy, registry)
        self._task = asyncio.create_task(KeeperLoop(keeper, Path(home) / "keeper.json", interval_s).run())


@serve.deployment(max_ongoing_requests=64)
class Forecaster:
    """Serve `ForecasterService`. What many requests want forecast at the same time goes through one forward pass."""

    async def __init__(  # type: ignore[misc] # Serve awaits it, which mypy does not know
        self, home: str, device: str, training_gpu_share: float, registry: str, market_data: DeploymentHandle[Any]
    ) -> None:
        follow_calls(_get_serve_request_context)
        pass_over_refusals()
        folder = Path(home)
        jobs = RayJobs(folder, training_gpu_share if device == "cuda" else 0.0, registry)
        self._service = ForecasterService(
            folder,
            MarketDataClient(market_data),
            jobs,
            _builder(device),
            predict=self._predict_each,
            registry=registry,
        )
        # A thread of its own: scoreboards and a slow disk may hold those that everything else shares.
        self._passes = ThreadPoolExecutor(1)
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

    async def history(self, wanted: HistoryRequest) -> tuple[PastForecast, ...]:
        return await self._service.history(wanted)

    async def accuracy(self, symbol: str | None = None) -> tuple[AccuracyRow, ...]:
        return await self._service.accuracy(symbol)

    async def models(self) -> ModelList:
        return await self._service.models()

    async def model(self, version: str) -> ModelCard:
        return await self._service.model(version)

    async def promote(self, version: str, force: bool) -> Decision:
        return await self._service.promote(version, force)

    async def rollback(self, champion: str | None = None) -> Decision:
        return await self._service.rollback(champion)

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

    async def _predict_each(self, tasks: Sequence[Task]) -> list[Prediction]:
        return list(await asyncio.gather(*(self._predict_together(task) for task in tasks)))

    @serve.batch(max_batch_size=MOST_TOGETHER, batch_wait_timeout_s=0.0)  # type: ignore[untyped-decorator]
    async def _predict_together(self, tasks: list[Task]) -> list[Prediction]:
        # Every task was checked before it came here: what is wrong with one would fail all.
        return await asyncio.get_running_loop().run_in_executor(self._passes, predict, tasks)

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
        # Imported here: torch takes seconds, and a replica without a model never needs it.
        from deployments.forecasting.predicting.predictor import Predictor

        return Predictor(tensors, config, device)

    return build


def _client() -> JobSubmissionClient:
    return JobSubmissionClient(ray.get_runtime_context().gcs_address)


def _forget(client: JobSubmissionClient, jobs: Sequence[JobDetails]) -> None:
    """Delete the records of long ended training jobs; what cannot be deleted is tried again at the next submission."""
    records = [JobRecord(job.submission_id, job.end_time) for job in jobs if job.submission_id]
    for job_id in surplus(records):
        try:
            client.delete_job(job_id)
        except (RuntimeError, ConnectionError) as error:
            log.warning("job record not deleted", job_id=job_id, reason=f"{error}".splitlines()[0])
