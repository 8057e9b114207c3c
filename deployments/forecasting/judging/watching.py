"""Is a forecaster worse, asked again with every bar and for as long as it serves? Pure functions only.

A test at 1 % that is asked every few minutes calls a tie lost sooner or later: over 90 daily looks, by simulation, in
12 to 17 of 100 cases. So live forecasts face a bound that a tie hardly ever crosses, however often it is looked at: the
normal mixture of Robbins (1970) in the form of Howard, Ramdas, McAuliffe and Sekhon (2021). Choe and Ramdas (2023) put
it to sequential forecasts, Waudby-Smith et al. (2024) to statistics that are normal only in the long run, as this one.
"""

import math

from scipy.special import ndtri, stdtr

from deployments.forecasting.judging.comparison import (
    MIN_HORIZONS,
    MIN_INSTANTS,
    by_instant,
    diebold_mariano,
    overlapping,
)
from deployments.forecasting.judging.evaluation import PairedLosses

KEENEST = 5.0
"""Horizons without overlap from which on the bound is nearly as low as it gets; before it few have anything to tell."""


def is_worse(own: PairedLosses, other: PairedLosses, horizon: int, error_rate: float) -> bool:
    """Tell whether forecasts lost to another's of the same windows, by a rule that may be asked at any time.

    Of forecasters that are equally good it says so, ever, in about `error_rate` of all cases. The statistic is that of
    `comparison.compare`. False with too few instants for any test.
    """
    instants, mine = by_instant(own.origins, own.losses)
    _, others = by_instant(other.origins, other.losses)
    overlap = overlapping(instants, horizon)
    if len(instants) < max(MIN_INSTANTS, MIN_HORIZONS * overlap):
        return False
    chance = float(stdtr(len(instants) - 1, diebold_mariano(others - mine, overlap)))
    return -float(ndtri(chance)) >= bound(len(instants) / overlap, error_rate)


def bound(horizons: float, error_rate: float) -> float:
    """Return how many standard errors a lag must reach after so many horizons without overlap.

    The chance that the mean of noise ever does, after whichever number of horizons, is `error_rate`.
    """
    growth = (horizons + KEENEST) / KEENEST
    return math.sqrt(2 * (1 + KEENEST / horizons) * math.log(math.sqrt(growth) / (2 * error_rate) + 1))


def spent(error_rate: float, period: int) -> float:
    """Return the part of an error rate that belongs to a period, from 0 on; all of them together come to the whole."""
    return error_rate / ((period + 1) * (period + 2))
