"""When a market prints bars: around the clock, the currency week, or an exchange's sessions."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from deployments.common.errors import InvalidRequest
from deployments.market_data.calendars.new_york import on_new_york_clock
from deployments.market_data.instants import EPOCH, MICROSECOND, Times, to_datetime, to_numpy, to_us, width
from deployments.market_data.models import Interval

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_WEEK_US = 7 * _DAY_US


@dataclass(frozen=True, slots=True)
class Buckets:
    """Which stretch of time each bar covers: bar `openings[n]` everything in [starts[n], ends[n]), ascending.

    Stretches never overlap. They lie apart where the market rests, so an instant may belong to no bar.
    """

    openings: Times
    starts: Times
    ends: Times

    def __len__(self) -> int:
        return len(self.openings)

    def __getitem__(self, part: slice) -> "Buckets":
        return Buckets(self.openings[part], self.starts[part], self.ends[part])

    def newest(self, span: timedelta) -> "Buckets":
        """Return the newest that lie within `span`, rests between them included; one even where it is longer."""
        first = int(np.searchsorted(self.starts, self.ends[-1] - width(span))) if len(self) else 0
        return self[min(first, len(self) - 1) :]

    def oldest(self, span: timedelta) -> "Buckets":
        """Return the oldest that lie within `span`, rests between them included; one even where it is longer."""
        end = int(np.searchsorted(self.ends, self.starts[0] + width(span), side="right")) if len(self) else 0
        return self[: max(end, 1)]


class Calendar(ABC):
    """Say which bars a market prints; all instants are UTC and mean the opening of a bar."""

    name: str
    soft_edge: ClassVar[timedelta] = timedelta(0)
    """How much of a session's first or last stretch may be missing without being a gap."""

    @abstractmethod
    def expected(self, interval: Interval, start: datetime, end: datetime) -> Times:
        """Return the openings due in [start, end), ascending."""

    @abstractmethod
    def buckets(self, interval: Interval, start: datetime, end: datetime) -> Buckets:
        """Return what the bars that open in [start, end) cover: those due, and those that may print beside them."""

    def last_buckets(self, interval: Interval, start: datetime, end: datetime, n: int) -> Buckets:
        """Return the newest `n` of the bars that open in [start, end), fewer where there are no more."""
        span = n * interval.delta + timedelta(days=4)
        while True:
            since = max(start, end - span) if end - EPOCH > span else start
            found = self.buckets(interval, since, end)
            if len(found) >= n or since <= start:
                return found[max(0, len(found) - n) :]
            span *= 2

    def first_buckets(self, interval: Interval, start: datetime, end: datetime, n: int) -> Buckets:
        """Return the oldest `n` of the bars that open in [start, end), fewer where there are no more."""
        span = n * interval.delta + timedelta(days=4)
        while True:
            until = min(end, start + span)
            found = self.buckets(interval, start, until)
            if len(found) >= n or until >= end:
                return found[:n]
            span *= 2

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

    def buckets(self, interval: Interval, start: datetime, end: datetime) -> Buckets:
        openings = _grid(interval, start, end)
        return Buckets(openings, openings, openings + width(interval.delta))


ALWAYS_OPEN = AlwaysOpen()


class CurrencyWeek(Calendar):
    """Forex: Sunday 17:00 to Friday 17:00 in New York; bars lie on UTC's grid; days run Monday to Friday; no holidays.

    Feeds that tell the week by another clock are an hour off in winter, in summer or between, hence the soft edge.
    """

    name = "forex"
    soft_edge = timedelta(hours=1)
    opens_us: ClassVar[int] = 17 * _HOUR_US
    closes_us: ClassVar[int] = (5 * 24 + 17) * _HOUR_US

    def expected(self, interval: Interval, start: datetime, end: datetime) -> Times:
        return self._between(interval, start, end, self.opens_us, self.closes_us)[0]

    def buckets(self, interval: Interval, start: datetime, end: datetime) -> Buckets:
        # A week that opens an hour early or closes an hour late has bars in those hours too.
        soft_us = self.soft_edge // MICROSECOND
        opens_us, closes_us = self.opens_us - soft_us, self.closes_us + soft_us
        openings, into_week = self._between(interval, start, end, opens_us, closes_us)
        length = interval.delta // MICROSECOND
        late = np.maximum(opens_us - into_week, 0)
        early = np.maximum(into_week + length - closes_us, 0)
        if interval is Interval.D1:
            # It is Sunday evening in New York when UTC's Monday starts: that day reaches back to the opening.
            late = np.where(into_week < _DAY_US, opens_us - into_week, 0)
        starts = openings + late.astype("timedelta64[us]")
        return Buckets(openings, starts, openings + (length - early).astype("timedelta64[us]"))

    def _between(
        self, interval: Interval, start: datetime, end: datetime, opens_us: int, closes_us: int
    ) -> tuple[Times, NDArray[np.int64]]:
        """Return the openings of bars that reach into the week, and how far into it each opens by New York's clock."""
        grid = _grid(interval, start, end)
        # The epoch was a Thursday: four days later in the week that starts on Sunday at midnight.
        into_week = (on_new_york_clock(grid).astype(np.int64) + 4 * _DAY_US) % _WEEK_US
        inside = (into_week + interval.delta // MICROSECOND > opens_us) & (into_week < closes_us)
        return grid[inside], into_week[inside]


class ExchangeSessions(Calendar):
    """A stock exchange: bars start at the opening bell and again after a lunch break; a day's bar is dated with it.

    On shortened days the last, partial bar is not due: the sources do not print it.
    """

    def __init__(self, name: str, sessions: Buckets, breaks: tuple[Times, Times] | None = None) -> None:
        """Take each session's date, bell and close, and where there are any the starts and ends of its break."""
        self.name = name
        self._sessions = sessions
        self._opens, self._closes, self._shortened = _stretches(sessions, breaks)

    def expected(self, interval: Interval, start: datetime, end: datetime) -> Times:
        if interval is Interval.D1:
            return self._days(start, end).openings
        return self._bars(interval, start, end, ~self._shortened).openings

    def buckets(self, interval: Interval, start: datetime, end: datetime) -> Buckets:
        if interval is Interval.D1:
            return self._days(start, end)
        return self._bars(interval, start, end, np.ones_like(self._shortened))

    def _days(self, start: datetime, end: datetime) -> Buckets:
        return self._sessions[_between(self._sessions.openings, start, end)]

    def _bars(self, interval: Interval, start: datetime, end: datetime, partial: NDArray[np.bool_]) -> Buckets:
        """Return the bars of every stretch, with the cut-off one at its end where `partial` says so."""
        first, last = to_numpy(start), to_numpy(end)
        near = slice(int(np.searchsorted(self._closes, first, side="right")), int(np.searchsorted(self._opens, last)))
        step = width(interval.delta)
        opens, closes = self._opens[near], self._closes[near]
        whole, rest = np.divmod(closes - opens, step)
        counts = whole + ((rest > np.timedelta64(0, "us")) & partial[near])
        nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        openings: Times = np.repeat(opens, counts) + nth * step
        bars = Buckets(openings, openings, np.minimum(openings + step, np.repeat(closes, counts)))
        return bars[_between(openings, start, end)]


def _stretches(sessions: Buckets, breaks: tuple[Times, Times] | None) -> tuple[Times, Times, NDArray[np.bool_]]:
    """Return when trade starts and ends, and which stretches are shorter than usual; a break cuts a day in two."""
    opens, closes = sessions.starts, sessions.ends
    if breaks is None:
        return opens, closes, closes - opens < np.median(closes - opens)
    pauses = ~np.isnat(breaks[0])
    morning_closes = np.where(pauses, breaks[0], closes)
    mornings, afternoons = morning_closes - opens, (closes - breaks[1])[pauses]
    order = np.argsort(np.concatenate([opens, breaks[1][pauses]]), kind="stable")
    usual = np.median(mornings[pauses]) if pauses.any() else np.median(mornings)
    shortened = [mornings < usual, afternoons < np.median(afternoons)] if pauses.any() else [mornings < usual]
    return (
        np.concatenate([opens, breaks[1][pauses]])[order],
        np.concatenate([morning_closes, closes[pauses]])[order],
        np.concatenate(shortened)[order],
    )


def calendar_named(name: str) -> Calendar:
    """Return the calendar "24/7", "forex" or of an exchange code such as "XNYS"; raises `InvalidRequest`."""
    if name == AlwaysOpen.name:
        return ALWAYS_OPEN
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
    except (CalendarError, NotImplementedError, ValueError):  # the library lists exchanges that it cannot compute
        reason = 'is neither "24/7", "forex" nor a known exchange code'
        raise InvalidRequest(f"{name!r} {reason}", (("calendar", reason),)) from None

    def column(values: object) -> Times:
        return np.asarray(values, dtype="datetime64[us]")

    opens, closes, *breaks = [
        column(schedule[each].dt.tz_localize(None)) for each in ("open", "close", "break_start", "break_end")
    ]
    sessions = Buckets(column(schedule.index), opens, closes)
    return ExchangeSessions(name, sessions, None if np.isnat(breaks[0]).all() else (breaks[0], breaks[1]))


def _grid(interval: Interval, start: datetime, end: datetime) -> Times:
    step = interval.delta // MICROSECOND
    first = -(-to_us(start) // step) * step
    return np.arange(first, max(first, to_us(end)), step, dtype=np.int64).view("datetime64[us]")


def _between(times: Times, start: datetime, end: datetime) -> slice:
    return slice(int(np.searchsorted(times, to_numpy(start))), int(np.searchsorted(times, to_numpy(end))))
