"""A forecast as issued: everything needed to tell, store and score it later."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from deployments.forecasting.models import Forecast, ForecastPoint
from deployments.forecasting.quantiles import MEDIAN, FloatArray, interval_bounds


@dataclass(frozen=True, slots=True, eq=False)
class IssuedForecast:
    """A forecast with its quantiles and those of the baseline, both (horizon, 9) in log price.

    `last_time` opens the last candle it saw and `last_close` is its log close; `scale` is the mean absolute one-bar
    log move before it, the denominator of the scaled error. `raw` are the model's own quantiles where a recalibration
    changed them, None where `quantiles` are those.
    """

    forecast: Forecast
    last_time: datetime
    last_close: float
    scale: float
    quantiles: FloatArray
    baseline: FloatArray
    raw: FloatArray | None = None

    @property
    def model_quantiles(self) -> FloatArray:
        """What the model itself had said."""
        return self.quantiles if self.raw is None else self.raw

    @property
    def key(self) -> str:
        """What makes this forecast the same as another: symbol, interval, horizon, last candle and model."""
        told = self.forecast
        model = told.model.version or told.model.name
        return f"{told.symbol}|{told.interval}|{told.horizon}|{self.last_time:%Y%m%dT%H%M%S}|{model}"


def points_of(
    quantiles: FloatArray, times: tuple[datetime, ...], levels: tuple[float, ...]
) -> tuple[ForecastPoint, ...]:
    """Return one point per step, in prices, from log-price quantiles (horizon, 9)."""
    median = np.exp(quantiles[:, MEDIAN])
    bounds = {level_name(level): np.exp(interval_bounds(quantiles, level)) for level in levels}
    return tuple(
        ForecastPoint(
            time=time,
            median=float(median[step]),
            lower={name: float(lower[step]) for name, (lower, _) in bounds.items()},
            upper={name: float(upper[step]) for name, (_, upper) in bounds.items()},
        )
        for step, time in enumerate(times)
    )


def level_name(level: float) -> str:
    """Return a level as people write it: `80`, `97.5`."""
    return f"{level:g}"
