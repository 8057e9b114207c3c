"""Volatility at several memories and the scale that they imply."""

from dataclasses import replace

import numpy as np
import pytest

from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.panel import origins_in, spans_of
from deployments.forecasting.series.scale import REGIMES, Volatility, fit_scale, volatility_of
from deployments.forecasting.series.season import WEEK
from deployments.forecasting.series.windows import Past, windows_at
from tests.fakes.panels import wavy_panel

EVEN = np.ones((1, WEEK))


def past_of(moves: FloatArray, variances: FloatArray | None = None, steps: int = 4) -> Past:
    """Return one past of hourly bars with these moves, each bar's variance its squared move."""
    bars = len(moves)
    return Past(
        np.cumsum(moves)[None],
        (moves**2 if variances is None else variances)[None],
        np.ones((1, bars), dtype=bool),
        (np.arange(bars, dtype=np.int16) % WEEK)[None],
        (np.arange(bars, bars + steps, dtype=np.int16) % WEEK)[None],
        np.array(["24/7"]),
    )


def test_moves_of_one_size_have_that_variance_at_every_memory() -> None:
    volatility = volatility_of(past_of(np.tile([0.01, -0.01], 500)), EVEN, 4)

    assert volatility.level == pytest.approx([1e-4], rel=1e-3)
    np.testing.assert_allclose(volatility.plain, [[0.01, 0.01 * 2**0.5, 0.01 * 3**0.5, 0.02]], rtol=1e-3)
    np.testing.assert_allclose(volatility.regimes[0, :5], 0.0, atol=1e-3)


def test_lively_hours_ahead_weigh_more_and_lively_hours_past_less() -> None:
    factors = np.where(np.arange(WEEK) % 24 < 12, 0.5, 1.5)[None]
    past = past_of(np.tile([0.01, -0.01], 504))
    seasonal = replace(past, variances=past.variances * factors[0, past.hours[0]])

    volatility = volatility_of(seasonal, factors, 4)

    assert volatility.level == pytest.approx([1e-4], rel=0.05)
    np.testing.assert_allclose(volatility.ahead, np.cumsum(factors[0, past.coming[0]])[None])


def test_constant_prices_have_a_scale_above_zero() -> None:
    volatility = volatility_of(past_of(np.zeros(100)), EVEN, 3)

    assert np.isfinite(volatility.regimes).all()
    assert (volatility.plain > 0).all()


def test_a_calm_hour_after_a_storm_shows_in_the_short_memories() -> None:
    moves = np.r_[np.full(190, 0.02), np.full(10, 0.001)]

    shortest, short, middle, long, _ = volatility_of(past_of(moves), EVEN, 4).regimes[0, :5]

    assert shortest < short < middle < long < 0


def test_bars_that_are_missing_change_nothing() -> None:
    generator = np.random.default_rng(1)
    past = past_of(generator.normal(0, 0.01, 300))
    padded = Past(
        np.pad(past.log_closes, ((0, 0), (50, 0)), mode="edge"),
        np.pad(past.variances, ((0, 0), (50, 0))),
        np.pad(past.known, ((0, 0), (50, 0))),
        np.pad(past.hours, ((0, 0), (50, 0)), mode="edge"),
        past.coming,
        past.calendars,
    )

    alone, masked = volatility_of(past, EVEN, 4), volatility_of(padded, EVEN, 4)

    np.testing.assert_allclose(masked.regimes, alone.regimes, atol=1e-9)
    np.testing.assert_allclose(masked.plain, alone.plain, rtol=1e-9)


def test_ranges_that_tell_a_tenth_of_the_moves_hardly_narrow_the_scale() -> None:
    past = past_of(np.random.default_rng(1).normal(0, 0.01, 800))

    right, tenth = (volatility_of(replace(past, variances=past.variances * share), EVEN, 4) for share in (1.0, 0.1))

    assert 0.7 < tenth.plain[0, 0] / right.plain[0, 0] < 1
    assert tenth.regimes.shape == (1, REGIMES)


def test_the_fitted_scale_follows_volatility_better_than_its_level_alone() -> None:
    panel = wavy_panel(4_000)
    spans = spans_of(panel)
    known, later = (windows_at(panel, origins_in(panel, s, 512, 12), 512, 12) for s in (spans.train, spans.test))
    measured = [volatility_of(each.past, np.ones((len(each), WEEK)), 12) for each in (known, later)]

    fit = fit_scale(measured[0], known)

    assert _likelihood(later.moves, fit.scales(measured[1])) > _likelihood(later.moves, measured[1].plain)


def test_prices_in_another_unit_and_another_volatility_are_scaled_alike() -> None:
    moves = np.random.default_rng(1).normal(0, 0.01, 300)
    panel = wavy_panel(2_000)
    windows = windows_at(panel, origins_in(panel, spans_of(panel).train, 336, 4), 336, 4)
    fit = fit_scale(volatility_of(windows.past, np.ones((len(windows), WEEK)), 4), windows)

    once, tenfold = (fit.scales(volatility_of(past_of(factor * moves), EVEN, 4)) for factor in (1, 10))

    assert tenfold == pytest.approx(10 * once, rel=1e-3)


def test_bars_ahead_that_never_came_do_not_teach_calm() -> None:
    panel = wavy_panel(2_000)
    windows = windows_at(panel, origins_in(panel, spans_of(panel).train, 336, 4), 336, 4)
    volatility = volatility_of(windows.past, np.ones((len(windows), WEEK)), 4)
    came = np.ones_like(windows.came)
    came[::2, 2] = False
    holes = replace(windows, came=came, future_variances=np.where(came, windows.future_variances, 0.0))

    whole, holed = (fit_scale(volatility, each).scales(volatility) for each in (windows, holes))

    assert (holed[:, 2] / whole[:, 2]).mean() == pytest.approx(1.0, abs=0.1)


def _likelihood(moves: FloatArray, scale: FloatArray) -> float:
    """The Laplace log likelihood at its best common factor: only the shape of the scale counts."""
    factor = np.mean(np.abs(moves) / scale)
    return -float(np.mean(np.log(scale * factor)))


def test_a_scale_needs_no_more_than_what_is_known() -> None:
    volatility = volatility_of(past_of(np.full(1, 0.01)), EVEN, 2)

    assert isinstance(volatility, Volatility)
    assert np.isfinite(volatility.plain).all()
