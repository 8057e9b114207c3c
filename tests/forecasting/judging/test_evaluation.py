"""Scores worked out by hand and beside those of `utilsforecast`."""

import json
import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from deployments.forecasting.judging.evaluation import (
    Scores,
    as_dict,
    coverage,
    metrics_of,
    pinball_losses,
    score,
    skill_on_test,
)
from deployments.forecasting.predicting.baselines import naive_deviation, naive_scale
from deployments.forecasting.quantiles import QUANTILES

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


def test_skill_of_the_test_span_is_read_back_from_the_metrics() -> None:
    skill = skill_on_test(metrics_of(GOOD, replace(GOOD, pinball=0.0125)))
    assert skill is not None
    assert skill.pinball_vs_baseline == pytest.approx(0.8)
    assert (skill.n, skill.basis, skill.coverage) == (1_000, "test", {"80": 0.80, "90": 0.90})


def test_metrics_without_a_test_span_tell_no_skill() -> None:
    assert skill_on_test({}) is None


def test_scores_are_those_of_utilsforecast() -> None:
    """Its frames hold one series a forecast; its scaled errors take the scale from a training frame of that series."""
    from utilsforecast import losses

    random = np.random.default_rng(5)
    count, horizon, past = 7, 4, 30
    history = random.normal(size=(count, past)).cumsum(axis=1)
    actual = history[:, -1:] + random.normal(size=(count, horizon)).cumsum(axis=1)
    quantiles = history[:, -1:, None] + np.sort(random.normal(size=(count, horizon, len(QUANTILES))), axis=-1)
    ours = score(actual, quantiles, history[:, -1], naive_scale(history), deviation=naive_deviation(history))

    series = np.repeat(np.arange(count), horizon)
    frame = pd.DataFrame({"unique_id": series, "ds": np.tile(np.arange(past, past + horizon), count)})
    frame["y"] = actual.ravel()
    names = [f"q{probability}" for probability in QUANTILES]
    frame[names] = quantiles.reshape(-1, len(QUANTILES))
    train = pd.DataFrame({"unique_id": np.repeat(np.arange(count), past), "ds": np.tile(np.arange(past), count)})
    train["y"] = history.ravel()

    pinball = losses.mqloss(frame, {"model": names}, np.array(QUANTILES))["model"].mean()
    mase = losses.mase(frame, ["q0.5"], 1, train)["q0.5"].mean()
    assert ours.pinball == pytest.approx(pinball)
    assert ours.mase == pytest.approx(mase)
    squared = losses.msse(frame, ["q0.5"], 1, train)["q0.5"].mean()
    assert ours.rmsse == pytest.approx(math.sqrt(squared))


def test_crps_of_a_normal_forecast_is_the_known_one() -> None:
    values = np.array([[NormalDist().inv_cdf((place + 0.5) / 1_000)] for place in range(1_000)])
    quantiles = np.tile([NormalDist().inv_cdf(probability) for probability in QUANTILES], (1_000, 1, 1))
    # Gneiting and Raftery (2007): a standard normal scores 1 / sqrt(pi) on average. Nine points come within 4 %.
    scores = score(values, quantiles, np.zeros(1_000), np.ones(1_000))
    assert scores.crps == pytest.approx(1 / math.sqrt(math.pi), rel=0.04)


def test_squared_errors_are_scaled_and_their_root_taken() -> None:
    actual, quantiles = np.array([[3.0, 5.0]]), np.full((1, 2, 9), 1.0)
    scores = score(actual, quantiles, np.array([0.0]), np.array([1.0]), deviation=np.array([2.0]))
    assert scores.rmsse_by_step == pytest.approx((1.0, 2.0))
    assert scores.rmsse == pytest.approx(math.sqrt((1 + 4) / 2))


def test_moves_foreseen_are_measured_against_no_move() -> None:
    actual, last = np.array([[1.0, 2.0], [-1.0, -2.0]]), np.zeros(2)
    exact = np.repeat(actual[..., None], 9, axis=-1)
    assert score(actual, exact, last, np.ones(2)).r_squared == 1.0
    assert score(actual, np.zeros((2, 2, 9)), last, np.ones(2)).r_squared == 0.0
    assert score(np.zeros((2, 2)), exact, last, np.ones(2)).r_squared is None


def test_each_symbol_has_scores_of_its_own() -> None:
    actual = np.array([[2.0], [1.0], [1.0]])
    symbols = np.array(["B", "A", "A"])
    scores = score(actual, np.ones((3, 1, 9)), np.ones(3), np.full(3, 0.5), symbols=symbols)
    assert list(scores.by_symbol) == ["A", "B"]
    assert scores.by_symbol["A"] == {"n": 2.0, "pinball": 0.0, "coverage80": 1.0, "coverage90": 1.0, "mase": 0.0}
    assert scores.by_symbol["B"]["mase"] == 2.0


def test_losses_are_paired_with_their_instants() -> None:
    origins = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[us]")
    scores = score(np.array([[2.0], [1.0]]), np.ones((2, 1, 9)), np.ones(2), np.ones(2), origins)
    assert scores.paired is not None
    assert scores.paired.losses == pytest.approx([0.5, 0.0])
    assert json.loads(json.dumps(as_dict(scores)))["n"] == 2


def test_score_that_is_no_number_is_null_on_a_card() -> None:
    assert metrics_of(replace(GOOD, mase=math.nan), GOOD)["test"]["mase"] is None
