"""Stretch, trust and blend, on samples whose right answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from deployments.forecasting.judging.evaluation import coverage, pinball_losses
from deployments.forecasting.predicting.calibration import (
    BLENDS,
    STRETCH_LIMIT,
    Calibration,
    Sample,
    calibrate,
    calibrated,
    conformal_rank,
    fit_blend,
    fit_stretch,
    horizons_of,
    stretched,
)
from deployments.forecasting.quantiles import QUANTILES, FloatArray, mixed
from deployments.market_data.models import Interval

STEPS = 8
NORMAL = np.array([-1.959964, -1.644854, -1.281552, -0.67449, 0.0, 0.67449, 1.281552, 1.644854, 1.959964])


def sample(width: float, n: int = 4_000, seed: int = 1, baseline_width: float = 1.0, horizons: int = 1_000) -> Sample:
    """Return normal outcomes beside quantiles that are `width` times as far out as they should be."""
    actual = np.random.default_rng(seed).normal(0.0, 1.0, (n, STEPS))
    model = spread_out(n, width)
    return Sample(actual, model, model, spread_out(n, baseline_width), horizons)


def spread_out(n: int, width: float) -> FloatArray:
    return np.tile(width * NORMAL, (n, STEPS, 1))


@pytest.mark.parametrize("width", [0.6, 1.0, 1.7])
def test_intervals_of_any_width_are_stretched_to_their_nominal_coverage(width: float) -> None:
    earlier, later = sample(width, seed=1), sample(width, seed=2)

    fitted = calibrate(earlier, later)

    fresh = sample(width, seed=3)
    served = calibrated(fresh.model, fresh.baseline, fitted)
    assert coverage(fresh.actual, served, 80) == pytest.approx(0.80, abs=0.02)
    assert coverage(fresh.actual, served, 90) == pytest.approx(0.90, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(20, 64), width=st.floats(0.8, 1.2), level=st.sampled_from((50.0, 80.0, 90.0, 95.0)))
def test_small_calibration_sets_cover_at_least_what_is_promised_on_average(n: int, width: float, level: float) -> None:
    generator, place = np.random.default_rng(n), QUANTILES.index(round(0.5 + level / 200, 6))
    quantiles = spread_out(n, width)

    stretches = np.stack([fit_stretch(generator.normal(0.0, 1.0, (n, STEPS)), quantiles) for _ in range(200)])

    covered = 1 - 2 * ndtr(-width * NORMAL[place] * stretches[:, :, place])
    by_trial = covered.mean(axis=1)
    assert by_trial.mean() >= level / 100 - 3 * by_trial.std() / len(by_trial) ** 0.5


@pytest.mark.parametrize(
    ("n", "probability", "rank"), [(19, 0.95, 19), (20, 0.95, 20), (39, 0.975, 39), (38, 0.975, 39), (99, 0.9, 90)]
)
def test_rank_leaves_room_for_the_window_to_come(n: int, probability: float, rank: int) -> None:
    assert conformal_rank(n, probability) == rank


def test_windows_too_few_for_a_rare_quantile_widen_it_as_far_as_it_may() -> None:
    stretch = fit_stretch(np.zeros((20, STEPS)), spread_out(20, 1.0))

    assert (stretch[:, [0, -1]] == STRETCH_LIMIT).all()
    assert (stretch[:, 1:4] < 1).all()


def test_a_stretch_that_does_not_hold_later_is_not_trusted() -> None:
    needs_more, is_right = sample(0.6, seed=1), sample(1.0, seed=2)

    fitted = calibrate(needs_more, is_right)

    np.testing.assert_array_equal(fitted.stretch, 1.0)


def test_a_useless_model_gives_way_to_the_baseline() -> None:
    far = spread_out(4_000, 1.0) + 3.0
    poor = Sample(sample(1.0).actual, far, far, spread_out(4_000, 1.0), 1_000)

    assert fit_blend(poor.actual, poor.model, poor.baseline) == 0.0
    served = calibrated(poor.model, poor.baseline, Calibration(np.ones((STEPS, 9)), 0.0))
    np.testing.assert_allclose(served, poor.baseline)


def test_a_network_that_spoils_what_volatility_says_gives_way_to_it() -> None:
    right = sample(1.0, baseline_width=3.0)
    noise = np.random.default_rng(5).normal(0.0, 1.0, (4_000, STEPS, 1))
    spoiling = replace(right, model=right.model + noise, prior=right.model)

    fitted = calibrate(spoiling, spoiling)

    served = calibrated(mixed(spoiling.model, spoiling.prior, fitted.share), spoiling.baseline, fitted)
    assert fitted.share < 0.02
    assert pinball_losses(right.actual, served).mean() <= 1.001 * pinball_losses(right.actual, right.model).mean()


def test_a_few_horizons_take_little_from_the_network() -> None:
    right = sample(1.0, horizons=5)
    spoiling = replace(right, model=right.model + np.random.default_rng(5).normal(0.0, 1.0, (4_000, STEPS, 1)))

    assert calibrate(spoiling, replace(spoiling, prior=right.model)).share == pytest.approx(1 - 5 / 15)


def test_a_network_that_volatility_only_hinders_speaks_alone() -> None:
    right = sample(1.0)
    helped = replace(right, prior=right.model + np.random.default_rng(5).normal(0.0, 1.0, (4_000, STEPS, 1)))

    assert calibrate(helped, helped).share == 1.0


def test_the_blend_is_never_worse_than_the_baseline_on_its_own_span() -> None:
    for width in (0.3, 0.8, 1.3, 3.0):
        each = sample(width, baseline_width=1.2)
        blend = fit_blend(each.actual, each.model, each.baseline)

        mixed = blend * each.model + (1 - blend) * each.baseline
        assert blend in BLENDS
        assert pinball_losses(each.actual, mixed).mean() <= pinball_losses(each.actual, each.baseline).mean()


def test_the_median_stays_and_the_order_holds() -> None:
    quantiles = np.sort(np.random.default_rng(1).normal(0, 1, (50, STEPS, len(QUANTILES))), axis=-1)

    wider = stretched(quantiles, np.full((STEPS, 9), 1.5))

    np.testing.assert_array_equal(wider[..., 4], quantiles[..., 4])
    assert (np.diff(wider, axis=-1) >= 0).all()


def test_quantiles_without_any_width_need_no_stretch() -> None:
    stretch = fit_stretch(np.ones((10, STEPS)), np.zeros((10, STEPS, 9)))

    np.testing.assert_array_equal(stretch, 1.0)


def test_windows_of_few_horizons_hardly_stretch_anything() -> None:
    much, little = (
        calibrate(sample(0.6, seed=1, horizons=each), sample(0.6, seed=2, horizons=each)) for each in (1_000, 2)
    )

    np.testing.assert_allclose(little.stretch - 1, (much.stretch - 1) * (4 / 14) / (2_000 / 2_010))


def test_a_drift_stretches_no_tail_more_than_the_other() -> None:
    still = sample(0.8)

    stretch = fit_stretch(still.actual + 0.5, still.model)

    np.testing.assert_allclose(stretch, stretch[:, ::-1])


def test_overlapping_windows_count_as_one_horizon() -> None:
    hours = np.datetime64("2024-01-01T00:00:00.000000") + np.arange(96) * np.timedelta64(1, "h")

    assert horizons_of(hours, Interval.H1, 24) == 4
    assert horizons_of(np.repeat(hours[:1], 50), Interval.H1, 24) == 1
    assert horizons_of(hours[::24], Interval.H1, 24) == 4


def test_horizons_of_a_market_that_closes_at_night_are_counted_in_its_bars() -> None:
    days = np.datetime64("2024-01-01T14:00:00.000000") + np.arange(24) * np.timedelta64(1, "D")
    hours = (days[:, None] + np.arange(7) * np.timedelta64(1, "h")).ravel()

    assert horizons_of(hours, Interval.H1, 24) == 7
