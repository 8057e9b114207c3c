"""What became of issued forecasts: resolved once the close of every step is known. Pure functions only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from deployments.forecasting.issued import IssuedForecast
from deployments.forecasting.judging.evaluation import PairedLosses, pinball_losses
from deployments.forecasting.quantiles import FloatArray

GIVEN_UP_AFTER = timedelta(days=7)
"""Time after which a bar that has not come is not waited for: late and corrected bars come within days."""


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedForecast:
    """A forecast with the log closes that followed and the mean pinball losses; all None where a bar never came."""

    issued: IssuedForecast
    actual: FloatArray | None
    pinball: float | None
    baseline_pinball: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Resolved forecasts of one model version and horizon as arrays, by ascending origin.

    `actual` (n, horizon) log closes, `raw` (n, horizon, 9) what the model itself had said, `origins` (n,) the openings
    of the last bars read, the mean pinball losses (n,) as issued and of the baseline issued along, and `symbols` (n,).
    """

    actual: FloatArray
    raw: FloatArray
    origins: npt.NDArray[np.datetime64]
    pinball: FloatArray
    baseline_pinball: FloatArray
    symbols: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.actual)

    @property
    def own_losses(self) -> PairedLosses:
        return PairedLosses(self.origins, self.pinball, self.symbols)

    @property
    def baseline_losses(self) -> PairedLosses:
        return PairedLosses(self.origins, self.baseline_pinball, self.symbols)


def resolve(issued: IssuedForecast, closes: Mapping[datetime, float], now: datetime) -> ResolvedForecast | None:
    """Return what became of a forecast, None while it is open; `closes` are log closes by their bar's opening."""
    points = issued.forecast.points
    known = [closes[point.time] for point in points if point.time in closes]
    if len(known) == len(points):
        actual = np.array(known)
        losses = [float(pinball_losses(actual, said).mean()) for said in (issued.quantiles, issued.baseline)]
        return ResolvedForecast(issued, actual, *losses)
    if now - points[-1].time > GIVEN_UP_AFTER:
        return ResolvedForecast(issued, None, None, None)
    return None
