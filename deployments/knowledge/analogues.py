"""Find past windows of the same shape and what followed them; exact.

A window's shape is its log closes, less their mean, divided by their deviation. The distance of two shapes is
Euclidean, between 0 and `2 * sqrt(window)`; for one query it is a single product with all windows, which at 24,000
bars takes a millisecond, less than any index would save.
"""

from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deployments.common.errors import InvalidRequest, TooLittleHistory
from deployments.knowledge.models import Analogue, AnalogueQuery, Analogues, ReturnDistribution
from deployments.market_data.models import Candles

Series = npt.NDArray[np.float64]

MAX_BARS = 24_000
"""Bars of history that are compared."""

WINDOW_LIMITS = (4, 1_000)
HORIZON_LIMITS = (1, 500)
K_LIMITS = (1, 100)

_QUANTILES = (10, 25, 50, 75, 90)
_FLAT = 1e-12


def check_query(query: AnalogueQuery) -> None:
    """Raise `InvalidRequest` naming each field out of bounds."""
    limits = {"window": WINDOW_LIMITS, "horizon": HORIZON_LIMITS, "k": K_LIMITS}
    wrong = tuple(
        (name, f"must be between {low} and {high}")
        for name, (low, high) in limits.items()
        if not low <= getattr(query, name) <= high
    )
    if wrong:
        raise InvalidRequest("The analogue query is out of bounds.", wrong)


def find_analogues(candles: Candles, query: AnalogueQuery) -> Analogues:
    """Compare the last `window` bars with all earlier windows whose `horizon` has passed within these candles.

    No match overlaps the query, and none overlaps a better match by more than half. Raises `TooLittleHistory`.
    """
    closes = candles.table["close"].to_numpy()
    _check_history(len(closes), query)
    distances = shape_distances(np.log(closes), query.window, query.horizon)
    returns = (closes[query.horizon :] / closes[: -query.horizon] - 1.0) * 100.0
    starts = best_starts(distances, query.k, query.window)
    after_matches = returns[[start + query.window - 1 for start in starts]] if starts else np.empty(0)
    times = candles.table["time"]
    return Analogues(
        symbol=candles.symbol,
        interval=candles.interval,
        window=query.window,
        horizon=query.horizon,
        data_as_of=candles.data_as_of or times[-1].as_py() + candles.interval.delta,
        matches=tuple(_match(candles.symbol, times, closes, start, distances[start], query) for start in starts),
        conditional=distribution(after_matches),
        unconditional=distribution(returns),
        stale=candles.stale,
    )


def shape_distances(log_closes: Series, window: int, horizon: int) -> Series:
    """Return the distance of the last window's shape to each window that may match, by its first bar.

    A window may match when it ends before the query begins and its horizon ends within the data; flat windows have no
    shape and are infinitely far.
    """
    windows = np.lib.stride_tricks.sliding_window_view(log_closes, window)
    last_start = min(len(log_closes) - 2 * window, len(log_closes) - window - horizon)
    target = _shape(log_closes[-window:])
    past = windows[: last_start + 1]
    deviations = past.std(axis=1)
    moving = deviations > _FLAT
    correlation = np.divide(past @ target, deviations * window, out=np.full(len(past), -np.inf), where=moving)
    distances: Series = np.sqrt(np.maximum(0.0, 2.0 * window * (1.0 - correlation)))
    return distances


def best_starts(distances: Series, k: int, window: int) -> list[int]:
    """Return the first bars of the `k` nearest windows, nearest first, no two sharing more than half of their bars."""
    free = np.isfinite(distances)
    chosen: list[int] = []
    for start in np.argsort(distances, kind="stable"):
        if len(chosen) == k:
            break
        if free[start]:
            chosen.append(int(start))
            free[max(0, start - window // 2 + (window + 1) % 2) : start + (window + 1) // 2] = False
    return chosen


def distribution(returns: Series) -> ReturnDistribution:
    """Return quantiles and share of rises of returns in percent; all zero for none."""
    if len(returns) == 0:
        return ReturnDistribution({str(level): 0.0 for level in _QUANTILES}, 0.0, 0)
    values = np.percentile(returns, _QUANTILES)
    quantiles = {str(level): float(value) for level, value in zip(_QUANTILES, values, strict=True)}
    return ReturnDistribution(quantiles, float((returns > 0.0).mean()), len(returns))


def _check_history(bars: int, query: AnalogueQuery) -> None:
    need = query.window + max(query.window, query.horizon)
    if bars < need:
        raise TooLittleHistory(f"{query.symbol} has {bars} bars; analogues need {need}", bars, need)


def _shape(window: Series) -> Series:
    """Return the window with mean 0 and deviation 1, or zeros for a flat one."""
    deviation = window.std()
    centred = window - window.mean()
    return centred / deviation if deviation > _FLAT else np.zeros_like(window)


def _match(
    symbol: str, times: pa.ChunkedArray, closes: Series, start: int, distance: float, query: AnalogueQuery
) -> Analogue:
    last = start + query.window - 1
    after = (closes[last + 1 : last + 1 + query.horizon] / closes[last] - 1.0) * 100.0
    first_time: datetime = times[start].as_py()
    return Analogue(symbol, first_time, times[last].as_py(), float(distance), tuple(after.tolist()))
