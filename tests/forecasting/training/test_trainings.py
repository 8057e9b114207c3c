"""Training runs: one per request, and what became of the job is told even when it cannot say so itself."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.common.errors import InvalidRequest, Unavailable, UnknownTraining
from deployments.forecasting.models import TrainingRequest, TrainingRun, TrainingState
from deployments.forecasting.training.ledger import TrainingLedger
from deployments.forecasting.training.trainings import (
    LOST_AFTER,
    MOST_AT_ONCE,
    Trainings,
    check_training,
    next_run_id,
    reconcile,
)
from tests.fakes.forecasting import FakeJobs

NOW = datetime(2024, 4, 1, 12, tzinfo=UTC)
REQUEST = TrainingRequest(symbols=("BTCUSD",))
RUN = TrainingRun("r", TrainingState.RUNNING, "training", REQUEST, NOW, NOW)


def clock() -> datetime:
    return NOW


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs()


@pytest.fixture
def ledger(tmp_path: Path) -> TrainingLedger:
    return TrainingLedger(tmp_path, clock)


@pytest.fixture
def trainings(ledger: TrainingLedger, jobs: FakeJobs) -> Trainings:
    return Trainings(ledger, jobs, clock, pause_s=0)


async def test_started_training_is_pending_and_submitted(trainings: Trainings, jobs: FakeJobs) -> None:
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    assert run.state is TrainingState.PENDING
    assert jobs.requests == {run.id: REQUEST}
    assert await trainings.run(run.id) == run


async def test_resumed_run_is_told_by_the_job_that_goes_on_with_it(
    trainings: Trainings, jobs: FakeJobs, ledger: TrainingLedger
) -> None:
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    jobs.known[run.id] = "FAILED"
    assert (await trainings.run(run.id)).state is TrainingState.FAILED
    jobs.known["again"], jobs.logs["again"] = "RUNNING", "on it goes"
    ledger.update(run.id, state=TrainingState.RUNNING, error="", job_id="again")
    assert (await trainings.run(run.id)).state is TrainingState.RUNNING
    assert (await trainings.start(REQUEST)).id == run.id
    assert (await trainings.log(run.id, 0))[0] == "on it goes"
    assert (await trainings.stop(run.id)).state is TrainingState.STOPPED


async def test_same_request_while_one_runs_answers_it(
    trainings: Trainings, jobs: FakeJobs, ledger: TrainingLedger
) -> None:
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    jobs.known[run.id] = "RUNNING"
    running = ledger.update(run.id, state=TrainingState.RUNNING, step=30)
    assert await trainings.start(REQUEST) == running
    other = await trainings.start(replace(REQUEST, seed=2))
    await trainings.submitted()
    assert set(jobs.requests) == {run.id, other.id}


async def test_same_request_after_the_end_starts_anew(jobs: FakeJobs, ledger: TrainingLedger) -> None:
    first = await Trainings(ledger, jobs, clock).start(REQUEST)
    ledger.update(first.id, state=TrainingState.SUCCEEDED)
    second = await Trainings(ledger, jobs, lambda: NOW + timedelta(hours=1)).start(REQUEST)
    assert second.id != first.id


async def test_same_request_at_the_same_instant_on_many_replicas_is_one_job(
    ledger: TrainingLedger, jobs: FakeJobs
) -> None:
    replicas = [Trainings(ledger, jobs, clock, pause_s=0) for _ in range(4)]
    runs = await asyncio.gather(*(replica.start(REQUEST) for replica in replicas for _ in range(3)))
    await asyncio.gather(*(replica.submitted() for replica in replicas))
    assert len({run.id for run in runs}) == 1
    assert jobs.known == {runs[0].id: "PENDING"}
    assert [run.state for run in ledger.runs()] == [TrainingState.PENDING]


async def test_same_symbols_in_another_order_are_the_same_request(trainings: Trainings) -> None:
    run = await trainings.start(replace(REQUEST, symbols=("ETHUSD", "BTCUSD"), quantiles=(0.9, 0.1)))
    assert run.request.symbols == ("BTCUSD", "ETHUSD")
    same = replace(REQUEST, symbols=("BTCUSD", "ETHUSD", "BTCUSD"), quantiles=(0.1, 0.9))
    assert await trainings.start(same) == run


async def test_more_runs_than_the_machine_can_hold_have_to_wait(
    trainings: Trainings, ledger: TrainingLedger, jobs: FakeJobs
) -> None:
    requests = [replace(REQUEST, seed=seed) for seed in range(MOST_AT_ONCE + 1)]
    runs = [await trainings.start(request) for request in requests[:-1]]
    await trainings.submitted()
    with pytest.raises(Unavailable, match="8 training runs are under way"):
        await trainings.start(requests[-1])
    assert await trainings.start(requests[0]) == runs[0]
    assert len(jobs.requests) == MOST_AT_ONCE
    ledger.update(runs[3].id, state=TrainingState.SUCCEEDED)
    assert (await trainings.start(requests[-1])).state is TrainingState.PENDING


async def test_cluster_that_never_answers_leaves_runs_to_their_records(ledger: TrainingLedger) -> None:
    class HungJobs(FakeJobs):
        async def states(self) -> dict[str, str]:
            await asyncio.Event().wait()
            return {}

    ledger.start("r", REQUEST, 10)
    trainings = Trainings(ledger, HungJobs(), clock, states_within_s=0.01)
    [run] = await asyncio.wait_for(trainings.runs(), 10)
    assert run.state is TrainingState.PENDING


def test_same_request_at_the_same_instant_in_many_processes_is_one_record(tmp_path: Path) -> None:
    def enter(number: int) -> TrainingRun:
        return TrainingLedger(tmp_path, lambda: NOW + timedelta(seconds=number)).start("train-1", REQUEST, 5)

    with ThreadPoolExecutor(8) as pool:
        entered = set(pool.map(lambda number: enter(number).created_at, range(32)))
    assert len(entered) == 1


async def test_run_whose_submitter_died_is_submitted_by_the_next_who_asks(
    ledger: TrainingLedger, jobs: FakeJobs
) -> None:
    orphan = ledger.start(next_run_id(REQUEST, ()), REQUEST, 5)
    trainings = Trainings(ledger, jobs, clock, pause_s=0)
    assert await trainings.start(REQUEST) == orphan
    await trainings.submitted()
    assert jobs.known == {orphan.id: "PENDING"}


def test_each_run_of_a_request_has_its_own_number() -> None:
    first = next_run_id(REQUEST, ())
    assert first.endswith("-1")
    assert next_run_id(REQUEST, (first, "train-other-9")) == first[:-1] + "2"
    assert next_run_id(replace(REQUEST, seed=2), (first,)).endswith("-1")


async def test_job_that_cannot_be_submitted_fails_with_the_reason(trainings: Trainings, jobs: FakeJobs) -> None:
    jobs.away = True
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    jobs.away = False
    failed = await trainings.run(run.id)
    assert failed.state is TrainingState.FAILED
    assert "could not be submitted: ConnectionError" in failed.error


async def test_run_that_another_replica_submitted_is_left_alone_by_one_that_cannot(ledger: TrainingLedger) -> None:
    class Away(FakeJobs):
        async def submit(self, run_id: str, request: TrainingRequest) -> None:
            ledger.update(run_id, state=TrainingState.RUNNING)
            raise ConnectionError("no agent")

        async def states(self) -> dict[str, str]:
            raise ConnectionError("no agent")

    trainings = Trainings(ledger, Away(), clock, pause_s=0)
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    assert ledger.run(run.id).state is TrainingState.RUNNING


async def test_run_that_ends_while_it_is_given_up_keeps_its_own_end(tmp_path: Path) -> None:
    """The clock is read between the look at a record and the change of it, which is when the job ends here."""
    ledger = TrainingLedger(tmp_path, clock)
    ledger.start("r", REQUEST, 10)

    def late() -> datetime:
        ledger.update("r", state=TrainingState.SUCCEEDED, version="v")
        return NOW + LOST_AFTER + timedelta(seconds=1)

    [run] = await Trainings(ledger, FakeJobs(), late).runs()
    assert (run.state, run.version, run.error) == (TrainingState.SUCCEEDED, "v", "")


async def test_submission_is_repeated_until_the_cluster_takes_it(ledger: TrainingLedger) -> None:
    class Starting(FakeJobs):
        tries = 0

        async def submit(self, run_id: str, request: TrainingRequest) -> None:
            self.tries += 1
            if self.tries < 3:
                raise RuntimeError("no agent yet")
            await super().submit(run_id, request)

    jobs = Starting()
    trainings = Trainings(ledger, jobs, clock, pause_s=0)
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    assert set(jobs.requests) == {run.id}


async def test_run_stopped_before_its_job_was_taken_is_never_submitted(ledger: TrainingLedger) -> None:
    jobs = FakeJobs()
    trainings = Trainings(ledger, jobs, clock, pause_s=0)
    run = await trainings.start(REQUEST)
    jobs.known.clear()
    ledger.update(run.id, state=TrainingState.STOPPED)
    await trainings.submitted()
    assert jobs.requests == {}


async def test_run_stopped_while_it_is_being_submitted_does_not_run(ledger: TrainingLedger) -> None:
    class Slow(FakeJobs):
        async def submit(self, run_id: str, request: TrainingRequest) -> None:
            ledger.update(run_id, state=TrainingState.STOPPED)
            await super().submit(run_id, request)

    jobs = Slow()
    trainings = Trainings(ledger, jobs, clock, pause_s=0)
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    assert await jobs.states() == {run.id: "STOPPED"}


async def test_stopped_job_is_over_within_ten_seconds(ledger: TrainingLedger) -> None:
    now = [NOW]
    # Ray sends SIGTERM at once and SIGKILL three seconds later.
    jobs = FakeJobs(lambda: now[0], stop_takes=timedelta(seconds=3))
    trainings = Trainings(ledger, jobs, lambda: now[0], pause_s=0)
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    jobs.known[run.id] = "RUNNING"
    assert (await trainings.stop(run.id)).state is TrainingState.PENDING
    while (await trainings.run(run.id)).state is not TrainingState.STOPPED:
        now[0] += timedelta(seconds=1)
        assert now[0] - NOW < timedelta(seconds=10)


async def test_stopping_while_the_jobs_api_is_away_says_so(trainings: Trainings, jobs: FakeJobs) -> None:
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    jobs.away = True
    with pytest.raises(Unavailable):
        await trainings.stop(run.id)


async def test_records_are_told_while_the_jobs_api_is_away(trainings: Trainings, jobs: FakeJobs) -> None:
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    jobs.away = True
    assert await trainings.runs() == (run,)


async def test_stopped_training_says_so(trainings: Trainings, jobs: FakeJobs) -> None:
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    stopped = await trainings.stop(run.id)
    assert stopped.state is TrainingState.STOPPED
    jobs.known.clear()
    assert (await trainings.run(run.id)).state is TrainingState.STOPPED


async def test_finished_training_cannot_be_stopped(
    trainings: Trainings, jobs: FakeJobs, ledger: TrainingLedger
) -> None:
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    done = ledger.update(run.id, state=TrainingState.SUCCEEDED)
    jobs.known[run.id] = "SUCCEEDED"
    assert await trainings.stop(run.id) == done
    assert jobs.known[run.id] == "SUCCEEDED"


async def test_log_goes_on_where_the_reader_stopped(trainings: Trainings, jobs: FakeJobs) -> None:
    run = await trainings.start(REQUEST)
    await trainings.submitted()
    jobs.logs[run.id] = "step 25\n"
    text, offset = await trainings.log(run.id, 0)
    jobs.logs[run.id] += "step 50\n"
    assert (text, await trainings.log(run.id, offset)) == ("step 25\n", ("step 50\n", 16))


async def test_unknown_run_is_told(trainings: Trainings) -> None:
    with pytest.raises(UnknownTraining):
        await trainings.log("nothing", 0)


@pytest.mark.parametrize(
    ("job_state", "expected"),
    [
        ("PENDING", TrainingState.RUNNING),
        ("RUNNING", TrainingState.RUNNING),
        ("FAILED", TrainingState.FAILED),
        ("SUCCEEDED", TrainingState.FAILED),
        ("STOPPED", TrainingState.STOPPED),
        (None, TrainingState.RUNNING),
    ],
)
def test_run_that_never_said_how_it_ended_follows_its_job(job_state: str | None, expected: TrainingState) -> None:
    assert reconcile(RUN, job_state, NOW).state is expected


def test_run_that_said_how_it_ended_is_believed() -> None:
    done = replace(RUN, state=TrainingState.SUCCEEDED)
    assert reconcile(done, "FAILED", NOW) is done


def test_run_without_a_job_is_given_up_after_a_long_silence() -> None:
    assert reconcile(RUN, None, NOW + LOST_AFTER) is RUN
    lost = reconcile(RUN, None, NOW + LOST_AFTER + timedelta(seconds=1))
    assert lost.state is TrainingState.FAILED
    assert "no longer knows" in lost.error


def test_every_wrong_field_of_a_request_is_named() -> None:
    wrong = TrainingRequest(
        symbols=("A; rm -rf",), horizon=0, input_size=1, max_steps=0, lookback_days=0, seed=-1, quantiles=(0.0,)
    )
    with pytest.raises(InvalidRequest) as caught:
        check_training(wrong)
    assert {name for name, _ in caught.value.fields} == {
        "symbols",
        "horizon",
        "input_size",
        "max_steps",
        "lookback_days",
        "seed",
        "quantiles",
    }


@pytest.mark.parametrize(
    ("wrong", "field"),
    [(replace(REQUEST, lookback_days=10**10), "lookback_days"), (replace(REQUEST, seed=2**40), "seed")],
)
def test_numbers_that_no_job_could_use_are_refused_before_there_is_one(wrong: TrainingRequest, field: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be carried out") as caught:
        check_training(wrong)
    assert [name for name, _ in caught.value.fields] == [field]
