"""Longer bars out of finer ones, one row after the other: the plain meaning that the SQL must have."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars

from deployments.market_data.instants import EPOCH
from deployments.market_data.models import Interval

Row = dict[str, Any]
Session = tuple[datetime, datetime, datetime]
"""A label, and when trade starts and ends."""

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def aggregate(rows: Iterable[Row], source: Interval, interval: Interval, calendar: str) -> list[Row]:
    """Return bars with the keys of a candle and `incomplete`; `rows` are one symbol's, ascending."""
    groups: dict[datetime, list[Row]] = {}
    for row in rows:
        label = label_of(row["time"], interval, calendar)
        if label is not None and is_sound(row):
            groups.setdefault(label, []).append(row)
    return [_bar(label, group, source, interval, calendar) for label, group in sorted(groups.items())]


def is_sound(row: Row) -> bool:
    """Whether a row may become part of a bar."""
    low, high = row["low"], row["high"]
    inside = all(low <= row[name] <= high for name in ("open", "close"))
    return bool(inside and low > 0 and high < float("inf") and 0 <= row["volume"] < float("inf"))


def label_of(time: datetime, interval: Interval, calendar: str) -> datetime | None:
    """Return the opening of the bar that an instant belongs to, or None while the market rests."""
    session = session_of(time, calendar)
    if session is None:
        return None
    label, opens, _ = session
    if interval is Interval.D1:
        return label if calendar != "forex" else _forex_day(time)
    origin = opens if calendar == "XNYS" else EPOCH
    return origin + (time - origin) // interval.delta * interval.delta


def session_of(time: datetime, calendar: str) -> Session | None:
    """Return the session that an instant lies in; one around the clock lasts a day, a currency one a week."""
    if calendar == "24/7":
        day = EPOCH + (time - EPOCH) // DAY * DAY
        return day, day, day + DAY
    if calendar == "forex":
        sunday = datetime(time.year, time.month, time.day, tzinfo=UTC) - DAY * ((time.weekday() + 1) % 7)
        opens, closes = (five_in_new_york(sunday + days * DAY) for days in (0, 5))
        return (sunday, opens - HOUR, closes + HOUR) if opens - HOUR <= time < closes + HOUR else None
    label, opens, closes = _exchange_session(calendar, time.date())
    return (label, opens, closes) if opens <= time < closes else None


def five_in_new_york(day: datetime) -> datetime:
    """Return when it is five in the afternoon in New York, where the currency week begins and ends."""
    return datetime(day.year, day.month, day.day, 17, tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)


def is_currency_trade(time: datetime) -> bool:
    """Whether the currency market is open at an instant."""
    local = time.astimezone(ZoneInfo("America/New_York"))
    into_week = timedelta(days=(local.weekday() + 1) % 7, hours=local.hour, minutes=local.minute)
    return timedelta(hours=17) <= into_week < timedelta(days=5, hours=17)


@lru_cache(maxsize=1_000)
def _exchange_session(calendar: str, day: date) -> Session:
    schedule = exchange_calendars.get_calendar(calendar)
    label = schedule.date_to_session(day.isoformat(), direction="previous")
    opens, closes = schedule.session_open(label).to_pydatetime(), schedule.session_close(label).to_pydatetime()
    return label.to_pydatetime().replace(tzinfo=UTC), opens, closes


def _forex_day(time: datetime) -> datetime:
    midnight = datetime(time.year, time.month, time.day, tzinfo=UTC)
    return midnight + DAY if time.weekday() == 6 else midnight


def _bar(label: datetime, group: list[Row], source: Interval, interval: Interval, calendar: str) -> Row:
    first, last = group[0]["time"], group[-1]["time"]
    session = session_of(first, calendar)
    assert session is not None
    _, opens, closes = session
    due = _grid(session, source, interval, calendar).get(label, [])
    if calendar == "forex":
        due = _due_in_week(due, opens + HOUR, closes - HOUR - source.delta, first, last)
    if calendar == "XNYS" and closes - opens < 6.5 * HOUR:
        due = [time for time in due if time + source.delta <= closes]  # a cut-off bar is not printed
    times = {row["time"] for row in group}
    return {
        "time": label,
        "open": group[0]["open"],
        "high": max(row["high"] for row in group),
        "low": min(row["low"] for row in group),
        "close": group[-1]["close"],
        "volume": sum(row["volume"] for row in group),
        "incomplete": any(time not in times for time in due),
    }


@lru_cache(maxsize=1_000)
def _grid(session: Session, source: Interval, interval: Interval, calendar: str) -> dict[datetime, list[datetime]]:
    """Return the openings of a session's fine bars, by the bar that each belongs to."""
    _, opens, closes = session
    found: dict[datetime, list[datetime]] = {}
    for n in range(-(-(closes - opens) // source.delta)):
        time = opens + n * source.delta
        label = label_of(time, interval, calendar)
        if label is not None:
            found.setdefault(label, []).append(time)
    return found


def _due_in_week(
    due: list[datetime], opening: datetime, closing: datetime, first: datetime, last: datetime
) -> list[datetime]:
    """Leave out what a week need not have whose first and last bar come up to an hour early or late."""
    begin = first if opening in due and abs(first - opening) <= HOUR else opening
    end = last if closing in due and abs(last - closing) <= HOUR else closing
    return [time for time in due if begin <= time <= end]
