"""Volatility at several memories and the scale that they imply."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest

from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.panel import origins_in, spans_of
from deployments.forecasting.series.scale import (
    DOWNSIDE_HALFLIVES,
    FLOOR,
    HALFLIVES,
    RATIO_LIMIT,
    REFERENCE,
    REGIMES,
    TREND_HALFLIVES,
    Volatility,
    fit_scale,
    volatility_of,
)
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


def _faded(values: Sequence[float], halflife: float) -> float:
    """Return the mean of values, oldest first, each bar weighing less than the next."""
    weights: list[float] = [0.5 ** (age / halflife) for age in reversed(range(len(values)))]
    return sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights) + FLOOR


def test_moves_of_one_size_have_that_variance_at_every_memory() -> None:
    volatility = volatility_of(past_of(np.tile([0.01, -0.01], 500)), EVEN, 4)

    assert volatility.level == pytest.approx([1e-4], rel=1e-3)
    np.testing.assert_allclose(volatility.plain, [[0.01, 0.01 * 2**0.5, 0.01 * 3**0.5, 0.02]], rtol=1e-3)
    np.testing.assert_allclose(volatility.regimes[0, :5], 0.0, atol=1e-3)


def test_every_memory_is_a_weighted_mean_taken_bar_by_bar() -> None:
    generator = np.random.default_rng(3)
    factors = generator.uniform(0.5, 1.5, WEEK)
    past = past_of(generator.standard_t(4, 300) * 0.01, generator.uniform(0.5, 2, 300) * 1e-4)

    found = volatility_of(past, factors[None], 4)

    moves = np.diff(past.log_closes[0]).tolist()
    flat = [variance / factors[hour] for variance, hour in zip(past.variances[0], past.hours[0], strict=True)]
    ranged = [_faded(flat, halflife) for halflife in HALFLIVES]
    squares = [_faded([move * move for move in moves], halflife) for halflife in DOWNSIDE_HALFLIVES]
    falls = [_faded([min(move, 0.0) * move for move in moves], halflife) for halflife in DOWNSIDE_HALFLIVES]
    trends = [_faded(moves, halflife) * halflife**0.5 for halflife in TREND_HALFLIVES]
    wanted = [
        *(math.log(each / ranged[REFERENCE]) for each in ranged if each is not ranged[REFERENCE]),
        *(math.log(fall / square) for fall, square in zip(falls, squares, strict=True)),
        *(trend / ranged[REFERENCE] ** 0.5 for trend in trends),
        math.log(squares[-1] / ranged[REFERENCE]),
    ]
    np.testing.assert_allclose(found.regimes[0, : len(wanted)], wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.level / found.evenness, ranged[REFERENCE], rtol=1e-9)


def test_symbols_of_two_calendars_together_are_measured_as_each_alone() -> None:
    generator = np.random.default_rng(5)
    pasts = [past_of(generator.normal(0, 0.01, 200)) for _ in range(2)]
    late = replace(pasts[1], hours=(pasts[1].hours + 5) % WEEK)
    both = Past(*(np.concatenate([getattr(each, field.name) for each in (pasts[0], late)]) for field in fields(Past)))
    factors = generator.uniform(0.5, 1.5, (2, WEEK))

    together = volatility_of(both, factors, 4)

    for row, past in enumerate((pasts[0], late)):
        alone = volatility_of(past, factors[[row]], 4)
        np.testing.assert_allclose(together.regimes[row], alone.regimes[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(together.plain[row], alone.plain[0], rtol=1e-9)


def test_a_market_that_only_rises_has_falls_of_nothing_and_a_finite_answer() -> None:
    volatility = volatility_of(past_of(np.full(300, 0.5)), EVEN, 4)

    assert volatility.regimes[0, 5:8] == pytest.approx([-RATIO_LIMIT] * 3)


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
