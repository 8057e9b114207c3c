"""When in its week a market is lively: the hour on its own clock, and how much of the usual variance falls into it.

The profile is the hour of the day times the day of the week, each shrunk to 1 where bars are few. All 168 hours freely
did no better on the shared crypto candles and leave less to estimate where a market has bars for a year only.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from deployments.forecasting.quantiles import FloatArray
from deployments.market_data.calendars.calendar import AlwaysOpen, CurrencyWeek, calendar_named
from deployments.market_data.calendars.new_york import on_new_york_clock
from deployments.market_data.instants import Times, to_datetime, to_numpy
from deployments.market_data.models import Interval

Hours = npt.NDArray[np.int16]
Widths = npt.NDArray[np.timedelta64]

WEEK = 168

SHRINKAGE = 50.0
"""Bars of evidence for a factor of 1 that each hour and each day starts with."""

RATIO_LIMIT = 50.0
"""A single bar never counts for more than this many times the usual variance."""

_HOUR = np.timedelta64(1, "h")

_USUAL_WEEKS = (datetime(2024, 10, 14, tzinfo=UTC), datetime(2024, 11, 11, tzinfo=UTC))
# Four weeks from a Monday on.


def hours_of_week(times: Times, calendar: str, interval: Interval) -> Hours:
    """Return the hour, 0 to 167 from Monday on, that each bar opens in, on the clock that its market lives by.

    Around the clock that is UTC, for currencies New York's, for an exchange the hours since its opening bell, so that a
    change to summer time moves nothing. Raises `InvalidRequest` for an unknown calendar.
    """
    if interval is Interval.D1 or calendar == AlwaysOpen.name:
        return _hours(times, times)
    if calendar == CurrencyWeek.name:
        local = on_new_york_clock(times)
        return _hours(local, local)
    return _since_the_bell(times, calendar)


@lru_cache(maxsize=256)
def season_bars(calendar: str, interval: Interval) -> int:
    """Return the bars after which a market's habits come round: those of a usual day, of daily bars those of a week.

    A naive forecast repeats the last season, and what repeats most is the day; a daily bar holds one of those, so there
    it is the week. Counted on the calendar itself: around the clock 1,440, 288, 96, 48, 24, 6 and 7 from a minute to a
    day, of a stock exchange open for six and a half hours seven hourly bars and five daily ones. Raises
    `InvalidRequest` for an unknown calendar.
    """
    due = calendar_named(calendar).expected(interval, *_USUAL_WEEKS)
    days = (due - to_numpy(_USUAL_WEEKS[0])) // np.timedelta64(1, "D")
    counts = np.bincount(days // 7 if interval is Interval.D1 else days)
    # Weeks with a holiday are short, and a currency week begins with two hours of a Sunday.
    return int(counts.max() if interval is Interval.D1 else np.median(counts[counts > 0]))


def fit_season(ratios: FloatArray, hours: Hours) -> FloatArray:
    """Return the factor of each hour of the week, (168,), mean 1 over the bars given; unseen hours get 1.

    `ratios` (n,) are variances of bars over what was usual around them, `hours` (n,) when those bars opened.
    """
    if not len(ratios):
        return np.ones(WEEK)
    usual = np.clip(ratios, 0.0, RATIO_LIMIT)
    usual = usual / max(float(usual.mean()), 1e-12)
    of_day = _shrunk(usual, hours % 24, 24)
    of_week = _shrunk(usual / of_day[hours % 24], hours // 24, 7)
    season: FloatArray = np.tile(of_day, 7) * np.repeat(of_week, 24)
    present = np.bincount(hours, minlength=WEEK) > 0
    season = np.where(present, season, 1.0)
    return np.asarray(season / season[hours].mean(), dtype=np.float64)


def _shrunk(ratios: FloatArray, places: Hours, count: int) -> FloatArray:
    bars = np.bincount(places, minlength=count)
    factors: FloatArray = (np.bincount(places, ratios, count) + SHRINKAGE) / (bars + SHRINKAGE)
    return factors


def _hours(days: Times, clock: Times) -> Hours:
    """Return the hour of the week from the day of one instant and the hour of another."""
    # The epoch was a Thursday.
    weekday = (days.astype("datetime64[D]").astype(np.int64) + 3) % 7
    hour = (clock - clock.astype("datetime64[D]")) // _HOUR
    hours: Hours = (24 * weekday + hour).astype(np.int16)
    return hours


def _since_the_bell(times: Times, calendar: str) -> Hours:
    if not len(times):
        return np.zeros(0, dtype=np.int16)
    around = timedelta(days=14)
    sessions = calendar_named(calendar).buckets(
        Interval.D1, to_datetime(times[0]) - around, to_datetime(times[-1]) + around
    )
    if not len(sessions):
        return _hours(times, times)
    place = np.clip(np.searchsorted(sessions.starts, times, side="right") - 1, 0, None)
    since: Widths = np.clip(times - sessions.starts[place], np.timedelta64(0, "us"), 23 * _HOUR)
    midnight: Times = sessions.openings[place].astype("datetime64[D]").astype("datetime64[us]")
    return _hours(midnight, midnight + since)
