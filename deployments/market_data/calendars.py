"""When a market prints bars: around the clock, the currency week, or an exchange's sessions."""

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from functools import lru_cache
from typing import ClassVar

import numpy as np

from deployments.common.errors import InvalidRequest
from deployments.market_data.instants import MICROSECOND, Times, to_datetime, to_numpy, to_us, width
from deployments.market_data.models import Interval

_WEEK_US = 7 * 24 * 3_600_000_000
_HOUR_US = 3_600_000_000


class Calendar(ABC):
    """Say which bars a market prints; all instants are UTC and mean the opening of a bar."""

    name: str
    soft_edge: ClassVar[timedelta] = timedelta(0)
    """How much of a session's first or last stretch may be missing without being a gap."""

    @abstractmethod
    def expected(self, interval: Interval, start: datetime, end: datetime) -> Times:
        """Return the openings due in [start, end), ascending."""

    def bars_due(self, interval: Interval, after_time: datetime, until: datetime) -> int:
        """Count the bars that open after `after_time` and have closed by `until`."""
        end = until - interval.delta + MICROSECOND
        start = after_time + MICROSECOND
        return len(self.expected(interval, start, end)) if start < end else 0

    def is_behind(self, interval: Interval, newest: datetime, now: datetime) -> bool:
        """Whether more than one bar after the opening `newest` should have closed by `now`."""
        # No market rests longer than two weeks; looking no further keeps data that ended years ago cheap.
        until = min(now, newest + timedelta(days=14) + 3 * interval.delta)
        return self.bars_due(interval, newest, until) > 1

    def next_bars(self, interval: Interval, after_time: datetime, n: int) -> Times:
        """Return the `n` openings that follow the bar of `after_time`; fewer only where the calendar ends."""
        span = max(n * interval.delta, timedelta(days=4))
        start = after_time + MICROSECOND
        found = self.expected(interval, start, start + span)
        for _ in range(8):  # a session of six hours needs about six times the span, each round doubles it
            if len(found) >= n:
                break
            span *= 2
            found = self.expected(interval, start, start + span)
        return found[:n]

    def closed_until(self, interval: Interval, now: datetime) -> datetime | None:
        """Return the close of the newest bar that should have closed by `now`, looking back ten days."""
        end = now - interval.delta + MICROSECOND
        due = self.expected(interval, end - timedelta(days=10), end)
        return to_datetime(due[-1]) + interval.delta if len(due) else None


class AlwaysOpen(Calendar):
    """Crypto: every bar of the grid that starts at midnight UTC."""

    name = "24/7"

    def expected(self, interval: Interval, start: datetime, end: datetime) -> Times:
        return _grid(interval, start, end)


class CurrencyWeek(Calendar):
    """Forex: Sunday 22:00 to Friday 22:00; days run Monday to Friday; no holidays.

    In the weeks in which only New York has changed its clock the week opens and closes at 21:00, hence the soft edge.
    """

    name = "forex"
    soft_edge = timedelta(hours=1)
    opens_us: ClassVar[int] = 22 * _HOUR_US
    closes_us: ClassVar[int] = (5 * 24 + 22) * _HOUR_US

    def expected(self, interval: Interval, start: datetime, end: datetime) -> Times:
        grid = _grid(interval, start, end)
        # The epoch was a Thursday: four days later in the week that starts on Sunday at midnight.
        into_week = (grid.astype(np.int64) + 4 * 24 * _HOUR_US) % _WEEK_US
        if interval is Interval.D1:
            day = into_week // (24 * _HOUR_US)
            return grid[(day >= 1) & (day <= 5)]
        length = interval.delta // MICROSECOND
        return grid[(into_week + length > self.opens_us) & (into_week < self.closes_us)]


class ExchangeSessions(Calendar):
    """A stock exchange: bars start at the session's opening bell; a day's bar is dated with the session.

    On shortened days the last, partial bar is not due: the sources do not print it.
    """

    def __init__(self, name: str, opens: Times, closes: Times, sessions: Times) -> None:
        self.name = name
        self._opens = opens
        self._closes = closes
        self._sessions = sessions
        lengths = closes - opens
        self._shortened = lengths < np.median(lengths)

    def expected(self, interval: Interval, start: datetime, end: datetime) -> Times:
        first, last = to_numpy(start), to_numpy(end)
        if interval is Interval.D1:
            return _between(self._sessions, first, last)
        near = slice(int(np.searchsorted(self._closes, first, side="right")), int(np.searchsorted(self._opens, last)))
        return _between(self._bars(interval, near), first, last)

    def _bars(self, interval: Interval, near: slice) -> Times:
        step = width(interval.delta)
        opens, lengths = self._opens[near], self._closes[near] - self._opens[near]
        whole, rest = np.divmod(lengths, step)
        counts = whole + ((rest > np.timedelta64(0, "us")) & ~self._shortened[near])
        starts = np.repeat(opens, counts)
        nth = np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts)
        bars: Times = starts + nth * step
        return bars


def calendar_named(name: str) -> Calendar:
    """Return the calendar "24/7", "forex" or of an exchange code such as "XNYS"; raises `InvalidRequest`."""
    if name == AlwaysOpen.name:
        return AlwaysOpen()
    if name == CurrencyWeek.name:
        return CurrencyWeek()
    return _exchange(name)


@lru_cache(maxsize=32)
def _exchange(name: str) -> Calendar:
    # Imported here: it loads pandas and every exchange's holidays, which crypto and forex never need.
    import exchange_calendars
    from exchange_calendars.errors import CalendarError

    try:
        schedule = exchange_calendars.get_calendar(name).schedule
    except CalendarError:
        reason = 'is neither "24/7", "forex" nor a known exchange code'
        raise InvalidRequest(f"{name!r} {reason}", (("calendar", reason),)) from None

    def column(values: object) -> Times:
        return np.asarray(values, dtype="datetime64[us]")

    opens = column(schedule["open"].dt.tz_localize(None))
    closes = column(schedule["close"].dt.tz_localize(None))
    return ExchangeSessions(name, opens, closes, column(schedule.index))


def _grid(interval: Interval, start: datetime, end: datetime) -> Times:
    step = interval.delta // MICROSECOND
    first = -(-to_us(start) // step) * step
    return np.arange(first, max(first, to_us(end)), step, dtype=np.int64).view("datetime64[us]")


def _between(times: Times, first: np.datetime64, last: np.datetime64) -> Times:
    return times[np.searchsorted(times, first) : np.searchsorted(times, last)]
