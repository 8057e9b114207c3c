"""A forecast as issued: everything needed to tell, store and score it later."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from deployments.forecasting.models import Forecast, ForecastPoint
from deployments.forecasting.quantiles import MEDIAN, FloatArray, bounds_of

_LOG_PRICES = (-700.0, 700.0)


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
    names = [level_name(level) for level in levels]
    bounds = _price(bounds_of(quantiles, levels))
    # Lists, because a number taken out of an array costs ten times as much, and a batch has thousands.
    lower, upper = bounds[:, 0].tolist(), bounds[:, 1].tolist()
    return tuple(
        ForecastPoint(time, median, dict(zip(names, low, strict=True)), dict(zip(names, high, strict=True)))
        for time, median, low, high in zip(times, _price(quantiles[:, MEDIAN]).tolist(), lower, upper, strict=True)
    )


def level_name(level: float) -> str:
    """Return a level as people write it: `80`, `97.5`; no two levels have one name."""
    return repr(float(level)).removesuffix(".0")


def _price(log_prices: FloatArray) -> FloatArray:
    # What no float can hold would be no number in JSON.
    prices: FloatArray = np.exp(np.clip(log_prices, *_LOG_PRICES))
    return prices
