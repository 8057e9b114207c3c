"""The week's profile: hours on each market's own clock, factors that shrink to 1, and where nothing is known."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.forecasting.series.season import WEEK, fit_season, hours_of_week, season_bars
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import Times, to_numpy
from deployments.market_data.models import Interval


def instants(*moments: datetime) -> Times:
    return np.array([to_numpy(moment) for moment in moments])


def test_around_the_clock_hours_count_from_monday_midnight_utc() -> None:
    monday = datetime(2024, 1, 1, tzinfo=UTC)

    hours = hours_of_week(
        instants(monday, monday + timedelta(hours=30), monday + timedelta(hours=167)), "24/7", Interval.H1
    )

    assert hours.tolist() == [0, 30, 167]


def test_the_currency_week_opens_at_one_hour_of_new_york_in_winter_and_summer() -> None:
    winter, summer = datetime(2024, 1, 7, 22, tzinfo=UTC), datetime(2024, 7, 7, 21, tzinfo=UTC)

    hours = hours_of_week(instants(winter, summer), "forex", Interval.H1)

    assert hours.tolist() == [6 * 24 + 17, 6 * 24 + 17]


@pytest.mark.parametrize(
    ("calendar", "bars"),
    [
        ("24/7", (1440, 288, 96, 48, 24, 6, 7)),
        ("forex", (1440, 288, 96, 48, 24, 6, 5)),
        ("XNYS", (390, 78, 26, 13, 7, 2, 5)),
        ("XTKS", (300, 60, 20, 10, 6, 2, 5)),
    ],
)
def test_season_is_the_markets_own_day_and_of_daily_bars_its_week(calendar: str, bars: tuple[int, ...]) -> None:
    assert tuple(season_bars(calendar, interval) for interval in Interval) == bars


@given(st.integers(0, 6 * 366 * 24))
def test_each_currency_week_has_the_same_hours_from_its_opening_to_its_close(hours_since: int) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=hours_since)
    due = calendar_named("forex").expected(Interval.H1, start, start + timedelta(days=14))

    hours = hours_of_week(due, "forex", Interval.H1).tolist()

    opening, close = 6 * 24 + 17, 4 * 24 + 16
    assert set(hours) == {*range(close + 1), *range(opening, WEEK)}
    assert all(later == (hour + 1) % WEEK if hour != close else later == opening for hour, later in pairwise(hours))


def test_an_exchange_counts_from_its_bell_in_winter_and_summer() -> None:
    winter, summer = datetime(2024, 1, 8, 14, 30, tzinfo=UTC), datetime(2024, 7, 8, 13, 30, tzinfo=UTC)

    hours = hours_of_week(
        instants(winter, winter + timedelta(hours=6), summer, summer + timedelta(hours=6)), "XNYS", Interval.H1
    )

    assert hours.tolist() == [0, 6, 0, 6]


def test_days_count_by_their_weekday_whatever_the_market() -> None:
    tuesday = datetime(2024, 1, 2, tzinfo=UTC)

    assert [hours_of_week(instants(tuesday), name, Interval.D1)[0] for name in ("24/7", "forex", "XNYS")] == [24] * 3


@pytest.mark.parametrize("name", ["24/7", "forex", "XNYS", "XTKS"])
@pytest.mark.parametrize("interval", list(Interval))
def test_every_bar_of_every_calendar_has_an_hour_of_the_week(name: str, interval: Interval) -> None:
    due = calendar_named(name).expected(interval, datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC))

    hours = hours_of_week(due, name, interval)

    assert len(hours) == len(due) > 0
    assert hours.min() >= 0
    assert hours.max() < WEEK
    assert not len(hours_of_week(due[:0], name, interval))


def test_lively_hours_and_days_are_found() -> None:
    hours = np.tile(np.arange(WEEK, dtype=np.int16), 100)
    lively = np.where(hours % 24 == 14, 4.0, 1.0) * np.where(hours // 24 >= 5, 0.5, 1.0)

    season = fit_season(lively, hours)

    assert season[14] / season[13] == pytest.approx(4.0, rel=0.1)
    assert season[5 * 24 + 3] / season[3] == pytest.approx(0.5, rel=0.1)
    assert season[hours].mean() == pytest.approx(1.0)


def test_few_bars_hardly_move_a_factor() -> None:
    hours = np.arange(WEEK, dtype=np.int16)

    season = fit_season(np.where(hours % 24 == 14, 20.0, 1.0), hours)

    assert season[14] < 3


def test_hours_without_a_bar_have_the_factor_one() -> None:
    hours = np.tile(np.arange(9, 16, dtype=np.int16), 50)

    season = fit_season(np.linspace(0.5, 2.0, len(hours)), hours)

    assert (season[:9] == season[16]).all()


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, WEEK - 1)), max_size=60))
def test_factors_are_always_positive_numbers(bars: list[tuple[float, int]]) -> None:
    ratios, hours = np.array([ratio for ratio, _ in bars]), np.array([hour for _, hour in bars], dtype=np.int16)

    season = fit_season(ratios, hours)

    assert season.shape == (WEEK,)
    assert (np.isfinite(season) & (season > 0)).all()
