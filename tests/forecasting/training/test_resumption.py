"""Which runs can go on, and with which candles."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deployments.common.errors import Conflict
from deployments.forecasting.models import TrainingRequest, TrainingRun, TrainingState
from deployments.forecasting.training.data import TrainingData
from deployments.forecasting.training.resumption import ALIVE_FOR, known_at, reaching, resumable
from tests.fakes.market_data import walk_table

NOW = datetime(2024, 4, 1, tzinfo=UTC)
RUN = TrainingRun("r", TrainingState.STOPPED, "stopped", TrainingRequest(), NOW, NOW)


@pytest.mark.parametrize("state", [TrainingState.STOPPED, TrainingState.FAILED])
def test_run_that_did_not_get_to_its_end_can_go_on(state: TrainingState) -> None:
    run = replace(RUN, state=state)
    assert resumable(run, NOW) is run


def test_run_whose_job_was_killed_can_go_on_after_a_while() -> None:
    run = replace(RUN, state=TrainingState.RUNNING)
    with pytest.raises(Conflict, match="still under way"):
        resumable(run, NOW)
    assert resumable(run, NOW + ALIVE_FOR) is run


def test_run_that_got_to_its_end_cannot_go_on() -> None:
    with pytest.raises(Conflict, match="got to its end"):
        resumable(replace(RUN, state=TrainingState.SUCCEEDED), NOW)


def test_resumed_run_sees_the_bars_that_had_closed_when_it_began() -> None:
    data = TrainingData({"BTCUSD": walk_table(NOW, 10)}, {"BTCUSD": "24/7"}, {"BTCUSD": (NOW,)})
    seen = known_at(data, TrainingRequest(), NOW + timedelta(hours=4))
    assert seen.tables["BTCUSD"].num_rows == 4
    assert (seen.calendars, seen.incomplete) == (data.calendars, data.incomplete)


def test_resumed_run_looks_as_far_back_as_when_it_began() -> None:
    request, began = TrainingRequest(lookback_days=2), NOW + timedelta(days=4)
    wider = reaching(request, began, began + timedelta(days=3, hours=5))
    assert wider.lookback_days == 6
    data = TrainingData({"BTCUSD": walk_table(NOW, 24 * 10), "NEWUSD": walk_table(NOW, 0)})
    seen = known_at(data, request, began)
    assert seen.tables["BTCUSD"]["time"][0].as_py() == NOW + timedelta(days=2)
    assert seen.tables["BTCUSD"].num_rows == 48
    assert reaching(TrainingRequest(), began, NOW).lookback_days is None
