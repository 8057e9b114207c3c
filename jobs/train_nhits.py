"""Train NHITS on the cluster: `python -m jobs.train_nhits --symbols BTCUSDT,ETHUSDT --max-steps 200`.

Runs as a Ray job (`ray job submit -- python -m jobs.train_nhits`) beside the graph it reads candles from. Everything
but arguments, Ray and signals is in `deployments.forecasting.training_run`.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from functools import partial
from types import FrameType

import pyarrow as pa
from ray import serve

from deployments.common.clock import utc_now
from deployments.common.errors import CandlecastError, InvalidRequest
from deployments.common.settings import StackSettings
from deployments.forecasting.client import ForecasterClient
from deployments.forecasting.models import Decision, TrainingRequest
from deployments.forecasting.training_data import training_tables
from deployments.forecasting.training_run import TrainingJob
from deployments.forecasting.trainings import check_training, run_id_for
from deployments.market_data.client import MarketDataClient
from deployments.market_data.models import Interval
from jobs.cluster import connect
from jobs.ray_training import Workers

APP = "candlecast"
READ_TIMEOUT_S = 120.0
PROMOTE_TIMEOUT_S = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line asks and return the exit status."""
    options = parser().parse_args(arguments)
    request = request_of(options)
    try:
        check_training(request)
    except InvalidRequest as error:
        parser().error("; ".join(f"{field} {problem}" for field, problem in error.fields))
    home = StackSettings.read().candlecast_home.resolve()
    run_id = options.run_id or submission_id(os.environ) or run_id_for(request, utc_now())
    job = TrainingJob(run_id, request, home / "models", say)
    connect(log_to_driver=True)
    signal.signal(signal.SIGTERM, partial(_stop, job))
    workers = Workers(run_id, home, options.num_workers, options.gpu_share)
    try:
        job.run(partial(read, request), workers.train, promote if options.promote else None)
    except CandlecastError as error:
        # The record and the log have said it already.
        return 1 if error.status < 500 else 2
    finally:
        shutil.rmtree(home / "train" / run_id, ignore_errors=True)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    wanted = TrainingRequest()
    options = argparse.ArgumentParser(prog="python -m jobs.train_nhits", description="Train NHITS on the cluster.")
    options.add_argument("--run-id", default="", help="name of the run, by default that of the Ray job")
    options.add_argument("--symbols", default="", help="comma separated; by default every enabled symbol")
    options.add_argument("--interval", type=Interval, choices=list(Interval), default=wanted.interval)
    options.add_argument("--horizon", type=int, default=wanted.horizon, help="bars to forecast")
    options.add_argument("--input-size", type=int, default=wanted.input_size, help="bars of the price path to read")
    options.add_argument("--max-steps", type=int, default=wanted.max_steps)
    options.add_argument("--lookback-days", type=int, default=None, help="by default all history")
    options.add_argument("--seed", type=int, default=wanted.seed)
    options.add_argument("--num-workers", type=int, default=1)
    options.add_argument("--gpu-share", type=float, default=0.3, help="of one GPU per worker, where there are GPUs")
    options.add_argument("--promote", action=argparse.BooleanOptionalAction, default=True)
    return options


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
    )


def submission_id(environment: "os._Environ[str] | dict[str, str]") -> str:
    """Return the id that `ray job submit` gave this process, so that its log and its stop are found; else nothing."""
    try:
        config = json.loads(environment.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
        return str(config["metadata"]["job_submission_id"])
    except (ValueError, KeyError, TypeError):
        return ""


def read(request: TrainingRequest) -> dict[str, pa.Table]:
    """Read candles from the `MarketData` deployment."""
    market = MarketDataClient(serve.get_deployment_handle("MarketData", APP), READ_TIMEOUT_S)
    return asyncio.run(training_tables(market, request))


def promote(version: str) -> Decision:
    """Ask the `Forecaster` deployment to promote a version."""
    forecaster = ForecasterClient(serve.get_deployment_handle("Forecaster", APP), PROMOTE_TIMEOUT_S)
    return asyncio.run(forecaster.promote(version, False))


def say(line: str) -> None:
    """Write one line to the job's log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stop(job: TrainingJob, signum: int, frame: FrameType | None) -> None:
    # Ray kills a job three seconds after asking it to end: the record comes first.
    job.stopped()
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
