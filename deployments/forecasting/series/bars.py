"""One symbol's candles on the grid of its calendar: what training and serving both read, made in one place."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deployments.common.errors import BadUpstream
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.season import Hours, hours_of_week
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import MICROSECOND, Times, times_of, to_datetime, to_numpy
from deployments.market_data.models import Interval
from deployments.market_data.quality.checks import missing_runs

Mask = npt.NDArray[np.bool_]

LEAST_PRESENT = 0.8
"""Share of a calendar's bars below which it is plainly not this symbol's: then its bars simply follow each other."""

MOST_INCOMPLETE = 0.05
"""Share of bars added up from too few finer ones above which a feed plainly leaves out finer bars without trades: such
bars are as whole as they get. Of windows of 24 bars one in four would have none of them masked."""

NEIGHBOURS = 480
"""Bars up to and with an incomplete one in which that share is taken: training reads years, serving weeks, and both
have to judge a bar alike."""

_GK_CLOSE = 2 * np.log(2) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Bars in time order on one calendar's grid; a weekend or a night is no hole, a bar that never came is.

    `times` open the bars. Where `known` is False `log_closes` goes on with the last one and `variances` is 0.
    `variances` are those of one bar's log move: Garman and Klass's (1980) estimate from open, high, low and close, plus
    the squared move since the close before. `hours` say when in its week each bar opens.
    """

    times: Times
    log_closes: FloatArray
    variances: FloatArray
    known: Mask
    hours: Hours

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, part: slice) -> "Bars":
        return Bars(self.times[part], self.log_closes[part], self.variances[part], self.known[part], self.hours[part])


def bars_of(
    table: pa.Table, calendar: str, interval: Interval, symbol: str = "", incomplete: Sequence[datetime] = ()
) -> Bars:
    """Put candles (`CANDLE_SCHEMA`) onto the grid of `calendar`, missing ones masked.

    Those that open at an instant of `incomplete` were added up with finer bars missing: their range is too narrow and
    their close may be an early one, so they are masked too, unless more than `MOST_INCOMPLETE` of all nearby are so.
    Raises `BadUpstream` where a price has no logarithm or time runs back: such rows should have been quarantined.
    """
    times = times_of(table)
    if (np.diff(times) <= np.timedelta64(0)).any():
        raise BadUpstream(f"The candles of {symbol} do not ascend in time")
    grid = _grid(times, calendar, interval)
    if incomplete and not (whole := _whole(times, incomplete)).all():
        table, times = table.filter(pa.array(whole)), times[whole]
    opens, highs, lows, closes = (_logarithms(table, name, times, symbol) for name in ("open", "high", "low", "close"))
    hours = hours_of_week(grid, calendar, interval)
    if len(times) == len(grid):
        # As with nearly every symbol: there is nothing to put anywhere.
        return Bars(grid, closes, _variances(opens, highs, lows, closes, 1), np.ones(len(grid), dtype=bool), hours)
    place = np.searchsorted(grid, times)
    known = np.zeros(len(grid), dtype=bool)
    known[place] = True
    variances = np.zeros(len(grid))
    variances[place] = _variances(opens, highs, lows, closes, np.diff(place, prepend=place[:1] - 1))
    latest = np.maximum.accumulate(np.where(known, np.cumsum(known) - 1, 0))
    return Bars(grid, closes[latest], variances, known, hours)


def _whole(times: Times, incomplete: Sequence[datetime]) -> Mask:
    torn = np.isin(times, np.array([to_numpy(time) for time in incomplete], dtype=times.dtype))
    so_far = np.cumsum(torn, dtype=np.int64)
    nearby = so_far.copy()
    nearby[NEIGHBOURS:] -= so_far[:-NEIGHBOURS]
    nearby[:NEIGHBOURS] = so_far[:NEIGHBOURS][-1:]  # the first have none before them, and those after them tell as much
    return ~torn | (nearby > MOST_INCOMPLETE * min(len(torn), NEIGHBOURS))


def _logarithms(table: pa.Table, name: str, times: Times, symbol: str) -> FloatArray:
    prices = table[name].to_numpy().astype(np.float64)
    bad = ~(np.isfinite(prices) & (prices > 0))
    if bad.any():
        raise BadUpstream(f"{symbol} has the {name} {prices[bad][0]} at {times[bad][0]}")
    logarithms: FloatArray = np.log(prices)
    return logarithms


def _grid(times: Times, calendar: str, interval: Interval) -> Times:
    if not len(times):
        return times
    first, last = to_datetime(times[0]), to_datetime(times[-1]) + MICROSECOND
    market = calendar_named(calendar)
    due = market.expected(interval, first, last)
    if len(due) == len(times) and (due == times).all():
        return times
    # Bars that the calendar does not foresee did come: some feeds tell the currency week by a clock of their own.
    missing = missing_runs(times, due, interval, market)
    grid: Times = np.union1d(times, due[np.concatenate(missing)]) if missing else times
    return grid if len(times) >= LEAST_PRESENT * len(grid) else times


def _variances(
    opens: FloatArray, highs: FloatArray, lows: FloatArray, closes: FloatArray, distance: npt.NDArray[np.intp] | int
) -> FloatArray:
    within = 0.5 * (highs - lows) ** 2 - _GK_CLOSE * (closes - opens) ** 2
    since = np.diff(closes, prepend=opens[:1]) - (closes - opens)
    # The move across missing bars is that of all of them.
    variances: FloatArray = np.maximum(within, 0.0) + since**2 / np.maximum(distance, 1)
    return variances
