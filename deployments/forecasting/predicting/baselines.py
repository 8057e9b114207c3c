"""Forecasts that need no training: the bar that a model has to clear, and what answers where there is none.

All functions take log closes of consecutive bars, (n, L) float64 without NaN, oldest first, and where bars may be
missing `known`, (n, L), which of them did come. They return log-price quantiles, (n, horizon, 9) over `QUANTILES`. The
strongest baseline needs a fit and lives in `recipe.py`: last value with HAR-season volatility.
"""

import math
from functools import lru_cache

import numpy as np

from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.bars import Mask
from deployments.forecasting.series.windows import Moves, moves_of

MIN_BASELINE_BARS = 20
"""Bars below which a volatility estimate says nothing."""

BASELINE_BARS = 500
"""Bars worth reading: older ones weigh less than a thousandth at the default half-life."""

BASELINE_NAME = "ewma"

_STEPS = (1, 6, 24, 168)
_UPPER_HALF = (
    (0.485, 1.03, 1.49, 2.02),
    (0.495, 1.10, 1.59, 2.13),
    (0.555, 1.20, 1.68, 2.20),
    (0.600, 1.30, 1.85, 2.50),
)
# Quantiles at 75, 90, 95 and 97.5 % of the move over its EWMA scale, by step, made symmetric and rounded: from eight
# crypto and three currency pairs, first 70 % of hourly data. Volatility changes within the horizon: tails widen.

_FLOOR = 1e-9
# A flat series still needs intervals of some width, or nothing can be scored against it.


def ewma_quantiles(log_closes: FloatArray, horizon: int, halflife: float = 48, known: Mask | None = None) -> FloatArray:
    """Forecast the last value, with quantiles scaled by EWMA volatility times the square root of the step.

    `halflife` counts bars. Raises `ValueError` below `MIN_BASELINE_BARS` bars.
    """
    _check(log_closes, MIN_BASELINE_BARS)
    return ewma_quantiles_after(log_closes[:, -1], moves_of(log_closes, known), horizon, halflife)


def ewma_quantiles_after(last: FloatArray, moves: Moves, horizon: int, halflife: float = 48) -> FloatArray:
    """Forecast like `ewma_quantiles` from the `last` log closes (n,) and the moves that led there.

    Raises `ValueError` for moves that are not finite.
    """
    sigma = _weighted_volatility(moves, halflife)
    if not np.isfinite(sigma).all():
        raise ValueError("moves must be finite")
    return _spread(np.repeat(last[:, None], horizon, axis=1), sigma[:, None] * _root(horizon))


def drift_quantiles(log_closes: FloatArray, horizon: int, known: Mask | None = None) -> FloatArray:
    """Continue the line from the first value to the last, with quantiles scaled by the moves' standard deviation."""
    _check(log_closes, MIN_BASELINE_BARS)
    moves, came = _with_weights(moves_of(log_closes, known))
    count = np.maximum(came.sum(axis=1, keepdims=True), 1)
    slope = moves.sum(axis=1, keepdims=True) / count
    deviation = np.sqrt(((moves - slope) ** 2 * came).sum(axis=1, keepdims=True) / count)
    steps = np.arange(1, horizon + 1)
    # The estimated slope is itself uncertain: its error grows with the step, not with its root.
    return _spread(log_closes[:, -1:] + slope * steps, deviation * np.sqrt(steps * (1 + steps / count)))


def seasonal_naive_quantiles(
    log_closes: FloatArray, horizon: int, season: int, known: Mask | None = None
) -> FloatArray:
    """Repeat the last season, with quantiles scaled by what earlier seasons missed by doing so.

    `season` counts bars (`season.season_bars` of the market); at least two seasons are needed.
    """
    _check(log_closes, max(MIN_BASELINE_BARS, 2 * season))
    steps = np.arange(horizon)
    centre = log_closes[:, -season:][:, steps % season]
    misses = log_closes[:, season:] - log_closes[:, :-season]
    came = np.ones(misses.shape) if known is None else known[:, season:] & known[:, :-season]
    scale = np.sqrt((misses**2 * came).sum(axis=1, keepdims=True) / np.maximum(came.sum(axis=1, keepdims=True), 1))
    return _spread(centre, scale * np.sqrt(steps // season + 1))


def ewma_volatility(log_closes: FloatArray, halflife: float = 48, known: Mask | None = None) -> FloatArray:
    """Return the exponentially weighted root mean square of one-bar log moves, shape (n,)."""
    return _weighted_volatility(moves_of(log_closes, known), halflife)


def naive_scale(log_closes: FloatArray, known: Mask | None = None) -> FloatArray:
    """Return the mean absolute one-bar log move, shape (n,): the denominator of the scaled error."""
    return mean_move(moves_of(log_closes, known))


def mean_move(moves: Moves) -> FloatArray:
    """Return the mean absolute move, shape (n,): what `naive_scale` makes of closes."""
    count = moves.values.shape[1] if moves.came is None else moves.came.sum(axis=1)
    scale: FloatArray = np.abs(moves.values).sum(axis=1) / np.maximum(count, 1)
    return scale


def naive_deviation(log_closes: FloatArray, known: Mask | None = None) -> FloatArray:
    """Return the root mean squared one-bar log move, shape (n,): the denominator of the scaled squared error."""
    moves, came = _with_weights(moves_of(log_closes, known))
    deviation: FloatArray = np.sqrt((moves**2 * came).sum(axis=1) / np.maximum(came.sum(axis=1), 1))
    return deviation


@lru_cache(maxsize=256)
def standard_quantiles(horizon: int) -> FloatArray:
    """Return the standardised quantiles of each step, (horizon, 9), symmetric around zero."""
    steps = np.log(np.arange(1, horizon + 1))
    known = np.log(_STEPS)
    upper = np.stack([np.interp(steps, known, column) for column in zip(*_UPPER_HALF, strict=True)], axis=1)
    quantiles = np.concatenate([-upper[:, ::-1], np.zeros((horizon, 1)), upper], axis=1)
    quantiles.flags.writeable = False
    return quantiles


def _weighted_volatility(moves: Moves, halflife: float) -> FloatArray:
    weights = _decay(moves.values.shape[1], halflife)
    mass = weights.sum() if moves.came is None else moves.came @ weights
    volatility: FloatArray = np.sqrt((moves.values * moves.values) @ weights / np.maximum(mass, _FLOOR))
    return volatility


@lru_cache(maxsize=64)
def _decay(moves: int, halflife: float) -> FloatArray:
    weights: FloatArray = 0.5 ** (np.arange(moves)[::-1] / halflife)
    weights.flags.writeable = False
    return weights


def _with_weights(moves: Moves) -> tuple[FloatArray, FloatArray]:
    """Return the moves and 1 for each that counts, else 0: one row for all where every one does."""
    return moves.values, np.ones((1, moves.values.shape[1])) if moves.came is None else moves.came


def _spread(centre: FloatArray, scale: FloatArray) -> FloatArray:
    quantiles: FloatArray = centre[..., None] + np.maximum(scale, _FLOOR)[..., None] * standard_quantiles(
        centre.shape[1]
    )
    return quantiles


def _root(horizon: int) -> FloatArray:
    return np.array([math.sqrt(step) for step in range(1, horizon + 1)])


def _check(log_closes: FloatArray, need: int) -> None:
    if log_closes.ndim != 2:
        raise ValueError(f"log closes have shape (series, bars), not {log_closes.shape}")
    if log_closes.shape[1] < need:
        raise ValueError(f"this baseline needs {need} bars and got {log_closes.shape[1]}")
    if not np.isfinite(log_closes).all():
        raise ValueError("log closes must be finite")
