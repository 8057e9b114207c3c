"""Technical indicators of the last bar: the door to TA-Lib. Columns in, plain floats out."""

import math
from dataclasses import dataclass

import numpy as np
import talib
from numpy.typing import NDArray

Column = NDArray[np.float64]

RSI_BARS = 14
ATR_BARS = 14
SMA_SHORT_BARS = 20
SMA_LONG_BARS = 50
MACD_BARS = (12, 26, 9)
BOLLINGER_BARS = 20
BOLLINGER_DEVIATIONS = 2.0


@dataclass(frozen=True, slots=True)
class Indicators:
    """Indicators at the last bar, None where the history is too short for them.

    `rsi` runs from 0 to 100, `atr_percent` is in percent of the close, `sma_short`, `sma_long` and `macd_histogram`
    are in quote currency, `bollinger_percent` is the place of the close in its band: 0 at the lower, 100 at the upper
    edge, beyond outside of it.
    """

    rsi: float | None
    atr_percent: float | None
    sma_short: float | None
    sma_long: float | None
    macd_histogram: float | None
    bollinger_percent: float | None


def indicators(high: Column, low: Column, close: Column) -> Indicators:
    """Compute the indicators of the last of equally long, ascending, gapless columns in quote currency."""
    # TA-Lib reads C-contiguous float64 only, and an empty array is an error there.
    high, low, close = (np.ascontiguousarray(column, dtype=np.float64) for column in (high, low, close))
    if len(close) == 0:
        return Indicators(None, None, None, None, None, None)
    return Indicators(
        rsi=_last(talib.RSI(close, RSI_BARS)),
        atr_percent=_percent_of(_last(talib.ATR(high, low, close, ATR_BARS)), float(close[-1])),
        sma_short=_last(talib.SMA(close, SMA_SHORT_BARS)),
        sma_long=_last(talib.SMA(close, SMA_LONG_BARS)),
        macd_histogram=_last(talib.MACD(close, *MACD_BARS)[2]),
        bollinger_percent=_band_position(close),
    )


def _last(values: Column) -> float | None:
    value = float(values[-1])
    return value if math.isfinite(value) else None


def _percent_of(value: float | None, whole: float) -> float | None:
    return None if value is None or whole <= 0 else 100.0 * value / whole


def _band_position(close: Column) -> float | None:
    upper, _, lower = talib.BBANDS(close, BOLLINGER_BARS, BOLLINGER_DEVIATIONS, BOLLINGER_DEVIATIONS)
    top, bottom = _last(upper), _last(lower)
    if top is None or bottom is None or top <= bottom:
        return None
    return 100.0 * (float(close[-1]) - bottom) / (top - bottom)
