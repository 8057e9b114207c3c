"""Recalibration from resolved forecasts: it finds the right width, doubts little evidence, and stays within bounds."""

import json
from dataclasses import replace

import numpy as np
import pytest

from deployments.forecasting.judging.evaluation import coverage
from deployments.forecasting.predicting.recalibration import (
    BOUND,
    MIN_HORIZONS,
    Recalibration,
    Resolved,
    apply,
    fit_recalibration,
    unchanged,
)
from deployments.forecasting.quantiles import QUANTILES, FloatArray
from deployments.market_data.models import Interval

HORIZON = 6
NORMAL = np.array([-1.959964, -1.644854, -1.281552, -0.67449, 0.0, 0.67449, 1.281552, 1.644854, 1.959964])
START = np.datetime64("2024-01-01T00:00:00.000000")


def resolved(width: float, hours: int = 2_000, symbols: int = 3, seed: int = 1) -> Resolved:
    """Return hourly forecasts of normal outcomes that said intervals `width` times as wide as they should be."""
    count = hours * symbols
    actual = 4.0 + np.random.default_rng(seed).normal(0.0, 0.01, (count, HORIZON))
    origins = START + np.repeat(np.arange(hours), symbols) * np.timedelta64(1, "h")
    return Resolved(actual, np.tile(4.0 + 0.01 * width * NORMAL, (count, HORIZON, 1)), origins, Interval.H1)


def said(width: float) -> FloatArray:
    return resolved(width, 400).quantiles


@pytest.mark.parametrize("width", [0.8, 1.0, 1.25])
def test_forecasts_of_the_next_weeks_cover_what_they_promise(width: float) -> None:
    fitted = fit_recalibration(resolved(width))

    later = resolved(width, seed=2)
    served = apply(later.quantiles, fitted)
    assert coverage(later.actual, served, 80) == pytest.approx(0.80, abs=0.02)
    assert coverage(later.actual, served, 90) == pytest.approx(0.90, abs=0.02)


def test_too_few_forecasts_change_nothing() -> None:
    fitted = fit_recalibration(resolved(0.5, hours=(MIN_HORIZONS - 1) * HORIZON))

    np.testing.assert_array_equal(fitted.stretch, 1.0)
    assert fitted.n == 0


def test_no_forecast_at_all_changes_nothing() -> None:
    empty = Resolved(
        np.empty((0, HORIZON)), np.empty((0, HORIZON, 9)), np.empty(0, dtype="datetime64[us]"), Interval.H1
    )

    np.testing.assert_array_equal(fit_recalibration(empty).stretch, 1.0)


def test_many_symbols_at_few_instants_are_little_evidence() -> None:
    fitted = fit_recalibration(resolved(0.5, hours=20, symbols=500))

    np.testing.assert_array_equal(fitted.stretch, 1.0)


def test_one_forecast_a_horizon_is_as_much_evidence_as_one_a_bar() -> None:
    often = resolved(0.5, hours=50 * HORIZON, symbols=1)
    rows = slice(None, None, HORIZON)
    seldom = replace(often, actual=often.actual[rows], quantiles=often.quantiles[rows], origins=often.origins[rows])

    assert fit_recalibration(seldom).stretch.mean() == pytest.approx(fit_recalibration(often).stretch.mean(), rel=0.15)


def test_a_misfit_that_chance_explains_is_left_alone_and_a_large_one_of_as_long_is_not() -> None:
    slight, large = (fit_recalibration(resolved(width, hours=60 * HORIZON)).stretch[:, 0] for width in (0.96, 0.7))

    assert (np.abs(np.log(slight)) < 0.3 * np.log(1 / 0.96)).all()
    assert (np.log(large) > 0.8 * np.log(1 / 0.7)).all()


def test_what_lies_more_than_the_trailing_days_back_counts_no_more() -> None:
    old, new = resolved(0.6, seed=1), resolved(1.0, seed=2)
    both = Resolved(
        np.concatenate([old.actual, new.actual]),
        np.concatenate([old.quantiles, new.quantiles]),
        np.concatenate([old.origins - np.timedelta64(200, "D"), new.origins]),
        Interval.H1,
    )

    np.testing.assert_array_equal(fit_recalibration(both).stretch, fit_recalibration(new).stretch)


@pytest.mark.parametrize("width", [0.05, 20.0])
def test_a_broken_model_is_not_repaired_beyond_the_bound(width: float) -> None:
    stretch = fit_recalibration(resolved(width)).stretch

    assert (stretch <= BOUND).all()
    assert (stretch >= 1 / BOUND).all()


def test_both_tails_are_stretched_alike_and_the_median_stays() -> None:
    drifting = resolved(0.8)
    fitted = fit_recalibration(replace(drifting, actual=drifting.actual + 0.004))

    np.testing.assert_allclose(fitted.stretch, fitted.stretch[:, ::-1])
    np.testing.assert_array_equal(apply(said(0.8), fitted)[..., 4], said(0.8)[..., 4])


def test_quantiles_ascend_after_any_stretch() -> None:
    stretch = np.random.default_rng(1).uniform(1 / BOUND, BOUND, (HORIZON, len(QUANTILES)))

    assert (np.diff(apply(said(1.0), Recalibration(stretch, 9)), axis=-1) >= 0).all()


def test_a_shorter_forecast_takes_the_first_steps() -> None:
    fitted = fit_recalibration(resolved(0.7))

    np.testing.assert_array_equal(apply(said(0.7)[:, :2], fitted), apply(said(0.7), fitted)[:, :2])
    np.testing.assert_array_equal(apply(said(0.7)[0], fitted), apply(said(0.7), fitted)[0])


def test_a_recalibration_survives_json() -> None:
    fitted = fit_recalibration(resolved(0.7))

    read = Recalibration.from_dict(json.loads(json.dumps(fitted.as_dict())))

    np.testing.assert_array_equal(read.stretch, fitted.stretch)
    assert (read.n, read.horizon) == (fitted.n, HORIZON)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stretch": [[1.0]], "n": 3},
        {"stretch": [[0.0] * 9], "n": 3},
        {"stretch": [[float("nan")] * 9], "n": 3},
        {"stretch": [["x"] * 9], "n": 3},
    ],
)
def test_what_is_no_recalibration_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Recalibration.from_dict(fields)


def test_nothing_is_changed_by_the_unchanged() -> None:
    np.testing.assert_array_equal(apply(said(1.0), unchanged(HORIZON)), said(1.0))
