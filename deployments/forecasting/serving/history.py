"""What a forecast starts from: the newest closed bars of a symbol, and the times of the bars to come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.common.errors import TooLittleHistory
from deployments.forecasting.predicting.baselines import MIN_BASELINE_BARS
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.bars import Bars, bars_of
from deployments.forecasting.series.season import Hours, hours_of_week
from deployments.forecasting.series.windows import Past
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import Times, to_datetime, to_numpy
from deployments.market_data.models import Candles, Interval

REMEMBERED_STEPS = 4_096

REMEMBERED_TIMES = 512
"""Symbols that trade alike share them; fewer than steps, for 168 datetimes take 9 kB."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Closed bars of one symbol on the grid of its `calendar`, oldest first, and what is known of them.

    `last_time` opens the newest bar, `missing_bars` counts those that market data found missing between them, and
    `incomplete` are the openings of those that it added up although finer bars were missing.
    """

    symbol: str
    interval: Interval
    calendar: str
    bars: Bars
    last_time: datetime
    data_as_of: datetime
    stale: bool
    missing_bars: int
    incomplete: tuple[datetime, ...] = ()

    @property
    def log_closes(self) -> FloatArray:
        """The log closes of all bars (bars,); where one is missing, the close before it."""
        return self.bars.log_closes

    def __len__(self) -> int:
        return len(self.bars)


def history_of(candles: Candles, calendar: str) -> History:
    """Return the history in an answer of market data; raises `TooLittleHistory` below what a baseline needs."""
    bars = candles.table.num_rows - candles.forming
    if bars < MIN_BASELINE_BARS:
        detail = f"{candles.symbol} has {bars} closed {candles.interval} bars, a forecast needs {MIN_BASELINE_BARS}"
        raise TooLittleHistory(detail, bars, MIN_BASELINE_BARS)
    table = candles.table.slice(0, bars)
    last_time = table["time"][-1].as_py().astimezone(UTC)
    return History(
        symbol=candles.symbol,
        interval=candles.interval,
        calendar=calendar,
        # As in training; but the newest price that is known is where every forecast starts from.
        bars=bars_of(
            table, calendar, candles.interval, candles.symbol, [time for time in candles.incomplete if time < last_time]
        ),
        last_time=last_time,
        data_as_of=last_time + candles.interval.delta,
        stale=candles.stale,
        missing_bars=sum(gap.bars for gap in candles.gaps),
        incomplete=candles.incomplete,
    )


def past_of(histories: Sequence[History], bars: int, steps: int) -> Past:
    """Return what a model reads of at most `bars` bars each, for `steps` ahead; shorter ones are masked in front."""
    width = min(bars, max(len(history.bars.times) for history in histories))
    every = [_newest(history.bars, width) for history in histories]
    return Past(
        _rows([each.log_closes for each in every]),
        _rows([each.variances for each in every]),
        _rows([each.known for each in every]),
        _rows([each.hours for each in every]),
        _rows([_coming_hours(each.calendar, each.interval, each.last_time, steps) for each in histories]),
        np.array([history.calendar for history in histories]),
    )


def _rows(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    # `np.stack` makes a view of each first: with hundreds of rows that is half of its time.
    return np.concatenate(arrays).reshape(len(arrays), -1)


@lru_cache(maxsize=REMEMBERED_TIMES)
def coming_times(calendar: str, interval: Interval, last_time: datetime, n: int) -> tuple[datetime, ...]:
    """Return the openings of the `n` bars after the one of `last_time`, as the calendar named has them.

    Past the end of an exchange's published sessions the bars simply go on.
    """
    return tuple(to_datetime(time) for time in _coming(calendar, interval, last_time, n))


@lru_cache(maxsize=REMEMBERED_STEPS)
def _coming_hours(calendar: str, interval: Interval, last_time: datetime, n: int) -> Hours:
    return hours_of_week(_coming(calendar, interval, last_time, n), calendar, interval)


@lru_cache(maxsize=REMEMBERED_STEPS)
def _coming(calendar: str, interval: Interval, last_time: datetime, n: int) -> Times:
    due = calendar_named(calendar).next_bars(interval, last_time, n)
    newest = due[-1] if len(due) else to_numpy(last_time)
    further = newest + np.arange(1, n - len(due) + 1) * np.timedelta64(interval.delta)
    times: Times = np.concatenate([due, further.astype("datetime64[us]")])
    return times


def _newest(bars: Bars, width: int) -> Bars:
    """Return the last `width` bars, where there are fewer filled up in front."""
    before = width - len(bars.times)
    if before <= 0:
        return bars[-before:] if before else bars
    return Bars(
        np.pad(bars.times, (before, 0), mode="edge"),
        np.pad(bars.log_closes, (before, 0), mode="edge"),
        np.pad(bars.variances, (before, 0)),
        np.pad(bars.known, (before, 0)),
        np.pad(bars.hours, (before, 0), mode="edge"),
    )
