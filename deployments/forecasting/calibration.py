"""Making intervals mean what they say, and keeping what is served no worse than the baseline. Plain numpy.

A correction measured on one stretch of market does not always hold on the next: on the shared crypto candles one taken
over in full costs 1 % of pinball loss. So how far to trust it is itself measured, on bars later than those it was
fitted on.
"""

from dataclasses import dataclass

import numpy as np

from deployments.forecasting.evaluation import pinball_losses
from deployments.forecasting.quantiles import MEDIAN, QUANTILES, FloatArray
from deployments.market_data.instants import Times
from deployments.market_data.models import Interval

TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)
BLENDS = tuple(step / 10 for step in range(11))

STRETCH_LIMIT = 2.0
SMOOTHING = 7
"""Steps averaged together: neighbouring steps overlap, so what differs between them is mostly noise."""


DOUBT_HORIZONS = 10
"""Horizons without overlap at which a stretch is trusted by half: windows that overlap err together."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What came, (n, horizon), and what model and baseline had said, (n, horizon, 9), all in log price.

    `horizons` counts the stretches of one horizon, without overlap, that the windows come from.
    """

    actual: FloatArray
    model: FloatArray
    baseline: FloatArray
    horizons: int


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """`stretch` (horizon, 9) multiplies each quantile's distance from the median, `blend` is the model's weight."""

    stretch: FloatArray
    blend: float


def calibrate(earlier: Sample, later: Sample) -> Calibration:
    """Fit stretch and blend; `earlier` proposes the stretch, `later` says how far to trust it and how to blend."""
    trust = fit_trust(later, fit_stretch(earlier.actual, earlier.model))
    trust *= believed(earlier.horizons + later.horizons)
    both = fit_stretch(np.concatenate([earlier.actual, later.actual]), np.concatenate([earlier.model, later.model]))
    stretch = 1 + trust * (both - 1)
    return Calibration(stretch, fit_blend(later.actual, stretched(later.model, stretch), later.baseline))


def believed(horizons: int) -> float:
    """Return the share of a fitted stretch to believe, from 0 without evidence up to 1."""
    return horizons / (horizons + DOUBT_HORIZONS)


def horizons_of(origins: Times, interval: Interval, horizon: int) -> int:
    """Return in how many stretches of `horizon` bars any of these forecasts was made."""
    length = horizon * np.timedelta64(interval.delta)
    return len(np.unique((origins - origins.min()) // length))


def fit_trust(later: Sample, stretch: FloatArray) -> float:
    """Return the share of an earlier stretch that gives the lowest pinball loss; the smaller where two are equal."""
    losses = [
        pinball_losses(later.actual, stretched(later.model, 1 + trust * (stretch - 1))).mean() for trust in TRUSTS
    ]
    return TRUSTS[int(np.argmin(losses))]


def calibrated(quantiles: FloatArray, baseline: FloatArray, calibration: Calibration) -> FloatArray:
    """Return the quantiles to serve: the model's, stretched, mixed with the baseline's, ascending."""
    model = stretched(quantiles, calibration.stretch)
    mixed: FloatArray = np.sort(calibration.blend * model + (1 - calibration.blend) * baseline, axis=-1)
    return mixed


def fit_stretch(actual: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Return how far each quantile should have stood from the median, relative to where it stood, (horizon, 9).

    Split-conformal per step and quantile (Romano, Patterson, Candès 2019, with a multiplicative score), then averaged
    over neighbouring steps and over both tails: the drift of one stretch of market is no forecast of the next. The
    median stays where it is.
    """
    stretch = np.ones(quantiles.shape[1:])
    for index, probability in enumerate(QUANTILES):
        if index != MEDIAN:
            stretch[:, index] = _needed_stretch(actual, quantiles, index, probability)
    even = (stretch + stretch[:, ::-1]) / 2
    return np.clip(_smooth(even), 1 / STRETCH_LIMIT, STRETCH_LIMIT)


def stretched(quantiles: FloatArray, stretch: FloatArray) -> FloatArray:
    """Multiply each quantile's distance from the median and restore the ascending order."""
    median = quantiles[..., [MEDIAN]]
    result: FloatArray = np.sort(median + (quantiles - median) * stretch, axis=-1)
    return result


def fit_blend(actual: FloatArray, model: FloatArray, baseline: FloatArray) -> float:
    """Return the model's weight that gives the lowest pinball loss; the smaller one where two are equal."""
    losses = [pinball_losses(actual, blend * model + (1 - blend) * baseline).mean() for blend in BLENDS]
    return BLENDS[int(np.argmin(losses))]


def _needed_stretch(actual: FloatArray, quantiles: FloatArray, index: int, probability: float) -> FloatArray:
    offset = quantiles[..., index] - quantiles[..., MEDIAN]
    # A distance of nothing cannot be stretched: such a window says nothing and counts as right.
    known = np.abs(offset) > 0
    reached = np.where(known, (actual - quantiles[..., MEDIAN]) / np.where(known, offset, 1.0), 1.0)
    result: FloatArray = np.quantile(reached, max(probability, 1 - probability), axis=0)
    return result


def _smooth(stretch: FloatArray) -> FloatArray:
    reach = min(SMOOTHING, len(stretch)) // 2
    padded = np.pad(stretch, ((reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    result: FloatArray = windows.mean(axis=-1)
    return result
