"""The quantile grid that every model and baseline answers on, and what lies between its points."""

from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

QUANTILES: tuple[float, ...] = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
"""Probabilities of the grid, ascending and symmetric; the last axis of every quantile array follows them."""

MEDIAN = QUANTILES.index(0.5)

_NORMAL_SCORES = np.array([NormalDist().inv_cdf(probability) for probability in QUANTILES])


def interval_bounds(quantiles: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper bound of the central prediction interval of `level` percent.

    `quantiles` has shape (..., 9) over `QUANTILES`; both answers have shape (...). Between grid points the value is
    linear in the normal score of the probability, where a normal distribution is exact; beyond 95 % the outermost
    slope goes on. Intervals of rising levels nest. Raises `ValueError` for a level outside (0, 100).
    """
    bounds = bounds_of(quantiles, (level,))
    return bounds[..., 0, 0], bounds[..., 1, 0]


def bounds_of(quantiles: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """Return what `interval_bounds` does for many levels at once, (..., 2, levels): lower bounds, then upper ones."""
    left, share = _places(levels)
    ordered = ascending(quantiles)
    below = ordered[..., left]
    bounds: FloatArray = below + share * (ordered[..., left + 1] - below)
    return bounds


def mixed(first: FloatArray, second: FloatArray, share: float) -> FloatArray:
    """Return the weighted mean of two forecasts' quantiles, the first one's weight being `share`."""
    return share * first + (1 - share) * second


def ascending(quantiles: FloatArray) -> FloatArray:
    """Return quantiles (..., 9) sorted along the last axis; rows that ascend already, as nearly all do, cost a look."""
    count = quantiles.shape[-1]
    flat = quantiles.reshape(-1)
    falls = ~(flat[1:] >= flat[:-1])
    falls[count - 1 :: count] = False  # from one row to the next
    crossed = np.unique(np.flatnonzero(falls) // count)
    if not len(crossed):
        return quantiles
    rows = quantiles.reshape(-1, count).copy()
    rows[crossed] = np.sort(rows[crossed], axis=-1)
    return rows.reshape(quantiles.shape)


@lru_cache(maxsize=256)
def _places(levels: tuple[float, ...]) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return the grid point left of each bound and the bound's share of the way to the next, both (2, levels)."""
    for level in levels:
        if not 0 < level < 100:
            raise ValueError(f"a level lies between 0 and 100, not at {level:g}")
    # The score of the tail and its mirror image: the probability above rounds to 1 where the level is close to 100.
    lower = np.array([NormalDist().inv_cdf((1 - level / 100) / 2) for level in levels])
    scores = np.stack([lower, -lower])
    left = np.clip(np.searchsorted(_NORMAL_SCORES, scores), 1, len(QUANTILES) - 1) - 1
    share: FloatArray = (scores - _NORMAL_SCORES[left]) / (_NORMAL_SCORES[left + 1] - _NORMAL_SCORES[left])
    return left, share
