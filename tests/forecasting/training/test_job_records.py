"""Records of ended jobs: the newest stay, and so does everything that still runs or is somebody else's."""

from hypothesis import given
from hypothesis import strategies as st

from deployments.forecasting.models import TrainingRequest
from deployments.forecasting.training.job_records import KEPT_JOBS, JobRecord, surplus
from deployments.forecasting.training.trainings import next_run_id

numbered = st.builds(lambda number: f"train-0123456789-{number}", st.integers(1, 200))
foreign = st.sampled_from(["raysubmit_1", "train-mine", "train-0123456789-1x", "import-1"])
records = st.builds(JobRecord, numbered | foreign, st.none() | st.integers(0, 10**13))


def test_the_oldest_ended_runs_beyond_the_kept_ones_are_surplus() -> None:
    ended = [JobRecord(f"train-0123456789-{number}", 1_000 * number) for number in range(KEPT_JOBS + 3)]

    assert surplus(ended[::-1]) == tuple(record.job_id for record in ended[:3])
    assert surplus(ended[:KEPT_JOBS]) == ()


def test_a_run_of_any_request_is_known_as_ours() -> None:
    assert surplus([JobRecord(next_run_id(TrainingRequest(), ()), 1)], keep=0) == (next_run_id(TrainingRequest(), ()),)


@given(st.lists(records, max_size=60, unique_by=lambda record: record.job_id), st.integers(0, 20))
def test_what_runs_and_what_others_submitted_is_never_surplus(known: list[JobRecord], keep: int) -> None:
    gone = set(surplus(known, keep))
    ours = [record for record in known if record.ended_ms is not None and record.job_id.startswith("train-0123456789-")]
    ours = [record for record in ours if not record.job_id.endswith("x")]

    assert len(gone) == max(0, len(ours) - keep)
    assert gone <= {record.job_id for record in ours}
    kept = [record.ended_ms or 0 for record in ours if record.job_id not in gone]
    assert all((record.ended_ms or 0) <= min(kept, default=10**13) for record in ours if record.job_id in gone)
