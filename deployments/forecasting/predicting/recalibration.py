"""Intervals corrected by what became of the forecasts issued before: a bounded stretch of each quantile. Pure numpy.

The market of the last weeks is seldom as wild as that of the years a model was trained on. Forecasts whose bars have
arrived say by how much, pooled over symbols in units of what each had said, so that a new symbol profits at once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.forecasting.predicting.calibration import fit_stretch, horizons_of, stretched
from deployments.forecasting.quantiles import QUANTILES, FloatArray
from deployments.market_data.instants import Times
from deployments.market_data.models import Interval

TRAILING = np.timedelta64(90, "D")
"""How far back resolved forecasts count: 60 to 90 days did best on the shared crypto candles."""

MIN_HORIZONS = 10
"""Horizons without overlap that the resolved forecasts must span before they change anything."""

NOISE = 1.0
"""Standard error of the logarithm of a stretch fitted on one horizon; more symbols help little, for they err together.

With 90 horizons a stretch of 5 % is believed to a sixth, one of 25 % to four fifths: following every fashion of the
market cost 0.1 to 0.2 % of pinball loss, and intervals that are right to a point or two need no correction.
"""

BOUND = 1.5
"""A stretch beyond this, or below its inverse, is never applied: it would say that the model is broken."""


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """Forecasts of one series of models whose bars have all arrived, of any symbols, in any order.

    `actual` (n, horizon) are log closes, `quantiles` (n, horizon, 9) what the model had said in log price before any
    recalibration, `origins` (n,) the openings of the last bars read, `datetime64[us]`; bars last an `interval`.
    """

    actual: FloatArray
    quantiles: FloatArray
    origins: Times
    interval: Interval


@dataclass(frozen=True, slots=True, eq=False)
class Recalibration:
    """`stretch` (horizon, 9) multiplies each quantile's distance from the median; `n` forecasts stand behind it."""

    stretch: FloatArray
    n: int

    @property
    def horizon(self) -> int:
        return len(self.stretch)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold and `from_dict` takes."""
        return {"stretch": self.stretch.tolist(), "n": self.n}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Recalibration":
        """Raises `ValueError` for what `as_dict` never returns."""
        stretch = np.asarray(fields.get("stretch"), dtype=np.float64)
        if stretch.ndim != 2 or stretch.shape[1] != len(QUANTILES) or not (np.isfinite(stretch) & (stretch > 0)).all():
            raise ValueError(f"a stretch has shape (horizon, {len(QUANTILES)}) and is above 0, not {stretch.shape}")
        return cls(stretch, int(fields["n"]))


def unchanged(horizon: int) -> Recalibration:
    """Return the recalibration that changes nothing."""
    return Recalibration(np.ones((horizon, len(QUANTILES))), 0)


def fit_recalibration(resolved: Resolved) -> Recalibration:
    """Fit the stretch that would have given the resolved forecasts of the trailing 90 days their nominal coverage.

    Trusted the more the longer they reach back and the further it is from 1, as James and Stein shrink, and
    `unchanged` while they span fewer than `MIN_HORIZONS` horizons.
    """
    horizon = resolved.actual.shape[1]
    if not len(resolved.actual):
        return unchanged(horizon)
    recent = resolved.origins > resolved.origins.max() - TRAILING
    independent = horizons_of(resolved.origins[recent], resolved.interval, horizon)
    if independent < MIN_HORIZONS:
        return unchanged(horizon)
    wanted = np.log(fit_stretch(resolved.actual[recent], resolved.quantiles[recent]))
    trust = wanted**2 / (wanted**2 + NOISE**2 / independent)
    stretch = np.clip(np.exp(trust * wanted), 1 / BOUND, BOUND)
    return Recalibration(stretch, int(recent.sum()))


def apply(quantiles: FloatArray, recalibration: Recalibration) -> FloatArray:
    """Return quantiles (..., at most `horizon` steps, 9) in log price with the stretch applied, ascending."""
    return stretched(quantiles, recalibration.stretch[: quantiles.shape[-2]])
