"""Scores worked out by hand, and every verdict of the judge."""

import math
from dataclasses import replace

import numpy as np
import pytest

from deployments.forecasting.evaluation import (
    Scores,
    coverage,
    judge,
    metrics_of,
    pinball_losses,
    score,
    skill_on_test,
)

GOOD = Scores(
    n=1_000,
    pinball=0.010,
    coverage80=0.80,
    coverage90=0.90,
    mase=1.0,
    directional_accuracy=0.52,
    directional_calls=1_000,
    pinball_by_step=(0.01,),
)


def test_pinball_loss_weighs_misses_by_their_probability() -> None:
    losses = pinball_losses(np.array([3.0]), np.full((1, 9), 1.0))
    # Two above every quantile: twice the probability.
    assert losses[0] == pytest.approx([0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 1.8, 1.9, 1.95])
    losses = pinball_losses(np.array([0.0]), np.full((1, 9), 1.0))
    assert losses[0] == pytest.approx([0.975, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.025])


def test_coverage_counts_values_on_the_bounds() -> None:
    quantiles = np.tile(np.arange(9.0), (4, 1))
    assert coverage(np.array([2.0, 6.0, 1.9, 6.1]), quantiles, 80) == 0.5


def test_scores_of_two_forecasts_are_as_worked_out_by_hand() -> None:
    actual = np.array([[1.0, 2.0], [5.0, 5.0]])
    quantiles = np.stack([np.full((2, 9), 2.0), np.full((2, 9), 4.0)])
    scores = score(actual, quantiles, last=np.array([1.5, 4.5]), scale=np.array([0.5, 2.0]))
    assert scores.n == 2
    # Every loss averages to half the error over the symmetric grid: errors 1, 0, 1, 1.
    assert scores.pinball == pytest.approx(0.5 * 3 / 4)
    assert scores.pinball_by_step == pytest.approx((0.5, 0.25))
    assert scores.mase == pytest.approx((0.5 / 0.5 + 1.0 / 2.0) / 2)
    assert scores.directional_accuracy == 0.0
    assert scores.directional_calls == 2


def test_direction_is_unknown_when_no_forecast_moves() -> None:
    scores = score(np.array([[1.1]]), np.full((1, 1, 9), 1.0), last=np.array([1.0]), scale=np.array([0.1]))
    assert scores.directional_accuracy is None
    assert scores.directional_calls == 0


def test_flat_past_leaves_the_scaled_error_undefined() -> None:
    scores = score(np.array([[1.1]]), np.full((1, 1, 9), 1.0), last=np.array([1.0]), scale=np.array([0.0]))
    assert math.isnan(scores.mase)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected quantiles"):
        score(np.ones((2, 3)), np.ones((2, 4, 9)), np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="at least one forecast"):
        score(np.ones((0, 3)), np.ones((0, 3, 9)), np.ones(0), np.ones(0))


def test_candidate_as_good_as_both_is_promoted() -> None:
    verdict = judge(GOOD, baseline=replace(GOOD, pinball=0.0101), champion=GOOD)
    assert verdict.verdict == "promote"
    assert "0.990 times" in verdict.reason
    assert verdict.evidence["baseline_pinball"] == 0.0101


def test_first_candidate_is_promoted_without_a_champion() -> None:
    verdict = judge(GOOD, baseline=GOOD, champion=None)
    assert verdict.verdict == "promote"
    assert "champion_pinball" not in verdict.evidence


def test_candidate_worse_than_the_baseline_is_rejected() -> None:
    verdict = judge(replace(GOOD, pinball=0.0102), baseline=GOOD, champion=None)
    assert verdict.verdict == "reject"
    assert "1.020 times that of the EWMA baseline" in verdict.reason


def test_candidate_worse_than_the_champion_leaves_it_in_place() -> None:
    verdict = judge(replace(GOOD, pinball=0.0098), baseline=GOOD, champion=replace(GOOD, pinball=0.0095))
    assert verdict.verdict == "keep"
    assert "the champion" in verdict.reason


def test_too_many_right_directions_raise_the_leakage_alarm() -> None:
    suspect = replace(GOOD, pinball=0.005, directional_accuracy=0.61)
    verdict = judge(suspect, baseline=GOOD, champion=None)
    assert verdict.verdict == "reject"
    assert "leakage" in verdict.reason


def test_right_directions_over_few_calls_may_be_luck() -> None:
    lucky = replace(GOOD, directional_accuracy=0.61, directional_calls=499)
    assert judge(lucky, baseline=GOOD, champion=None).verdict == "promote"


@pytest.mark.parametrize(
    "broken", [replace(GOOD, pinball=math.nan), replace(GOOD, mase=math.inf), replace(GOOD, coverage80=math.nan)]
)
def test_score_that_is_no_number_is_rejected(broken: Scores) -> None:
    verdict = judge(broken, baseline=GOOD, champion=None)
    assert verdict.verdict == "reject"
    assert all(math.isfinite(figure) for figure in verdict.evidence.values())


def test_skill_of_the_test_span_is_read_back_from_the_metrics() -> None:
    skill = skill_on_test(metrics_of(GOOD, replace(GOOD, pinball=0.0125)))
    assert skill is not None
    assert skill.pinball_vs_baseline == pytest.approx(0.8)
    assert (skill.n, skill.basis, skill.coverage) == (1_000, "test", {"80": 0.80, "90": 0.90})


def test_metrics_without_a_test_span_tell_no_skill() -> None:
    assert skill_on_test({}) is None
