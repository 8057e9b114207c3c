"""How far a price may move: volatility at several memories, joined into one expected scale per step ahead.

A heterogeneous autoregression (Corsi 2009, "A Simple Approximate Long-Memory Model of Realized Volatility") on the
ranges of bars, divided by what their hour usually brings. Only ratios enter, so a symbol that was never seen, in any
unit and as wild as it may be, is scaled alike.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.season import WEEK, Hours
from deployments.forecasting.series.windows import Past, Windows

HALFLIVES = (1.0, 3.0, 12.0, 48.0, 168.0, 720.0)
REFERENCE = 4
"""Index of the half-life whose variance sets the level; the others enter relative to it."""

DOWNSIDE_HALFLIVES = (12.0, 48.0, 168.0)
TREND_HALFLIVES = (3.0, 12.0, 48.0)

HISTORY_BARS = 1024
"""Bars that a forecast reads. All of them gave no more on the shared crypto candles, half as many cost 0.3 %."""

FLOOR = 1e-12
RATIO_LIMIT = 6.0
TREND_LIMIT = 5.0
UNEVEN = 0.7
"""Log ratio of squared moves to ranges up to which half of it is noise; feeds without real ranges lie far beyond."""

REALISED_FLOOR = 0.02
"""Share of the expected variance added to the realised one: the logarithm of a bar without a move has no bottom."""

RIDGE = 1e-4
REGIME_LIMIT = 5.0

_OTHERS = [index for index in range(len(HALFLIVES)) if index != REFERENCE]

REGIMES = len(HALFLIVES) - 1 + len(DOWNSIDE_HALFLIVES) + len(TREND_HALFLIVES) + 1 + 6
"""How many numbers say what regime a market is in."""


@dataclass(frozen=True, slots=True, eq=False)
class Volatility:
    """What a past says of volatility, without any fit but the season's.

    `level` (n,) is the usual variance of one bar in an hour of factor 1, `evenness` (n,) what a bar's own variance is
    to be multiplied with to be worth as much, `ahead` (n, steps) the sum of the factors of the bars ahead, `regimes`
    (n, `REGIMES`) the rest, relative to the level and unitless.
    """

    level: FloatArray
    evenness: FloatArray
    ahead: FloatArray
    regimes: FloatArray

    @property
    def plain(self) -> FloatArray:
        """The standard deviation after 1, 2, ... steps if volatility stayed at its level, (n, steps)."""
        return np.sqrt(self.level[:, None] * self.ahead)


@dataclass(frozen=True, slots=True, eq=False)
class ScaleFit:
    """What regimes mean for the scale of each step.

    `centre` and `spread` (`REGIMES`,) standardise them, `weights` are (horizon, 1 + `REGIMES`).
    """

    centre: FloatArray
    spread: FloatArray
    weights: FloatArray

    def standardised(self, regimes: FloatArray) -> FloatArray:
        """Return regimes in units of their spread, bounded, (n, `REGIMES`)."""
        bounded: FloatArray = np.clip((regimes - self.centre) / self.spread, -REGIME_LIMIT, REGIME_LIMIT)
        return bounded

    def scales(self, volatility: Volatility) -> FloatArray:
        """Return the expected scale of the log move after each step, (n, horizon)."""
        design = _design(self.standardised(volatility.regimes))
        scales: FloatArray = volatility.plain * np.exp(0.5 * design @ self.weights.T)
        return scales


def volatility_of(past: Past, factors: FloatArray, steps: int) -> Volatility:
    """Measure the volatility of a past for `steps` bars ahead.

    `factors` (n, 168) are each row's hours of the week. Bars that are not known count for nothing.
    """
    moves, paired = past.moves.values, past.moves.came
    ranged = _ranged(past, factors)
    squares = _means(moves * moves, paired, DOWNSIDE_HALFLIVES)
    # Half of squares less signed squares is those of falls: a third of the time that picking them out of rises takes.
    falls = (squares - _means(moves * np.abs(moves), paired, DOWNSIDE_HALFLIVES)) / 2 + FLOOR
    trends = _means(moves, paired, TREND_HALFLIVES) * np.sqrt(TREND_HALFLIVES)
    uneven = np.log(squares[:, -1] / ranged[:, REFERENCE])
    logs = np.log(ranged)
    regimes = [
        logs[:, _OTHERS] - logs[:, [REFERENCE]],
        np.log(falls / squares),
        np.clip(trends / np.sqrt(ranged[:, [REFERENCE]]), -TREND_LIMIT, TREND_LIMIT),
        uneven[:, None],
        _WAVES[past.hours[:, -1]],
    ]
    ahead = np.cumsum(factors[np.arange(len(past))[:, None], past.coming[:, :steps]], axis=1)
    # Half of a small difference is noise, a large one says that the ranges are none: then moves set the level.
    evenness = np.exp(uneven - np.clip(uneven, -UNEVEN, UNEVEN) / 2)
    level = ranged[:, REFERENCE] * evenness
    return Volatility(level, evenness, ahead, np.clip(np.concatenate(regimes, axis=1), -RATIO_LIMIT, RATIO_LIMIT))


def fit_scale(volatility: Volatility, windows: Windows, like: ScaleFit | None = None) -> ScaleFit:
    """Fit by ridge regression of the log variance that came on the regimes before, per step, all symbols together.

    Regimes are standardised as in `like`, where it is given: a network that reads them so need not learn anew.
    """
    centre, spread = (like.centre, like.spread) if like else _standard(volatility.regimes)
    came = windows.came.astype(np.float64)
    realised = volatility.evenness[:, None] * np.cumsum(windows.future_variances * came, axis=1)
    steps = np.diff(volatility.ahead, axis=1, prepend=0.0) * came
    expected = volatility.level[:, None] * np.maximum(np.cumsum(steps, axis=1), 1e-9)
    target = np.log(realised / expected + REALISED_FLOOR)
    unfitted = ScaleFit(centre, spread, np.zeros((target.shape[1], 1 + REGIMES)))
    # While no bar has come nothing is expected and nothing realised, and the floor alone would speak.
    first_came = windows.came[:, 0]
    design, target = _design(unfitted.standardised(volatility.regimes))[first_came], target[first_came]
    gram = design.T @ design + RIDGE * len(design) * np.eye(design.shape[1])
    weights = np.linalg.solve(gram, design.T @ target).T
    return ScaleFit(centre, spread, np.asarray(weights, dtype=np.float64))


def _ranged(past: Past, factors: FloatArray) -> FloatArray:
    """Return the mean variance of bars over the factor of their hour, (n, half-lives)."""
    hourly = _by_hour(1.0 / factors, past.hours)
    if past.moves.came is not None:
        known = past.known.astype(np.float64)
        return _means(past.variances * hourly * known, known, HALFLIVES)
    if len(hourly) > 1:
        return _means(past.variances * hourly, None, HALFLIVES)
    # The weights are few and the variances many: rather those are multiplied.
    ranged: FloatArray = past.variances @ (hourly.T * _shares(hourly.shape[1], HALFLIVES)) + FLOOR
    return ranged


def _means(values: FloatArray, known: FloatArray | None, halflives: tuple[float, ...]) -> FloatArray:
    """Return exponentially weighted means, (n, half-lives), lifted so that none is 0.

    Values are 0 where not known; without `known` all of them are.
    """
    shares = _shares(values.shape[1], halflives)
    means: FloatArray = values @ shares
    if known is not None:
        means /= np.maximum(known @ shares, 1e-9)
    return means + FLOOR


@lru_cache(maxsize=64)
def _shares(bars: int, halflives: tuple[float, ...]) -> FloatArray:
    """Return the share of each bar, oldest first, in the mean over all of them, (bars, half-lives)."""
    ages = np.arange(bars - 1, -1, -1)
    weights = 0.5 ** (ages[:, None] / np.array(halflives))
    shares: FloatArray = weights / np.maximum(weights.sum(axis=0), 1e-9)
    shares.flags.writeable = False
    return shares


def _by_hour(factors: FloatArray, hours: Hours) -> FloatArray:
    """Return each row's factors (n, 168) at its hours (n, bars), in one row where all are alike."""
    if (hours == hours[:1]).all() and (factors == factors[:1]).all():
        alike: FloatArray = factors[:1].take(hours[0], axis=1)
        return alike
    # Flat positions are found three times as fast as pairs.
    starts = np.arange(len(factors))[:, None] * factors.shape[1]
    found: FloatArray = np.ascontiguousarray(factors).ravel().take(np.add(hours, starts))
    return found


def _standard(regimes: FloatArray) -> tuple[FloatArray, FloatArray]:
    return regimes.mean(axis=0), regimes.std(axis=0) + 1e-6


def _waves() -> FloatArray:
    """Return where each hour of the week stands in its day and its week, (168, 6)."""
    hours = np.arange(WEEK)
    day, week = 2 * np.pi * (hours % 24) / 24, 2 * np.pi * hours / WEEK
    return np.stack([wave(angle) for angle in (day, 2 * day, week) for wave in (np.sin, np.cos)], axis=1)


_WAVES = _waves()


def _design(regimes: FloatArray) -> FloatArray:
    return np.concatenate([np.ones((len(regimes), 1)), regimes], axis=1)
