"""The training ledger: whole records, or none."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from deployments.common.errors import Conflict, UnknownTraining
from deployments.forecasting.models import Decision, TrainingRequest, TrainingRun, TrainingState
from deployments.forecasting.training.ledger import TrainingLedger
from deployments.forecasting.training.resumption import resumable

NOW = datetime(2024, 4, 1, tzinfo=UTC)
REQUEST = TrainingRequest(symbols=("BTCUSD", "ETHUSD"), max_steps=200)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def ledger(tmp_path: Path) -> TrainingLedger:
    return TrainingLedger(tmp_path, Clock())


def test_started_run_is_pending_and_read_back_as_it_is(ledger: TrainingLedger) -> None:
    run = ledger.start("run-1", REQUEST, 200)
    assert run.state is TrainingState.PENDING
    assert run.request == REQUEST
    assert ledger.run("run-1") == run


def test_run_started_twice_keeps_what_it_was(ledger: TrainingLedger) -> None:
    ledger.start("run-1", REQUEST, 200)
    updated = ledger.update("run-1", state=TrainingState.RUNNING, step=7)
    assert ledger.start("run-1", REQUEST, 200) == updated


def test_update_changes_fields_and_the_time(ledger: TrainingLedger) -> None:
    run = ledger.start("run-1", REQUEST, 200)
    decision = Decision("v", "promote", "good", NOW, None, {"n": 3.0})
    done = ledger.update("run-1", state=TrainingState.SUCCEEDED, version="v", decision=decision, train_loss=0.5)
    assert done.updated_at > run.updated_at
    assert ledger.run("run-1") == done
    assert done.decision == decision


def test_loss_that_is_no_number_is_kept_as_unknown(ledger: TrainingLedger) -> None:
    ledger.start("run-1", REQUEST, 200)
    ledger.update("run-1", train_loss=float("nan"))
    assert ledger.run("run-1").train_loss is None


def test_how_a_run_ended_is_told_from_outside_only_where_it_has_not_ended(ledger: TrainingLedger) -> None:
    ledger.start("run-1", REQUEST, 200)
    lost = ledger.settle("run-1", TrainingState.FAILED, "nobody knows its job")
    assert (lost.state, lost.phase, lost.error) == (TrainingState.FAILED, "failed", "nobody knows its job")
    done = ledger.update("run-1", state=TrainingState.SUCCEEDED, version="v", error="")
    assert ledger.settle("run-1", TrainingState.FAILED, "nobody knows its job") == done


def test_change_that_is_checked_and_refused_changes_nothing(ledger: TrainingLedger) -> None:
    run = ledger.start("run-1", REQUEST, 200)

    def refuse(found: TrainingRun) -> None:
        raise Conflict(f"{found.id} is under way")

    with pytest.raises(Conflict, match="run-1 is under way"):
        ledger.update("run-1", refuse, step=7)
    assert ledger.run("run-1") == run


@pytest.mark.parametrize("attempt", range(5))
def test_worker_that_reports_does_not_undo_the_end_that_its_job_entered(tmp_path: Path, attempt: int) -> None:
    TrainingLedger(tmp_path).start("run-1", REQUEST, 200)

    def report() -> None:
        for step in range(40):
            TrainingLedger(tmp_path).update("run-1", step=step)

    with ThreadPoolExecutor(1) as worker:
        reported = worker.submit(report)
        TrainingLedger(tmp_path).update("run-1", state=TrainingState.STOPPED)
    reported.result()
    assert TrainingLedger(tmp_path).run("run-1").state is TrainingState.STOPPED
    assert TrainingLedger(tmp_path).run("run-1").step == 39


def test_of_many_that_go_on_with_a_run_at_once_one_may(tmp_path: Path) -> None:
    TrainingLedger(tmp_path).start("run-1", REQUEST, 200)
    TrainingLedger(tmp_path).update("run-1", state=TrainingState.STOPPED)

    def resume(number: int) -> bool:
        with suppress(Conflict):
            check = partial(resumable, now=datetime.now(UTC))
            TrainingLedger(tmp_path).update("run-1", check, state=TrainingState.PENDING, job_id=f"job-{number}")
            return True
        return False

    with ThreadPoolExecutor(8) as jobs:
        assert sum(jobs.map(resume, range(8))) == 1


def test_last_word_of_a_job_that_is_ended_in_the_midst_of_a_change_is_kept(tmp_path: Path) -> None:
    def ended() -> datetime:
        job.settle("run-1", TrainingState.STOPPED, "")
        raise SystemExit(143)

    TrainingLedger(tmp_path).start("run-1", REQUEST, 200)
    times = iter((ended, lambda: NOW, lambda: NOW))
    job = TrainingLedger(tmp_path, lambda: next(times)())
    with pytest.raises(SystemExit):
        job.update("run-1", step=7)
    assert job.run("run-1").state is TrainingState.STOPPED
    job.update("run-1", step=8)


def test_unknown_field_is_refused(ledger: TrainingLedger) -> None:
    ledger.start("run-1", REQUEST, 200)
    with pytest.raises(TypeError):
        ledger.update("run-1", colour="blue")


@pytest.mark.parametrize("run_id", ["nothing", "../run-1", "", "a/b"])
def test_unknown_run_is_told(ledger: TrainingLedger, run_id: str) -> None:
    ledger.start("run-1", REQUEST, 200)
    with pytest.raises(UnknownTraining):
        ledger.run(run_id)


@pytest.mark.parametrize("run_id", ["..", ".", "a/b", ""])
def test_run_is_never_entered_outside_the_ledger(ledger: TrainingLedger, tmp_path: Path, run_id: str) -> None:
    with pytest.raises(UnknownTraining):
        ledger.start(run_id, TrainingRequest(), 10)
    assert not list(tmp_path.rglob("run.json"))


def test_runs_come_newest_first_without_the_torn_one(ledger: TrainingLedger, tmp_path: Path) -> None:
    for name in ("run-1", "run-2", "run-3"):
        ledger.start(name, REQUEST, 200)
    torn = tmp_path / "training" / "run-2" / "run.json"
    torn.write_bytes(torn.read_bytes()[:40])
    assert [run.id for run in ledger.runs()] == ["run-3", "run-1"]
    with pytest.raises(UnknownTraining, match="cannot be read"):
        ledger.run("run-2")


def test_empty_ledger_has_no_runs(tmp_path: Path) -> None:
    assert TrainingLedger(tmp_path / "absent").runs() == ()
