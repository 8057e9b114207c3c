"""The quantile grid and the intervals between its points."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deployments.forecasting.quantiles import MEDIAN, QUANTILES, ascending, bounds_of, interval_bounds

NORMAL = np.array([NormalDist().inv_cdf(probability) for probability in QUANTILES])


def test_grid_is_symmetric_around_the_median() -> None:
    assert QUANTILES[MEDIAN] == 0.5
    assert np.allclose(np.array(QUANTILES) + np.array(QUANTILES)[::-1], 1)


@pytest.mark.parametrize("level", [1, 37.5, 50, 80, 90, 95, 97.5, 99])
def test_bounds_of_a_normal_distribution_are_exact_at_every_level(level: float) -> None:
    lower, upper = interval_bounds(2 + 3 * NORMAL, level)
    tail = NormalDist(2, 3).inv_cdf(0.5 + level / 200)
    assert upper == pytest.approx(tail)
    assert lower == pytest.approx(4 - tail)


def test_bounds_at_grid_levels_are_the_grid_values() -> None:
    quantiles = np.array([1.0, 2, 4, 7, 8, 10, 15, 16, 20])
    assert np.allclose(interval_bounds(quantiles, 80), (4, 15))
    assert np.allclose(interval_bounds(quantiles, 95), (1, 20))


def test_crossing_quantiles_are_sorted_first() -> None:
    crossing = np.array([2.0, 1, 4, 7, 8, 10, 15, 20, 16])
    assert np.allclose(interval_bounds(crossing, 95), (1, 20))


@pytest.mark.parametrize("level", [0, 100, -5, float("nan")])
def test_level_outside_the_open_range_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        interval_bounds(NORMAL, level)


@given(
    quantiles=arrays(np.float64, (3, 9), elements=st.floats(-50, 50)),
    levels=st.tuples(st.floats(1, 99), st.floats(1, 99)),
)
def test_intervals_nest_whatever_the_quantiles(quantiles: np.ndarray, levels: tuple[float, float]) -> None:
    narrow, wide = sorted(levels)
    inner_lower, inner_upper = interval_bounds(quantiles, narrow)
    outer_lower, outer_upper = interval_bounds(quantiles, wide)
    slack = 1e-9
    assert (outer_lower <= inner_lower + slack).all()
    assert (inner_lower <= inner_upper + slack).all()
    assert (inner_upper <= outer_upper + slack).all()


@given(
    quantiles=arrays(np.float64, (3, 9), elements=st.floats(-50, 50)),
    levels=st.lists(st.floats(1, 99), min_size=1, max_size=4).map(tuple),
)
def test_bounds_of_many_levels_lie_on_the_line_between_neighbouring_scores(
    quantiles: np.ndarray, levels: tuple[float, ...]
) -> None:
    found = bounds_of(quantiles, levels)

    for place, level in enumerate(levels):
        for side, probability in enumerate((0.5 - level / 200, 0.5 + level / 200)):
            score = NormalDist().inv_cdf(probability)
            right = min(max(sum(each < score for each in NORMAL), 1), len(NORMAL) - 1)
            share = (score - NORMAL[right - 1]) / (NORMAL[right] - NORMAL[right - 1])
            for row, values in enumerate(np.sort(quantiles, axis=-1)):
                wanted = values[right - 1] + share * (values[right] - values[right - 1])
                assert found[row, side, place] == pytest.approx(wanted, rel=1e-7, abs=1e-7)


def test_highest_level_below_a_hundred_has_bounds() -> None:
    lower, upper = interval_bounds(NORMAL, math.nextafter(100, 0))
    assert np.isfinite([lower, upper]).all()
    assert upper == pytest.approx(-lower)


@given(quantiles=arrays(np.float64, (2, 3, 9), elements=st.integers(-3, 3).map(float) | st.just(math.nan)))
def test_crossed_rows_are_sorted_and_no_other_row_changes(quantiles: np.ndarray) -> None:
    given_before = quantiles.copy()

    np.testing.assert_array_equal(ascending(quantiles), np.sort(given_before, axis=-1))
    np.testing.assert_array_equal(quantiles, given_before)


def test_a_row_that_begins_below_the_end_of_the_one_before_is_not_crossed() -> None:
    ordered = np.tile(np.arange(9.0), (4, 1))

    assert ascending(ordered) is ordered
