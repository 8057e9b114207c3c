"""How far a price may move: volatility at several memories, joined into one expected scale per step ahead.

A heterogeneous autoregression (Corsi 2009, "A Simple Approximate Long-Memory Model of Realized Volatility") on the
closes alone. Only ratios of volatilities enter, so a symbol that was never seen, in any unit, is scaled alike.
"""

import numpy as np

from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.windows import Windows

HALFLIVES = (3.0, 12.0, 48.0, 168.0)
REFERENCE = 2
"""Index of the half-life whose variance sets the level; the others enter relative to it."""

VARIANCE_FLOOR = 1e-12
RATIO_LIMIT = 6.0
REALISED_FLOOR = 0.02
"""Share of the expected variance added to the realised one: the logarithm of a bar without a move has no bottom."""

RIDGE = 1e-3


def variances(history: FloatArray) -> FloatArray:
    """Return variances per bar of log closes (n, bars), one per half-life, (n, 4)."""
    squares = np.diff(history, axis=1) ** 2
    ages = np.arange(squares.shape[1] - 1, -1, -1)
    weights = 0.5 ** (ages[:, None] / np.array(HALFLIVES))
    result: FloatArray = squares @ (weights / weights.sum(axis=0)) + VARIANCE_FLOOR
    return result


def ratios(variance: FloatArray) -> FloatArray:
    """Return log variances relative to the reference, (n, 3): what regime the market is in."""
    relative = np.delete(np.log(variance / variance[:, [REFERENCE]]), REFERENCE, axis=1)
    return np.clip(relative, -RATIO_LIMIT, RATIO_LIMIT)


def plain_scale(variance: FloatArray, horizon: int) -> FloatArray:
    """Return the standard deviation after 1..horizon steps that the reference variance alone implies."""
    return np.sqrt(variance[:, [REFERENCE]] * np.arange(1, horizon + 1))


def fit_scale(windows: Windows) -> FloatArray:
    """Fit for every step the weights (horizon, 4) that `scales` takes, by ridge regression of log realised variance."""
    variance = variances(windows.history)
    expected = variance[:, [REFERENCE]] * np.arange(1, windows.future.shape[1] + 1)
    path = np.concatenate([windows.history[:, -1:], windows.future], axis=1)
    realised = np.cumsum(np.diff(path, axis=1) ** 2, axis=1)
    target = np.log(realised / expected + REALISED_FLOOR)
    design = _design(variance)
    gram = design.T @ design + RIDGE * len(design) * np.eye(design.shape[1])
    return np.asarray(np.linalg.solve(gram, design.T @ target).T, dtype=np.float64)


def scales(variance: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the expected scale of the log move after each step, (n, horizon)."""
    result: FloatArray = plain_scale(variance, len(weights)) * np.exp(0.5 * _design(variance) @ weights.T)
    return result


def _design(variance: FloatArray) -> FloatArray:
    return np.concatenate([np.ones((len(variance), 1)), ratios(variance)], axis=1)
