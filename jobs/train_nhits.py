"""Train NHITS on the cluster: `python -m jobs.train_nhits --symbols BTCUSDT,ETHUSDT --max-steps 200`.

Runs as a Ray job (`ray job submit -- python -m jobs.train_nhits`) beside the graph it reads candles from. Everything
but arguments, Ray and signals is in `deployments.forecasting.training.run`.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from types import FrameType

from ray import serve
from ray.serve.exceptions import RayServeException

from deployments.common.clock import utc_now
from deployments.common.errors import CandlecastError, InvalidRequest, UnknownTraining
from deployments.common.settings import StackSettings
from deployments.forecasting.client import ForecasterClient
from deployments.forecasting.models import Decision, TrainingRequest, TrainingState
from deployments.forecasting.training.data import TrainingData, training_data
from deployments.forecasting.training.ledger import TrainingLedger
from deployments.forecasting.training.loop import TrainingConfig
from deployments.forecasting.training.plan import described, plan_of
from deployments.forecasting.training.prospects import check_prospects
from deployments.forecasting.training.resumption import known_at, reaching, resumable
from deployments.forecasting.training.run import Promote, TrainingJob, shape_of
from deployments.forecasting.training.trainings import check_training, next_run_id
from deployments.market_data.client import MarketDataClient
from jobs.cluster import connect, fixed_cpus
from jobs.options import interval, numbers, share, worker_count
from jobs.ray_training import Workers
from jobs.training_display import TrainingDisplay

APP = "candlecast"
READ_TIMEOUT_S = 120.0
PROMOTE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """One run to carry out, on what was known when it first began; `job_id` goes on with one that has ended."""

    run_id: str
    request: TrainingRequest
    began: datetime
    job_id: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line asks and return the exit status."""
    options = parser().parse_args(arguments)
    settings = StackSettings.read()
    home = settings.candlecast_home.resolve()
    ledger = TrainingLedger(home / "models")
    try:
        task = task_of(options, ledger)
    except InvalidRequest as error:
        parser().error("; ".join(f"{field} {problem}" for field, problem in error.fields) or str(error))
    except CandlecastError as error:
        parser().error(str(error))
    with TrainingDisplay(ledger, task.run_id) as display:
        connect(log_to_driver=not display.is_watched)
        check_workers(options.num_workers, fixed_cpus())
        if options.dry_run:
            return plan(task, display.say)
        job = TrainingJob(task.run_id, task.request, home / "models", display.say, registry=settings.model_registry)
        try:
            looked_at(task, ledger)
            # Before the run is entered: from then on nothing may end it without a word.
            for asked_to_end in (signal.SIGTERM, signal.SIGINT):
                signal.signal(asked_to_end, partial(_stop, job))
            task = entered(task, ledger)
        except CandlecastError as error:
            parser().error(str(error))
        workers = Workers(task.run_id, home, options.num_workers, options.gpu_share)
        return carry_out(job, task, workers, promote if options.promote else None)


def carry_out(job: TrainingJob, task: Task, workers: Workers, promote: Promote | None) -> int:
    """Train to the end; the checkpoint of a run that does not get there is kept for `--resume`."""
    try:
        with workers.started() as train:
            job.run(partial(read, task), train, promote)
    except CandlecastError as error:
        # The record and the log have said it already.
        return 1 if error.status < 500 else 2
    shutil.rmtree(workers.folder, ignore_errors=True)
    return 0


def check_workers(workers: int, cpus: float) -> None:
    """End the program with status 2 where a machine of `cpus` CPUs that does not grow could never start them all."""
    if workers > cpus:
        parser().error(f"argument --num-workers: this machine has {cpus:g} CPUs, one worker each at most")


def plan(task: Task, say: Callable[[str], None]) -> int:
    """Say what training would do, and do none of it."""
    try:
        data = read(task)
        panel = data.panel(task.request.interval)
        config = TrainingConfig(max_steps=task.request.max_steps, seed=task.request.seed)
        for line in described(plan_of(panel, shape_of(task.request), config)):
            say(line)
    except CandlecastError as error:
        say(f"nothing can be trained: {error}")
        return 1 if error.status < 500 else 2
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    wanted = TrainingRequest()
    options = argparse.ArgumentParser(prog="python -m jobs.train_nhits", description="Train NHITS on the cluster.")
    options.add_argument("--run-id", default="", help="name of the run, by default that of the Ray job")
    options.add_argument("--symbols", default="", help="comma separated; by default every enabled symbol")
    options.add_argument("--interval", type=interval, default=wanted.interval, help="length of a bar: 1m to 1d")
    options.add_argument("--horizon", type=int, default=wanted.horizon, help="bars to forecast")
    options.add_argument("--input-size", type=int, default=wanted.input_size, help="bars of the price path to read")
    options.add_argument("--max-steps", type=int, default=wanted.max_steps)
    options.add_argument(
        "--quantiles", type=numbers, default=(), help="that the network learns: 0.1,0.5,0.9; else nine"
    )
    options.add_argument("--lookback-days", type=int, default=None, help="by default all history")
    options.add_argument("--seed", type=int, default=wanted.seed)
    options.add_argument("--num-workers", type=worker_count, default=1, help="one CPU each")
    options.add_argument("--gpu-share", type=share, default=0.3, help="of one GPU per worker, where there are GPUs")
    options.add_argument("--resume", metavar="RUN_ID", default="", help="go on where this run was stopped or failed")
    options.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")
    options.add_argument("--promote", action=argparse.BooleanOptionalAction, default=True)
    return options


def task_of(options: argparse.Namespace, ledger: TrainingLedger) -> Task:
    """Return the run that the options ask for, a new one or, with `--resume`, one that did not get to its end.

    Raises `InvalidRequest` for a request that cannot be, `UnknownTraining`, or `Conflict` for a run that is over or
    still under way.
    """
    if options.resume:
        run = resumable(ledger.run(options.resume), utc_now())
        # The job that bears the run's id has ended: whoever looks at that one would take the run for over.
        return Task(run.id, run.request, run.created_at, submission_id(os.environ) or f"{run.id}-resumed")
    request = request_of(options)
    check_training(request)
    run_id = options.run_id or submission_id(os.environ) or next_run_id(request, ledger.ids())
    return Task(run_id, request, utc_now())


def entered(task: Task, ledger: TrainingLedger) -> Task:
    """Enter a run unless it is, and return the task as of the instant that its record names.

    The first change to the ledger: what is refused before leaves a run as it ended. Raises `Conflict` for a run that
    another job has gone on with since.
    """
    if task.job_id:
        check = partial(resumable, now=utc_now())
        ledger.update(task.run_id, check, state=TrainingState.PENDING, phase="waiting", error="", job_id=task.job_id)
    return replace(task, began=ledger.start(task.run_id, task.request, task.request.max_steps).created_at)


def looked_at(task: Task, ledger: TrainingLedger) -> None:
    """Refuse a run that can come to nothing before workers start; one that is entered already ends with the reason.

    Raises `UnknownSymbol` or `TooLittleHistory`.
    """
    try:
        # Where there is no graph to ask, the run itself will meet that and enter it.
        with suppress(RayServeException):
            asyncio.run(check_prospects(_market(), task.request))
    except CandlecastError as error:
        with suppress(UnknownTraining):
            ledger.settle(task.run_id, TrainingState.FAILED, str(error))
        raise


def request_of(options: argparse.Namespace) -> TrainingRequest:
    """Return the training request that parsed options make."""
    return TrainingRequest(
        symbols=tuple(symbol.strip() for symbol in options.symbols.split(",") if symbol.strip()),
        interval=options.interval,
        horizon=options.horizon,
        input_size=options.input_size,
        max_steps=options.max_steps,
        lookback_days=options.lookback_days,
        seed=options.seed,
        quantiles=options.quantiles,
    )


def submission_id(environment: "os._Environ[str] | dict[str, str]") -> str:
    """Return the id that `ray job submit` gave this process, so that its log and its stop are found; else nothing."""
    try:
        config = json.loads(environment.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
        return str(config["metadata"]["job_submission_id"])
    except (ValueError, KeyError, TypeError):
        return ""


def read(task: Task) -> TrainingData:
    """Read candles from the `MarketData` deployment: those that were known when the run began."""
    data = asyncio.run(training_data(_market(), reaching(task.request, task.began, utc_now())))
    return known_at(data, task.request, task.began)


def promote(version: str) -> Decision:
    """Ask the `Forecaster` deployment to promote a version."""
    forecaster = ForecasterClient(serve.get_deployment_handle("Forecaster", APP), PROMOTE_TIMEOUT_S)
    return asyncio.run(forecaster.promote(version, False))


def _market() -> MarketDataClient:
    return MarketDataClient(serve.get_deployment_handle("MarketData", APP), READ_TIMEOUT_S)


def _stop(job: TrainingJob, signum: int, frame: FrameType | None) -> None:
    # Whoever asks once more need not wait for what is put in order below.
    signal.signal(signum, signal.SIG_DFL)
    # Ray kills a job three seconds after asking it to end: the record comes first.
    with suppress(UnknownTraining):
        job.stopped()
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # Before the run was entered: there is nothing to put in order.
        sys.exit(128 + signal.SIGINT)
