"""Bars that markets print."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.common.errors import InvalidRequest
from deployments.market_data.calendars.calendar import Calendar, calendar_named
from deployments.market_data.instants import EPOCH, to_datetime
from deployments.market_data.models import Interval
from tests.fakes.aggregation import is_currency_trade

NAMES = ("24/7", "forex", "XNYS")
minutes = st.integers(0, 6 * 366 * 24 * 60)
instants = minutes.map(lambda count: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=count))
calendars = st.sampled_from(NAMES).map(calendar_named)
intervals = st.sampled_from([Interval.M15, Interval.H1, Interval.H4, Interval.D1])


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def names(times: object) -> list[str]:
    return [str(time)[:16] for time in times]  # type: ignore[attr-defined]


def test_crypto_prints_every_hour() -> None:
    found = calendar_named("24/7").expected(Interval.H1, at(2026, 3, 7, 22, 10), at(2026, 3, 8, 2))
    assert names(found) == ["2026-03-07T23:00", "2026-03-08T00:00", "2026-03-08T01:00"]


def test_euro_on_friday_evening_goes_on_on_sunday_evening() -> None:
    found = calendar_named("forex").next_bars(Interval.H1, at(2026, 11, 20, 20), 3)
    assert names(found) == ["2026-11-20T21:00", "2026-11-22T22:00", "2026-11-22T23:00"]


@pytest.mark.parametrize(
    ("friday", "last", "opening"),
    [
        (at(2024, 3, 8), "2024-03-08T21:00", "2024-03-10T21:00"),
        (at(2024, 3, 15), "2024-03-15T20:00", "2024-03-17T21:00"),
        (at(2024, 7, 5), "2024-07-05T20:00", "2024-07-07T21:00"),
        (at(2024, 11, 1), "2024-11-01T20:00", "2024-11-03T22:00"),
        (at(2024, 11, 8), "2024-11-08T21:00", "2024-11-10T22:00"),
    ],
    ids=["into summer", "spring", "summer", "out of summer", "winter"],
)
def test_currency_week_keeps_to_new_york_s_clock(friday: datetime, last: str, opening: str) -> None:
    due = names(calendar_named("forex").expected(Interval.H1, friday, friday + timedelta(days=3)))
    assert [time for time in due if time < str(friday.date() + timedelta(days=1))][-1] == last
    assert next(time for time in due if time > last) == opening


def test_currency_week_s_longer_bars_hold_its_edges_on_utc_s_grid() -> None:
    summer = calendar_named("forex").next_bars(Interval.H4, at(2024, 7, 5, 16), 2)
    winter = calendar_named("forex").next_bars(Interval.H4, at(2024, 1, 5, 16), 2)
    assert [*names(summer), *names(winter)] == [
        *("2024-07-05T20:00", "2024-07-07T20:00"),
        *("2024-01-05T20:00", "2024-01-07T20:00"),
    ]


def test_forex_days_are_weekdays() -> None:
    found = calendar_named("forex").next_bars(Interval.D1, at(2026, 11, 19), 3)
    assert names(found) == ["2026-11-20T00:00", "2026-11-23T00:00", "2026-11-24T00:00"]


def test_stock_hours_start_at_the_bell_and_skip_the_weekend() -> None:
    found = calendar_named("XNYS").next_bars(Interval.H1, at(2025, 5, 9, 18, 30), 3)
    assert names(found) == ["2025-05-09T19:30", "2025-05-12T13:30", "2025-05-12T14:30"]


def test_stock_hours_follow_new_york_through_the_change_of_clocks() -> None:
    found = calendar_named("XNYS").expected(Interval.H1, at(2025, 10, 31), at(2025, 11, 4))
    assert names(found)[:8:7] == ["2025-10-31T13:30", "2025-11-03T14:30"]


def test_stock_days_skip_the_holiday() -> None:
    found = calendar_named("XNYS").next_bars(Interval.D1, at(2025, 7, 3), 1)
    assert names(found) == ["2025-07-07T00:00"]


def test_shortened_day_does_not_owe_its_last_half_hour() -> None:
    found = calendar_named("XNYS").expected(Interval.H1, at(2025, 11, 28), at(2025, 11, 29))
    assert names(found) == ["2025-11-28T14:30", "2025-11-28T15:30", "2025-11-28T16:30"]


@pytest.mark.parametrize("name", ["moon", "XBEL"], ids=["unknown", "listed by the library, but never computed"])
def test_unknown_calendar_is_refused_with_its_field(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        calendar_named(name)
    assert caught.value.fields[0][0] == "calendar"


def test_nothing_is_due_on_a_saturday() -> None:
    forex = calendar_named("forex")
    assert forex.bars_due(Interval.H1, at(2026, 11, 20, 21), at(2026, 11, 22, 22, 59)) == 0
    assert forex.closed_until(Interval.H1, at(2026, 11, 21, 12)) == at(2026, 11, 20, 22)


def test_tail_is_behind_after_two_missing_bars() -> None:
    always = calendar_named("24/7")
    assert not always.is_behind(Interval.H1, at(2026, 3, 4, 10), at(2026, 3, 4, 12, 59))
    assert always.is_behind(Interval.H1, at(2026, 3, 4, 10), at(2026, 3, 4, 13))


@given(st.sampled_from(list(Interval)), instants, st.integers(1, 40))
def test_every_currency_bar_reaches_into_the_week_of_new_york_and_none_is_left_out(
    interval: Interval, start: datetime, hours: int
) -> None:
    step, end = interval.delta, start + timedelta(hours=hours)
    due = calendar_named("forex").expected(interval, start, end)
    first = EPOCH + -((EPOCH - start) // step) * step
    grid = [first + n * step for n in range(max(0, -((first - end) // step)))]
    # Days and four hours may hold an edge of the week; they are bars of it where trade falls into them.
    fine = timedelta(hours=1) if step > timedelta(hours=1) else step
    parts = [[time + n * fine for n in range(step // fine)] for time in grid]
    meant = [time for time, each in zip(grid, parts, strict=True) if any(is_currency_trade(part) for part in each)]
    if interval is Interval.D1:
        meant = [time for time in meant if time.weekday() < 5]  # Sunday's evening belongs to Monday
    assert [to_datetime(time) for time in due] == meant


@given(calendars, intervals, instants, st.integers(1, 60))
def test_next_bars_are_the_expected_ones_after_the_bar(
    calendar: Calendar, interval: Interval, after: datetime, n: int
) -> None:
    found = calendar.next_bars(interval, after, n)
    assert len(found) == n
    assert (np.diff(found) > np.timedelta64(0, "us")).all()
    assert to_datetime(found[0]) > after
    last = to_datetime(found[-1]) + timedelta(microseconds=1)
    assert (calendar.expected(interval, after + timedelta(microseconds=1), last) == found).all()


@given(calendars, intervals, instants, st.integers(0, 20), st.integers(0, 20))
def test_expected_bars_of_two_spans_are_those_of_both_together(
    calendar: Calendar, interval: Interval, start: datetime, first_days: int, more_days: int
) -> None:
    middle = start + timedelta(days=first_days)
    end = middle + timedelta(days=more_days)
    halves = [calendar.expected(interval, start, middle), calendar.expected(interval, middle, end)]
    assert (np.concatenate(halves) == calendar.expected(interval, start, end)).all()
