"""The training job: its command line, and a whole run on a small cluster of its own."""

import math
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psutil
import pytest

from deployments.common.errors import CandlecastError, Conflict, UnknownTraining
from deployments.forecasting.models import TrainingRequest, TrainingState
from deployments.forecasting.registry.promotion import promote
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.training.command import training_command
from deployments.forecasting.training.ledger import TrainingLedger
from deployments.forecasting.training.resumption import resumable
from deployments.market_data.models import CandleQuery, Candles, Interval, SymbolFilter, SymbolPage
from jobs.ray_training import scaling
from jobs.train_nhits import check_workers, entered, main, parser, request_of, submission_id, task_of
from tests.fakes.market_data import FakeMarketData
from tests.fakes.panels import START, wavy_tables

ROOT = pathlib.Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.ray


def test_the_forecasters_command_line_says_what_was_asked_for() -> None:
    request = TrainingRequest(("BTCUSDT", "ETHUSDT"), Interval.H4, 12, 96, 50, 30, 9, (0.1, 0.5, 0.95))

    words = shlex.split(training_command("run-1", request, 0.25))
    options = parser().parse_args(words[3:])

    assert request_of(options) == request
    assert (options.run_id, options.gpu_share, options.num_workers, options.promote) == ("run-1", 0.25, 1, True)


def test_without_options_every_symbol_is_trained_on() -> None:
    assert request_of(parser().parse_args([])) == TrainingRequest()
    assert parser().parse_args(["--no-promote"]).promote is False


def test_a_request_that_cannot_be_is_refused_naming_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--horizon", "0"])

    assert "horizon must lie between 1 and 168" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--interval", "2h", "must be one of 1m, 5m"),
        ("--quantiles", "0.1,half", "must be numbers with commas"),
        ("--num-workers", "0", "a whole number from 1 to"),
        ("--num-workers", "-1", "a whole number from 1 to"),
        ("--num-workers", "two", "a whole number from 1 to"),
        ("--gpu-share", "-1", "a number from 0 to 1"),
        ("--gpu-share", "7", "a number from 0 to 1"),
        ("--gpu-share", "nan", "a number from 0 to 1"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_what_it_may_be(
    capsys: pytest.CaptureFixture[str], option: str, value: str, words: str
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([f"{option}={value}"])

    said = capsys.readouterr().err
    assert option in said
    assert words in said


def test_a_submitted_job_is_called_by_its_submission_id() -> None:
    variable = '{"metadata": {"job_submission_id": "raysubmit_1", "job_name": "raysubmit_1"}}'

    assert submission_id({"RAY_JOB_CONFIG_JSON_ENV_VAR": variable}) == "raysubmit_1"
    assert submission_id({"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}) == ""
    assert submission_id({}) == ""


def test_a_resumed_run_names_the_job_that_goes_on_with_it(tmp_path: pathlib.Path) -> None:
    ledger = TrainingLedger(tmp_path)
    ledger.start("run-1", TrainingRequest(), 10)
    ledger.update("run-1", state=TrainingState.FAILED, error="killed")

    task = entered(task_of(parser().parse_args(["--resume", "run-1"]), ledger), ledger)

    run = ledger.run("run-1")
    assert task.run_id == "run-1"
    assert (run.state, run.error) == (TrainingState.PENDING, "")
    assert run.job != "run-1"


def test_resumption_that_is_refused_leaves_the_run_as_it_ended(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = TrainingLedger(tmp_path)
    ledger.start("run-1", TrainingRequest(), 10)
    failed = ledger.update("run-1", state=TrainingState.FAILED, error="killed")

    options = parser().parse_args(["--resume", "run-1", "--num-workers", "4"])
    task_of(options, ledger)
    with pytest.raises(SystemExit) as refused:
        check_workers(options.num_workers, 2.0)

    assert refused.value.code == 2
    assert "2 CPUs" in capsys.readouterr().err
    assert ledger.run("run-1") == failed


def test_run_that_another_job_went_on_with_meanwhile_is_not_resumed_twice(tmp_path: pathlib.Path) -> None:
    ledger = TrainingLedger(tmp_path)
    ledger.start("run-1", TrainingRequest(), 10)
    ledger.update("run-1", state=TrainingState.FAILED, error="killed")

    tasks = [task_of(parser().parse_args(["--resume", "run-1"]), ledger) for _ in range(2)]
    entered(tasks[0], ledger)

    with pytest.raises(Conflict, match="under way"):
        entered(tasks[1], ledger)


def test_a_share_of_a_gpu_is_asked_for_only_where_there_is_one() -> None:
    assert scaling(2, 0.3, 1.0, math.inf).resources_per_worker == {"CPU": 1.0, "GPU": 0.3}
    for without in (scaling(2, 0.3, 0.0, math.inf), scaling(2, 0.0, 1.0, math.inf)):
        assert without.resources_per_worker == {"CPU": 1.0}
        assert not without.use_gpu


@pytest.mark.parametrize(
    ("workers", "cpus", "each"), [(1, 2, 1.0), (2, 2, 0.5), (1, 1, 0.5), (4, 16, 1.0), (8, 8, 0.5)]
)
def test_on_a_machine_that_does_not_grow_workers_leave_room_for_the_graph(workers: int, cpus: int, each: float) -> None:
    assert scaling(workers, 0.0, 0.0, cpus).resources_per_worker == {"CPU": each}


class MarketData:
    """The few methods of the deployment that a training job calls."""

    def __init__(self) -> None:
        self._market = FakeMarketData(wavy_tables(1_500), START + timedelta(days=365))

    async def candles(self, query: CandleQuery) -> Candles:
        return await self._market.candles(query)

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        return await self._market.candles_batch(symbols, query)

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage:
        return await self._market.managed_symbols(wanted)


class Forecaster:
    """Promotes as the deployment does."""

    def __init__(self, models: str) -> None:
        self._registry = Registry(pathlib.Path(models))

    async def promote(self, version: str, force: bool) -> Any:
        return promote(self._registry, version, force, datetime.now(START.tzinfo))


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> Iterator[dict[str, str]]:
    """A cluster with the two deployments; what a job's environment needs to find it."""
    import ray
    from ray import serve

    environment = {"PYTHONPATH": str(ROOT), "CANDLECAST_HOME": str(tmp_path)}
    context = ray.init(
        address="local", num_cpus=4, include_dashboard=False, runtime_env={"env_vars": environment}, log_to_driver=False
    )
    try:
        serve.start(http_options={"location": "NoServer"})
        market = serve.deployment(MarketData).options(ray_actor_options={"num_cpus": 0.1})
        forecaster = serve.deployment(Forecaster).options(ray_actor_options={"num_cpus": 0.1})
        serve.run(_ingress().bind(market.bind(), forecaster.bind(str(tmp_path / "models"))), name="candlecast")
        yield {**os.environ, **environment, "RAY_ADDRESS": context.address_info["gcs_address"]}
    finally:
        serve.shutdown()
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(800)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_on_a_cluster_promotes_a_model_and_ends_its_record(
    cluster: dict[str, str], tmp_path: pathlib.Path, workers: int
) -> None:
    command = ["--run-id", "run-1", "--horizon", "6", "--input-size", "48", "--max-steps", "30"]

    ended = subprocess.run(
        [sys.executable, "-m", "jobs.train_nhits", *command, "--num-workers", str(workers)],
        env=cluster,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert ended.returncode == 0, ended.stderr[-3000:]
    run = TrainingLedger(tmp_path / "models").run("run-1")
    assert (run.state, run.step, run.error) == (TrainingState.SUCCEEDED, 30, "")
    assert run.version == Registry(tmp_path / "models").champion(Interval.H1, 6)
    assert "step 30/30 train" in ended.stdout
    assert not (tmp_path / "train" / "run-1").exists()


@pytest.mark.slow
@pytest.mark.timeout(800)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("phases", [{"waiting", "reading candles", "preparing", "training"}, {"training"}])
def test_a_run_asked_to_end_says_that_it_was_stopped_and_leaves_no_worker(
    cluster: dict[str, str], tmp_path: pathlib.Path, asked: signal.Signals, phases: set[str]
) -> None:
    ledger = TrainingLedger(tmp_path / "models")
    with _started(cluster, tmp_path, "--input-size", "48") as job:
        _wait_for(lambda: _phase(ledger) in phases)
        _ask(job, asked)
        status = job.wait(timeout=120)

    run = ledger.run("run-1")
    assert status == 128 + asked
    assert (run.state, run.error) == (TrainingState.STOPPED, "")
    assert resumable(run, datetime.now(START.tzinfo)) == run
    _wait_for(lambda: not _train_workers())


@pytest.mark.slow
@pytest.mark.timeout(800)
@pytest.mark.filterwarnings("ignore")
def test_a_run_whose_worker_is_killed_goes_on_from_its_checkpoint_and_ends(
    cluster: dict[str, str], tmp_path: pathlib.Path
) -> None:
    ledger = TrainingLedger(tmp_path / "models")
    with _started(cluster, tmp_path, "--max-steps", "600", "--horizon", "6", "--input-size", "48") as job:
        # Late enough for the first checkpoint, after a hundred steps, to be known to the controller.
        _wait_for(lambda: _step(ledger) >= 150)
        [worker] = _train_workers()
        worker.kill()
        assert job.wait(timeout=240) == 0

    run = ledger.run("run-1")
    assert (run.state, run.error) == (TrainingState.SUCCEEDED, "")
    assert "resuming after step" in (tmp_path / "job.log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(800)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_is_taken_up_again_where_it_was(
    cluster: dict[str, str], tmp_path: pathlib.Path, asked: signal.Signals
) -> None:
    ledger = TrainingLedger(tmp_path / "models")
    with _started(cluster, tmp_path, "--max-steps", "600", "--horizon", "6", "--input-size", "48") as job:
        _wait_for(lambda: _step(ledger) >= 150)
        _ask(job, asked)
        _wait_for(lambda: ledger.run("run-1").state is TrainingState.STOPPED)
        job.wait(timeout=120)
    stopped_at = _step(ledger)

    ended = subprocess.run(
        [sys.executable, "-m", "jobs.train_nhits", "--resume", "run-1"],
        env=cluster,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert ended.returncode == 0, ended.stderr[-3000:]
    resumed_at = int(ended.stdout.split("resuming after step ")[1].split()[0])
    assert 100 <= resumed_at <= stopped_at + 25
    run = ledger.run("run-1")
    assert (run.state, run.request.max_steps) == (TrainingState.SUCCEEDED, 600)
    assert not (tmp_path / "train" / "run-1").exists()


@pytest.mark.slow
@pytest.mark.timeout(800)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("is_entered", [False, True])
def test_a_run_on_symbols_that_nobody_knows_is_refused_naming_them_before_workers_start(
    cluster: dict[str, str], tmp_path: pathlib.Path, is_entered: bool
) -> None:
    ledger = TrainingLedger(tmp_path / "models")
    if is_entered:
        ledger.start("run-1", TrainingRequest(("NOPEUSD", "ZZZUSD")), 10)
    with _started(cluster, tmp_path, "--symbols", "NOPEUSD,ZZZUSD") as job:
        assert job.wait(timeout=240) == 2

    assert "NOPEUSD, ZZZUSD" in (tmp_path / "job.log").read_text()
    assert [(run.state, "NOPEUSD" in run.error) for run in ledger.runs()] == [(TrainingState.FAILED, True)] * is_entered
    assert not (tmp_path / "train").exists()


@pytest.mark.slow
@pytest.mark.timeout(800)
@pytest.mark.filterwarnings("ignore")
def test_a_dry_run_says_what_it_would_do_and_does_nothing(cluster: dict[str, str], tmp_path: pathlib.Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "jobs.train_nhits", "--dry-run", "--horizon", "6", "--input-size", "48"],
        env=cluster,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert ended.returncode == 0, ended.stderr[-3000:]
    for words in ("2 symbols, 3,000 bars", "validation", "reads 48 bars, forecasts 6", "s of training at most"):
        assert words in ended.stdout
    assert not (tmp_path / "models").exists()


@contextmanager
def _started(environment: dict[str, str], folder: pathlib.Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a training run called `run-1` whose output goes to `job.log`; it does not outlive the test."""
    command = [sys.executable, "-m", "jobs.train_nhits", "--run-id", "run-1", *options]
    with (folder / "job.log").open("wb") as log:
        # A group of its own, as a shell makes one: Ctrl-C reaches all of it, and not this process.
        job = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            yield job
        finally:
            job.kill()
            job.wait(timeout=30)


def _ask(job: subprocess.Popen[bytes], asked: signal.Signals) -> None:
    """Ask a run to end as the cluster does, or as a person at a terminal, whose Ctrl-C goes to the whole group."""
    if asked is signal.SIGINT:
        os.killpg(job.pid, asked)
    else:
        job.send_signal(asked)


def _phase(ledger: TrainingLedger) -> str:
    try:
        return ledger.run("run-1").phase
    except UnknownTraining:
        return ""


def _step(ledger: TrainingLedger) -> int:
    try:
        return ledger.run("run-1").step
    except UnknownTraining:
        return 0


def _train_workers() -> list[psutil.Process]:
    """Return the Ray Train workers of this test's own cluster."""
    own = psutil.Process().children(recursive=True)
    alive = [process for process in own if process.status() != psutil.STATUS_ZOMBIE]
    return [process for process in alive if "RayTrainWorker" in " ".join(process.cmdline())]


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, "the awaited state never came"
        time.sleep(0.05)


def _ingress() -> Any:
    from ray import serve

    @serve.deployment(ray_actor_options={"num_cpus": 0.1})
    class Ingress:
        def __init__(self, market: Any, forecaster: Any) -> None:
            self._parts = (market, forecaster)

    return Ingress
