"""Comparing forecasters: known variances, stated error rates on simulated ties, power on real differences."""

import math

import numpy as np
import pytest

from deployments.forecasting.judging.comparison import (
    Comparison,
    by_instant,
    compare,
    diebold_mariano,
    long_run_variance,
    overlapping,
    resampled_ratios,
)
from deployments.forecasting.judging.evaluation import PairedLosses
from deployments.forecasting.quantiles import FloatArray

START = np.datetime64("2024-01-01T00", "us")
HORIZON = 12


def instants(count: int, hours: int = 1) -> np.ndarray:
    return START + np.arange(count) * np.timedelta64(hours, "h")


def overlapping_noise(random: np.random.Generator, count: int) -> FloatArray:
    """Return noise of unit variance in which neighbours share all but one of `HORIZON` shocks."""
    shocks = random.normal(size=count + HORIZON - 1)
    noise: FloatArray = np.convolve(shocks, np.ones(HORIZON) / math.sqrt(HORIZON), "valid")
    return noise


def contest(seed: int, gain: float = 0.0, count: int = 600) -> Comparison:
    """Compare two forecasters whose losses differ by overlapping noise and by `gain` of their mean."""
    random = np.random.default_rng(seed)
    noise = 0.05 * overlapping_noise(random, count)
    own, other = 1 - gain + noise / 2, 1 - noise / 2
    return compare(PairedLosses(instants(count), own), PairedLosses(instants(count), other), HORIZON)


def test_losses_of_one_instant_are_averaged_and_put_in_order() -> None:
    times = instants(2)[[1, 0, 1]]
    found, means = by_instant(times, np.array([1.0, 5.0, 3.0]))
    assert found.tolist() == instants(2).tolist()
    assert means.tolist() == [5.0, 2.0]


def test_horizons_overlap_as_far_as_the_instants_are_apart() -> None:
    assert overlapping(instants(200), 24) == 24
    sparse = np.concatenate([instants(2), instants(200, hours=6)[1:]])
    assert overlapping(np.unique(sparse), 24) == 4
    assert overlapping(instants(20), 24) == 24
    assert overlapping(instants(1), 24) == 1


def test_variance_without_lags_is_the_plain_one() -> None:
    assert long_run_variance(np.array([1.0, 2.0, 3.0, 6.0]), 0) == pytest.approx(3.5)


def test_one_lag_counts_half() -> None:
    series = np.array([1.0, -1.0, 1.0, -1.0])
    # 4 / 4 at lag nought, and twice half of -3 / 4 at lag one.
    assert long_run_variance(series, 1) == pytest.approx(1 - 0.75)


def test_statistic_of_independent_differences_is_as_worked_out_by_hand() -> None:
    differences = np.array([2.0, 1.0, 0.0, 1.0])
    # Mean 1, one lag: variance 0.5 + 2 * 0.5 * 0; Harvey's factor 3 / 4; Kiefer and Vogelsang's at a quarter.
    widening = (1.6449 + 2.1859 / 4 + 0.3142 / 16 - 0.3427 / 64) / 1.6449
    assert diebold_mariano(differences, 1) == pytest.approx(math.sqrt(0.75 * 4 / 0.5) / widening)


def test_forecasters_that_never_differ_are_told_apart_by_nothing() -> None:
    tie = contest(1, count=600)
    losses = PairedLosses(instants(60), np.linspace(1, 2, 60))
    same = compare(losses, losses, HORIZON)
    assert (same.ratio, same.low, same.high, same.p_better, same.p_worse) == (1.0, 1.0, 1.0, 0.5, 0.5)
    assert tie.p_better + tie.p_worse == pytest.approx(1.0)


def test_too_few_instants_tell_nothing() -> None:
    short = PairedLosses(instants(19), np.ones(19))
    comparison = compare(short, short, HORIZON)
    assert (comparison.p_better, comparison.p_worse, comparison.instants) == (1.0, 1.0, 19)
    assert math.isnan(comparison.ratio)


def test_lead_over_few_horizons_tells_nothing_however_large() -> None:
    assert contest(1, gain=0.5, count=5 * HORIZON).p_better < 0.05
    comparison = contest(1, gain=0.5, count=5 * HORIZON - 1)
    assert (comparison.p_better, comparison.p_worse) == (1.0, 1.0)
    assert math.isnan(comparison.ratio)


def test_other_windows_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="same windows"):
        compare(PairedLosses(instants(30), np.ones(30)), PairedLosses(instants(31)[1:], np.ones(30)), HORIZON)


def test_ties_are_called_significant_at_the_stated_rate() -> None:
    found = [contest(seed) for seed in range(600)]
    # Five per cent of 600, and three standard deviations of what chance adds to it.
    most = 30 + 3 * math.sqrt(600 * 0.05 * 0.95)
    assert sum(comparison.p_better < 0.05 for comparison in found) <= most
    assert sum(comparison.p_worse < 0.05 for comparison in found) <= most
    assert sum(comparison.high < 1 for comparison in found) <= most + 12  # the bootstrap alone runs a little hot


def test_real_lead_is_found_and_its_interval_holds_it() -> None:
    found = [contest(seed, gain=0.03) for seed in range(100)]
    assert sum(comparison.p_better < 0.05 for comparison in found) > 90
    # A 90 % interval; blocks of a series this short hold a little less.
    assert sum(comparison.low <= 0.97 <= comparison.high for comparison in found) > 70


def test_resampled_blocks_keep_the_mean_and_widen_with_dependence() -> None:
    random = np.random.default_rng(2)
    smooth, shuffled = overlapping_noise(random, 2_000) + 10, np.full(2_000, 10.0)
    alone = resampled_ratios(smooth, shuffled, 1, seed=1)
    blocks = resampled_ratios(smooth, shuffled, 2 * HORIZON, seed=1)
    assert blocks.mean() == pytest.approx(smooth.mean() / 10, rel=1e-3)
    assert blocks.std() > 2 * alone.std()
