"""Making intervals mean what they say, and keeping what is served no worse than the baseline. Plain numpy.

A correction measured on one stretch of market does not always hold on the next: on the shared crypto candles one taken
over in full costs 1 % of pinball loss. So how far to trust it is itself measured, on bars later than those it was
fitted on.
"""

import math
from dataclasses import dataclass

import numpy as np

from deployments.forecasting.judging.evaluation import pinball_losses
from deployments.forecasting.quantiles import MEDIAN, QUANTILES, FloatArray, ascending, mixed
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
    """What came, (n, horizon), and what had been said, (n, horizon, 9), all in log price.

    `model` is the network's correction of `prior`, what volatility alone says; `baseline` serves where no model does.
    `horizons` counts the stretches of one horizon, without overlap, that the windows come from.
    """

    actual: FloatArray
    model: FloatArray
    prior: FloatArray
    baseline: FloatArray
    horizons: int


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What is done to the network's quantiles before they are served, in this order.

    `share` is their weight beside what volatility alone says (`recipe.quantiles_of`), `stretch` (horizon, 9) multiplies
    each quantile's distance from the median, `blend` is the weight of it all beside the baseline.
    """

    stretch: FloatArray
    blend: float
    share: float = 1.0


def calibrate(earlier: Sample, later: Sample) -> Calibration:
    """Fit share, stretch and blend; `earlier` proposes the stretch, `later` says how far to trust it and the rest.

    The share comes first and from `later` alone: the network was stopped where it did best on the earlier windows. Few
    horizons hardly take anything from it: fitted on a month of stocks, whose network was the better one, it was 0.
    """
    share = 1 - believed(later.horizons) * (1 - fit_blend(later.actual, later.model, later.prior))
    before, after = (mixed(each.model, each.prior, share) for each in (earlier, later))
    trust = fit_trust(later.actual, after, fit_stretch(earlier.actual, before))
    trust *= believed(earlier.horizons + later.horizons)
    both = fit_stretch(np.concatenate([earlier.actual, later.actual]), np.concatenate([before, after]))
    stretch = 1 + trust * (both - 1)
    return Calibration(stretch, fit_blend(later.actual, stretched(after, stretch), later.baseline), share)


def believed(horizons: int) -> float:
    """Return the share of a fitted stretch to believe, from 0 without evidence up to 1."""
    return horizons / (horizons + DOUBT_HORIZONS)


def horizons_of(origins: Times, interval: Interval, horizon: int) -> int:
    """Return how many horizons of `horizon` bars without overlap these forecasts come to.

    Bars are counted, not hours: a market that opens for seven of them a day takes days for 24.
    """
    instants = np.unique(origins)
    apart = np.median(np.diff(instants)) / np.timedelta64(interval.delta) if len(instants) > 1 else 1.0
    return math.ceil(len(instants) / max(horizon / apart, 1.0))


def fit_trust(actual: FloatArray, model: FloatArray, stretch: FloatArray) -> float:
    """Return the share of an earlier stretch that gives the lowest pinball loss; the smaller where two are equal."""
    losses = [pinball_losses(actual, stretched(model, 1 + trust * (stretch - 1))).mean() for trust in TRUSTS]
    return TRUSTS[int(np.argmin(losses))]


def calibrated(model: FloatArray, baseline: FloatArray, calibration: Calibration) -> FloatArray:
    """Return the quantiles to serve, ascending: the model's, the network's share in them, stretched and blended."""
    own = stretched(model, calibration.stretch)
    served: FloatArray = np.sort(mixed(own, baseline, calibration.blend), axis=-1)
    return served


def fit_stretch(actual: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Return how far each quantile should have stood from the median, relative to where it stood, (horizon, 9).

    Split-conformal per step and quantile (Romano, Patterson, Candès 2019, with a multiplicative score) at the rank
    that covers the window after these (`conformal_rank`), then averaged over neighbouring steps and over both tails:
    the drift of one stretch of market is no forecast of the next. The median stays where it is.
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
    return ascending(median + (quantiles - median) * stretch)


def fit_blend(actual: FloatArray, model: FloatArray, baseline: FloatArray) -> float:
    """Return the model's weight that gives the lowest pinball loss; the smaller one where two are equal."""
    losses = [pinball_losses(actual, mixed(model, baseline, blend)).mean() for blend in BLENDS]
    return BLENDS[int(np.argmin(losses))]


def conformal_rank(n: int, probability: float) -> int:
    """Return which of `n` scores in ascending order, from 1 on, the next one stays below with `probability`.

    ceil((n + 1) p) and not n p: the next score is as likely to fall into any of the n + 1 gaps (Vovk, Gammerman, Shafer
    2005; Angelopoulos, Bates 2021). Beyond `n` no score is large enough.
    """
    # Rounded first: 0.95 of 20 gaps is 19, and not the 19.000000000000004 of binary fractions.
    return max(1, math.ceil(round((n + 1) * probability, 9)))


def _needed_stretch(actual: FloatArray, quantiles: FloatArray, index: int, probability: float) -> FloatArray:
    offset = quantiles[..., index] - quantiles[..., MEDIAN]
    # A distance of nothing cannot be stretched: such a window says nothing and counts as right.
    known = np.abs(offset) > 0
    reached = np.where(known, (actual - quantiles[..., MEDIAN]) / np.where(known, offset, 1.0), 1.0)
    rank = conformal_rank(len(actual), max(probability, 1 - probability))
    if rank > len(actual):
        # So few windows bound so rare a quantile by nothing: as wide as may be, where there is a width at all.
        return np.where(known.any(axis=0), STRETCH_LIMIT, 1.0)
    result: FloatArray = np.partition(reached, rank - 1, axis=0)[rank - 1]
    return result


def _smooth(stretch: FloatArray) -> FloatArray:
    reach = min(SMOOTHING, len(stretch)) // 2
    padded = np.pad(stretch, ((reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    result: FloatArray = windows.mean(axis=-1)
    return result
