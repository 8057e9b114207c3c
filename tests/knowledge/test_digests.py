"""The digest of a day."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from deployments.knowledge.digests import context_span, day_figures, day_passages, days_to_tell, finished_days
from deployments.knowledge.passages import candle_passages
from deployments.market_data.models import Interval
from tests.fakes.market_data import candle_table, walk_table

START = datetime(2023, 3, 1, tzinfo=UTC)
LAST = date(2023, 3, 20)


def of_symbol(table: pa.Table) -> pa.Table:
    return table.add_column(0, pa.field("symbol", pa.string(), nullable=False), pa.array(["BTCUSDT"] * table.num_rows))


def rising_days() -> pa.Table:
    """19 days that rise 1 % within their first hour, and one of 5 %."""
    closes = [100.0 * 1.01 ** (hour // 24 + 1) for hour in range(19 * 24)]
    return of_symbol(candle_table(START, [*closes, *[closes[-1] * 1.05] * 24]))


def test_digest_tells_the_day_against_its_month() -> None:
    (digest,) = day_passages(rising_days(), Interval.H1, [LAST])
    assert digest.text == (
        "BTCUSDT day 2023-03-20: strong rise of +5.00% to 126.85144; low 120.8109, high 126.85144, range 5.00%; "
        "extreme volatility, 4.9 times its month; volume 1.0 times its month; highest close in 19 days; "
        "19 rises in a row; largest 1h move +5.00% at 00:00 UTC."
    )
    assert digest.time == datetime(2023, 3, 20, tzinfo=UTC)


def test_digest_with_too_short_a_month_makes_no_comparison() -> None:
    (digest,) = day_passages(of_symbol(walk_table(START, 48)), Interval.H1, [date(2023, 3, 2)])
    assert "its month" not in digest.text


def test_figures_of_a_day_come_from_its_own_bars_and_the_close_before() -> None:
    first, second = day_figures(of_symbol(candle_table(START, [100.0] * 24 + [102.0] * 23 + [101.0])))
    assert (first.change, first.volatility) == (0.0, 0.0)
    assert second.change == pytest.approx(1.0)
    assert (second.low, second.high, second.volume) == (100.0, 102.0, 240.0)


def test_digest_does_not_depend_on_what_comes_after() -> None:
    rows = rising_days()
    tenth = [date(2023, 3, 10)]
    assert day_passages(rows.slice(0, 240), Interval.H1, tenth) == day_passages(rows, Interval.H1, tenth)


def test_day_under_way_is_not_finished() -> None:
    candles = candle_passages(of_symbol(walk_table(START, 30)), Interval.H1)
    assert finished_days(candles, Interval.H1, START + timedelta(hours=30)) == [date(2023, 3, 1)]
    assert finished_days(candles, Interval.D1, START + timedelta(days=9)) == []


def test_day_is_told_again_only_when_a_candle_of_it_changed() -> None:
    rows = of_symbol(walk_table(START, 48))
    days = [date(2023, 3, 1), date(2023, 3, 2)]
    series = ("BTCUSDT", Interval.H1)
    stored = {passage.id: passage.content_hash for passage in day_passages(rows, Interval.H1, days)}
    corrected = candle_passages(rows.slice(30, 1), Interval.H1)
    assert days_to_tell(days, [], {}, series) == days
    assert days_to_tell(days, [], stored, series) == []
    assert days_to_tell(days, corrected, stored, series) == [date(2023, 3, 2)]


def test_context_of_minutes_is_bounded() -> None:
    first, end = context_span([LAST], Interval.M1)
    assert (end - first) / Interval.M1.delta < 12_000
    assert context_span([LAST], Interval.H1)[0] == datetime(2023, 2, 17, tzinfo=UTC)
