"""What a query means."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.common.errors import InvalidRequest
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.calendars.windows import cut, window_of
from deployments.market_data.models import MAX_CANDLES, CandleQuery, Interval
from tests.fakes.market_data import walk_table

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
ALWAYS = calendar_named("24/7")


def test_query_without_a_window_means_ninety_days() -> None:
    window = window_of(CandleQuery("BTCUSD"), ALWAYS, NOW)
    assert (window.start, window.end, window.limit) == (NOW - timedelta(days=90), NOW, MAX_CANDLES)


def test_limit_alone_reaches_as_far_back_as_it_must() -> None:
    assert window_of(CandleQuery("BTCUSD", limit=5), ALWAYS, NOW).start is None


def test_as_of_ends_the_window_and_hides_the_forming_bar() -> None:
    as_of = NOW - timedelta(days=3)
    window = window_of(CandleQuery("BTCUSD", as_of=as_of, include_open=True), ALWAYS, NOW)
    assert (window.end, window.reference, window.forming) == (as_of, as_of, False)
    assert window.closed_end == as_of - timedelta(hours=1) + timedelta(microseconds=1)


def test_as_of_an_instant_yet_to_come_knows_no_more_than_now() -> None:
    window = window_of(CandleQuery("BTCUSD", as_of=NOW + timedelta(days=3)), ALWAYS, NOW)
    assert (window.end, window.reference) == (NOW, NOW)
    assert window.closed_end == NOW - timedelta(hours=1) + timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (CandleQuery("B", lookback_days=0), "lookback_days"),
        (CandleQuery("B", lookback_days=-1), "lookback_days"),
        (CandleQuery("B", lookback_days=math.nan), "lookback_days"),
        (CandleQuery("B", lookback_days=math.inf), "lookback_days"),
        (CandleQuery("B", lookback_days=1e300), "lookback_days"),
        (CandleQuery("B", lookback_days=5_000), "lookback_days"),
        (CandleQuery("B", lookback_days=1, start=NOW), "lookback_days"),
        (CandleQuery("B", limit=0), "limit"),
        (CandleQuery("B", limit=MAX_CANDLES + 1), "limit"),
        (CandleQuery("B", start=NOW, end=NOW), "start"),
        (CandleQuery("B", start=NOW - timedelta(days=9_000)), "start"),
        (CandleQuery("B", start=datetime(2026, 1, 1)), "start"),  # noqa: DTZ001
        (CandleQuery("B", end=datetime(1, 1, 1, tzinfo=UTC)), "end"),
    ],
)
def test_impossible_query_is_refused_with_its_field(query: CandleQuery, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        window_of(query, ALWAYS, NOW)
    assert caught.value.fields[0][0] == field


def test_twenty_years_of_stock_hours_fit_because_exchanges_sleep() -> None:
    query = CandleQuery("AAPL", lookback_days=3_650)
    assert window_of(query, calendar_named("XNYS"), NOW).limit == MAX_CANDLES


def test_default_window_of_minutes_is_cut_to_the_newest_candles() -> None:
    assert window_of(CandleQuery("BTCUSD", Interval.M1), ALWAYS, NOW).limit == MAX_CANDLES


def test_span_of_a_limit_holds_as_many_bars() -> None:
    stocks = calendar_named("XNYS")
    start, end = window_of(CandleQuery("AAPL", limit=30), stocks, NOW).span(stocks)
    assert len(stocks.expected(Interval.H1, start, end)) >= 30


@given(st.integers(0, 50), st.integers(-5, 55), st.integers(-5, 55), st.integers(1, 60))
def test_cut_returns_the_newest_rows_between_the_ends(bars: int, first: int, last: int, limit: int) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    table = walk_table(begin, 50).slice(0, bars)
    start, end = begin + timedelta(hours=first), begin + timedelta(hours=last)
    inside = [time for time in table["time"].to_pylist() if start <= time < end]
    assert cut(table, start, end, limit)["time"].to_pylist() == inside[-limit:]
