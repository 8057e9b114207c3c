"""Is one forecaster better than another, or was it luck? Paired losses over time, pure numpy.

Forecasts of one instant err together, whatever their symbol, and forecasts whose horizons overlap err together too. So
losses are first averaged over each instant, and what is left is a time series whose neighbours are not independent.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from deployments.forecasting.judging.evaluation import PairedLosses
from deployments.forecasting.quantiles import FloatArray

Instants = npt.NDArray[np.datetime64]

RESAMPLES = 2_000
BLOCK_HORIZONS = 2
"""Horizons in a block and in the window of the variance: losses of clustered volatility remember longer than one."""

MIN_INSTANTS = 20
"""Instants below which nothing is significant."""

MIN_HORIZONS = 5
"""Horizons without overlap below which nothing is: over two of them a tie would count as a lead in 14 of 100 cases."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate's pinball loss beside another's, over `instants` instants.

    `ratio` is theirs over all instants, below 1 is better; `low` and `high` bound it with 95 % confidence each way.
    `p_better` is the chance of such a lead, or a larger one, between forecasters that are equally good, `p_worse` that
    of such a lag. All are NaN, and both chances 1, where there is too little to tell.
    """

    ratio: float
    low: float
    high: float
    p_better: float
    p_worse: float
    instants: int


def compare(candidate: PairedLosses, other: PairedLosses, horizon: int, seed: int = 1) -> Comparison:
    """Compare two forecasters scored on the same windows; raises `ValueError` where they are not the same."""
    if candidate.origins.shape != other.origins.shape or (candidate.origins != other.origins).any():
        raise ValueError("only forecasts of the same windows can be compared")
    instants, own = by_instant(candidate.origins, candidate.losses)
    _, others = by_instant(other.origins, other.losses)
    overlap = overlapping(instants, horizon)
    if len(instants) < max(MIN_INSTANTS, MIN_HORIZONS * overlap) or not (others.mean() > 0):
        return Comparison(math.nan, math.nan, math.nan, 1.0, 1.0, len(instants))
    statistic = diebold_mariano(others - own, overlap)
    ratios = resampled_ratios(own, others, BLOCK_HORIZONS * overlap, seed)
    p_worse = float(stdtr(len(instants) - 1, statistic))
    low, high = (float(bound) for bound in np.quantile(ratios, (0.05, 0.95)))
    return Comparison(float(own.mean() / others.mean()), low, high, 1 - p_worse, p_worse, len(instants))


def by_instant(origins: Instants, losses: FloatArray) -> tuple[Instants, FloatArray]:
    """Return the distinct instants, ascending, and the mean loss at each."""
    instants, places = np.unique(origins, return_inverse=True)
    means: FloatArray = np.bincount(places, weights=losses) / np.bincount(places)
    return instants, means


def overlapping(instants: Instants, horizon: int) -> int:
    """Return how many neighbouring instants share bars of their horizons; the bar is the smallest distance seen."""
    distances = np.diff(instants).astype(np.float64)
    return max(1, math.ceil(horizon * float(distances.min() / np.median(distances)))) if len(distances) else 1


def diebold_mariano(differences: FloatArray, overlap: int) -> float:
    """Return the statistic for "the mean of these loss differences is zero", to be read in Student's t with n - 1.

    The test is Diebold and Mariano's (1995), the variance Newey and West's (1987) over twice the overlap, the
    correction for small samples that of Harvey, Leybourne and Newbold (1997). A variance over a wide window is itself
    uncertain: `_widening` makes up for it. 0 where nothing differs.
    """
    count = len(differences)
    lags = min(BLOCK_HORIZONS * overlap, count // 4)
    variance = long_run_variance(differences, lags)
    if variance <= 0:
        return 0.0
    corrected = max((count + 1 - 2 * overlap + overlap * (overlap - 1) / count) / count, 0.0)
    return float(differences.mean() * math.sqrt(corrected * count / variance) / _widening(lags / count))


def long_run_variance(series: FloatArray, lags: int) -> float:
    """Return the variance that the mean of an autocorrelated series has, times its length: Bartlett weights."""
    centred = series - series.mean()
    variance = float(centred @ centred)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag])
    return variance / len(series)


def resampled_ratios(own: FloatArray, others: FloatArray, block: int, seed: int) -> FloatArray:
    """Return the ratio of the means in `RESAMPLES` draws of circular blocks, the same blocks for both.

    Politis and Romano's (1992) circular block bootstrap.
    """
    count = len(own)
    block = max(1, min(block, count // 2))
    starts = np.random.default_rng(seed).integers(0, count, (RESAMPLES, math.ceil(count / block)))
    sums = [_block_sums(series, block)[starts].sum(axis=1) for series in (own, others)]
    ratios: FloatArray = sums[0] / sums[1]
    return ratios


def _widening(share: float) -> float:
    """Return how much wider than the normal's the 95 % point is with Bartlett weights over `share` of the series.

    Kiefer and Vogelsang (2005).
    """
    return (1.6449 + 2.1859 * share + 0.3142 * share**2 - 0.3427 * share**3) / 1.6449


def _block_sums(series: FloatArray, block: int) -> FloatArray:
    """Return the sum of the block that begins at each place, going on at the beginning after the end."""
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([series, series[: block - 1]]))])
    sums: FloatArray = total[block:] - total[:-block]
    return sums
