"""When a model should be trained again: each reason, and each reason against."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from deployments.forecasting.judging.resolving import Outcomes
from deployments.forecasting.judging.retraining import MIN_OUTCOMES, RetrainingPolicy, request_like, retraining_reason
from deployments.forecasting.models import ModelCard, TrainingRequest, TrainingRun, TrainingState
from deployments.forecasting.quantiles import QUANTILES
from deployments.market_data.models import Interval
from tests.fakes.forecasting import model_card

NOW = datetime(2024, 4, 1, tzinfo=UTC)
CARD = model_card(NOW - timedelta(days=2), horizon=3)
OLD = replace(CARD, trained_at=NOW - timedelta(days=9))
FRESH_DATA = NOW - timedelta(hours=1)


def outcomes(count: int, pinball: float, baseline: float = 1.0) -> Outcomes:
    noise = 0.05 * np.random.default_rng(1).normal(size=count)
    return Outcomes(
        np.zeros((count, 3)),
        np.zeros((count, 3, len(QUANTILES))),
        np.datetime64("2024-01-01T00", "us") + np.arange(count) * np.timedelta64(1, "h"),
        pinball + noise,
        np.full(count, baseline),
        np.full(count, "BTCUSD"),
    )


def reason(
    card: ModelCard,
    found: Outcomes,
    runs: tuple[TrainingRun, ...] = (),
    data_end: datetime | None = FRESH_DATA,
    policy: RetrainingPolicy | None = None,
) -> str:
    return retraining_reason(card, found, runs, data_end, policy or RetrainingPolicy(), NOW)


def test_old_model_is_trained_again() -> None:
    assert reason(OLD, outcomes(0, 0)) == "the champion is 9 days old"


def test_lost_skill_is_told_with_its_figures() -> None:
    assert "live skill is gone: pinball loss 1.09" in reason(CARD, outcomes(400, 1.1))


def test_model_that_holds_its_own_is_left_alone() -> None:
    assert reason(CARD, outcomes(400, 1.0)) == ""
    assert reason(CARD, outcomes(400, 0.9)) == ""


def test_too_few_outcomes_prove_nothing() -> None:
    assert reason(CARD, outcomes(MIN_OUTCOMES - 1, 2.0)) == ""


def test_nothing_new_to_learn_is_no_reason() -> None:
    assert reason(OLD, outcomes(400, 2.0), data_end=OLD.data_end) == ""
    assert reason(OLD, outcomes(400, 2.0), data_end=None) == ""


def test_switched_off_is_switched_off() -> None:
    assert reason(OLD, outcomes(400, 2.0), policy=RetrainingPolicy(after=None)) == ""


def test_series_rests_after_a_run_whatever_came_of_it() -> None:
    request = TrainingRequest(interval=Interval.H1, horizon=3)
    run = TrainingRun("r", TrainingState.FAILED, "failed", request, NOW - timedelta(hours=20), NOW)
    assert reason(OLD, outcomes(0, 0), (run,)) == ""
    assert reason(OLD, outcomes(0, 0), (replace(run, created_at=NOW - timedelta(hours=25)),))
    assert reason(OLD, outcomes(0, 0), (replace(run, request=replace(request, horizon=24)),))


def test_successor_is_asked_for_as_its_forerunner_was() -> None:
    config = {"training": {"max_steps": 90}, "network": {"quantiles": [0.1, 0.5, 0.9]}}
    request = request_like(replace(CARD, config=config, seed=5))
    assert (request.horizon, request.input_size, request.max_steps, request.seed) == (3, CARD.input_size, 90, 5)
    assert request.quantiles == (0.1, 0.5, 0.9)
    assert request_like(CARD).quantiles == ()
