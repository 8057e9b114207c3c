"""Baselines on series short enough to work out by hand, and their calibration on real candles."""

import pathlib
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deployments.forecasting.judging.evaluation import coverage
from deployments.forecasting.predicting.baselines import (
    BASELINE_BARS,
    MIN_BASELINE_BARS,
    drift_quantiles,
    ewma_quantiles,
    ewma_quantiles_after,
    ewma_volatility,
    naive_scale,
    seasonal_naive_quantiles,
    standard_quantiles,
)
from deployments.forecasting.quantiles import MEDIAN, FloatArray
from deployments.forecasting.series.windows import moves_of
from tests.fakes.panels import wavy_closes

ZIGZAG = np.tile([4.0, 4.01], 15)[None, :]
"""Thirty bars, every move 1 % up or down, ending high."""


def test_ewma_of_equal_moves_has_their_size_as_volatility() -> None:
    assert ewma_volatility(ZIGZAG) == pytest.approx(0.01)


def test_ewma_weighs_a_move_one_halflife_old_by_half() -> None:
    closes = np.concatenate([np.zeros(2), np.full(3, 0.2), np.full(48, 0.2)])[None, :] + 1
    # One move of 0.2 at age 50 among 52 moves.
    ages = np.arange(52)
    expected = 0.2 * np.sqrt(0.5 ** (50 / 48) / (0.5 ** (ages / 48)).sum())
    assert ewma_volatility(closes) == pytest.approx(expected)


def test_ewma_forecast_is_the_last_value_and_widens_with_the_root_of_the_step() -> None:
    quantiles = ewma_quantiles(ZIGZAG, horizon=6)
    assert quantiles.shape == (1, 6, 9)
    assert quantiles[0, :, MEDIAN] == pytest.approx(4.01)
    assert quantiles[0, 0, 6] == pytest.approx(4.01 + 0.01 * 1.03)
    assert quantiles[0, 5, 6] == pytest.approx(4.01 + 0.01 * np.sqrt(6) * 1.10)
    assert quantiles[0, 5, 2] == pytest.approx(4.01 - 0.01 * np.sqrt(6) * 1.10)


def test_drift_forecast_continues_a_straight_line() -> None:
    line = np.arange(30.0)[None, :] * 0.01
    quantiles = drift_quantiles(line, horizon=3)
    assert quantiles[0, :, MEDIAN] == pytest.approx([0.30, 0.31, 0.32])


def test_seasonal_forecast_repeats_the_last_season() -> None:
    week = np.tile(np.arange(10.0), 3)[None, :]
    quantiles = seasonal_naive_quantiles(week, horizon=12, season=10)
    assert quantiles[0, :, MEDIAN] == pytest.approx([*range(10), 0, 1])


def test_scale_of_the_scaled_error_is_the_mean_absolute_move() -> None:
    assert naive_scale(np.array([[1.0, 1.5, 1.0, 2.0]])) == pytest.approx(2 / 3)


def test_flat_history_still_gets_intervals_of_some_width() -> None:
    quantiles = ewma_quantiles(np.full((1, 40), 3.0), horizon=2)
    assert (np.diff(quantiles, axis=-1) > 0).all()


def test_too_few_bars_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 20 bars and got 19"):
        ewma_quantiles(np.ones((1, MIN_BASELINE_BARS - 1)), horizon=1)
    with pytest.raises(ValueError, match="needs 48 bars"):
        seasonal_naive_quantiles(np.ones((1, 30)), horizon=1, season=24)


def test_missing_values_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        ewma_quantiles(np.full((1, 30), np.nan), horizon=1)


def test_standard_quantiles_rise_within_each_step_and_widen_over_the_steps() -> None:
    table = standard_quantiles(168)
    assert (np.diff(table, axis=1) > 0).all()
    assert (np.diff(table[:, -1]) >= 0).all()
    assert table == pytest.approx(-table[:, ::-1])


@given(arrays(np.float64, (2, 30), elements=st.floats(-20, 20)), st.integers(1, 30))
def test_quantiles_never_cross(closes: FloatArray, horizon: int) -> None:
    for quantiles in (
        ewma_quantiles(closes, horizon),
        drift_quantiles(closes, horizon),
        seasonal_naive_quantiles(closes, horizon, season=12),
    ):
        assert quantiles.shape == (2, horizon, 9)
        assert (np.diff(quantiles, axis=-1) >= 0).all()


@pytest.mark.parametrize("file", ["crypto_1h", "forex_1h", "stocks_1h"])
def test_intervals_cover_what_they_promise_on_bars_they_were_not_fitted_on(
    shared_data: pathlib.Path, file: str
) -> None:
    actual, quantiles = _last_third(shared_data / f"{file}.parquet", horizon=24)
    assert coverage(actual, quantiles, 80) == pytest.approx(0.80, abs=0.06)
    assert coverage(actual, quantiles, 90) == pytest.approx(0.90, abs=0.05)


def _last_third(path: pathlib.Path, horizon: int) -> tuple[FloatArray, FloatArray]:
    actual, quantiles = [], []
    for _, candles in pd.read_parquet(path).sort_values("time").groupby("symbol"):
        closes = np.log(candles["close"].to_numpy())
        origins = range(max(BASELINE_BARS, int(len(closes) * 0.7)), len(closes) - horizon, 12)
        past = np.stack([closes[origin - BASELINE_BARS : origin] for origin in origins])
        actual.append(np.stack([closes[origin : origin + horizon] for origin in origins]))
        quantiles.append(ewma_quantiles(past, horizon))
    return np.concatenate(actual), np.concatenate(quantiles)


def test_masked_bars_take_no_part_in_any_baseline() -> None:
    closes = np.log(wavy_closes(120))[None]
    padded = np.concatenate([np.repeat(closes[:, :1], 50, axis=1), closes], axis=1)
    known = np.concatenate([np.zeros((1, 50), dtype=bool), np.ones((1, 120), dtype=bool)], axis=1)

    for baseline in (ewma_quantiles, drift_quantiles, partial(seasonal_naive_quantiles, season=24)):
        np.testing.assert_allclose(baseline(padded, 6, known=known), baseline(closes, 6), rtol=1e-9)
    assert naive_scale(padded, known) == pytest.approx(naive_scale(closes))


def test_a_move_across_a_missing_bar_is_no_move_of_one_bar() -> None:
    closes = np.array([[1.0, 1.1, 1.1, 1.5, 1.6]])
    known = np.array([[True, True, False, True, True]])

    assert ewma_volatility(closes, known=known) == pytest.approx(0.1)
    assert naive_scale(closes, known) == pytest.approx(0.1)


def test_moves_that_are_no_numbers_are_refused() -> None:
    moves = moves_of(np.array([[1.0, 1.1, np.nan, 1.3]]))

    with pytest.raises(ValueError, match="finite"):
        ewma_quantiles_after(np.array([1.3]), moves, horizon=1)
