"""Volatility at several memories and the scale that they imply."""

import numpy as np
import pytest

from deployments.forecasting.panel import origins_in, spans_of
from deployments.forecasting.scale import fit_scale, plain_scale, ratios, scales, variances
from deployments.forecasting.windows import windows_at
from tests.fakes.panels import wavy_panel


def test_moves_of_one_size_have_that_variance_at_every_memory() -> None:
    history = np.cumsum(np.tile([0.01, -0.01], 100))[None]

    variance = variances(history)

    np.testing.assert_allclose(variance, 1e-4, rtol=1e-6)
    np.testing.assert_allclose(ratios(variance), 0.0, atol=1e-9)
    np.testing.assert_allclose(plain_scale(variance, 4), [[0.01, 0.01 * 2**0.5, 0.01 * 3**0.5, 0.02]], rtol=1e-6)


def test_constant_prices_have_a_scale_above_zero() -> None:
    variance = variances(np.full((1, 100), 4.6))

    assert (scales(variance, np.zeros((3, 4))) > 0).all()


def test_a_calm_hour_after_a_storm_shows_in_the_short_memory_only() -> None:
    moves = np.r_[np.full(190, 0.02), np.full(10, 0.001)]
    variance = variances(np.cumsum(moves)[None])[0]

    assert variance[0] < 0.2 * variance[2] < variance[3]


def test_the_fitted_scale_follows_volatility_better_than_one_memory() -> None:
    panel = wavy_panel(4_000)
    spans = spans_of(panel)
    known, later = (windows_at(panel, origins_in(panel, s, 512, 12), 512, 12) for s in (spans.train, spans.test))

    weights = fit_scale(known)

    variance = variances(later.history)
    fitted, plain = scales(variance, weights), plain_scale(variance, 12)
    assert _likelihood(later.moves, fitted) > _likelihood(later.moves, plain)


def test_prices_in_another_unit_and_another_volatility_are_scaled_alike() -> None:
    history = np.cumsum(np.random.default_rng(1).normal(0, 0.01, (2, 300)), axis=1)
    weights = np.full((5, 4), 0.1)

    ten_times = scales(variances(10 * history + 3), weights)

    assert ten_times == pytest.approx(10 * scales(variances(history), weights), rel=1e-4)


def _likelihood(moves: np.ndarray, scale: np.ndarray) -> float:
    """The Laplace log likelihood at its best common factor: only the shape of the scale counts."""
    factor = np.mean(np.abs(moves) / scale)
    return -float(np.mean(np.log(scale * factor)))
