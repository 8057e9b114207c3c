"""Bars on their calendar's grid: what is missing is masked, what a range says, and what is refused."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from deployments.common.errors import BadUpstream
from deployments.forecasting.series.bars import bars_of
from deployments.market_data.models import CANDLE_SCHEMA, Interval
from tests.fakes.market_data import candle_table
from tests.fakes.panels import START, wavy_tables


def candle(time: datetime, opened: float, high: float, low: float, close: float) -> dict[str, object]:
    return {"time": time, "open": opened, "high": high, "low": low, "close": close, "volume": 0.0}


def table_of(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=CANDLE_SCHEMA)


def test_a_missing_bar_is_masked_and_the_close_before_it_goes_on() -> None:
    table = candle_table(START, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).take([0, 1, 3, 4, 5])

    bars = bars_of(table, "24/7", Interval.H1)

    assert bars.known.tolist() == [True, True, False, True, True, True]
    assert np.exp(bars.log_closes) == pytest.approx([1, 2, 2, 4, 5, 6])
    assert bars.variances[2] == 0
    assert bars.hours.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_series_without_a_hole_has_the_bars_that_it_has_in_front_of_one() -> None:
    table = candle_table(START, [1.0, 2.0, 4.0, 3.0, 5.0, 6.0, 7.0, 8.0])

    whole, holed = (bars_of(each, "24/7", Interval.H1) for each in (table.slice(0, 6), table.take([*range(6), 7])))

    for name in ("times", "log_closes", "variances", "known", "hours"):
        assert np.array_equal(getattr(whole, name), getattr(holed[:6], name))
    assert not holed.known[6]


def test_a_bar_that_was_added_up_from_too_few_finer_ones_is_masked_as_if_it_had_not_come() -> None:
    table = candle_table(START, [float(close) for close in range(1, 41)])

    bars = bars_of(table, "24/7", Interval.H1, incomplete=[START + timedelta(hours=3)])
    without = bars_of(table.take([0, 1, 2, *range(4, 40)]), "24/7", Interval.H1)

    for name in ("times", "log_closes", "variances", "known", "hours"):
        assert np.array_equal(getattr(bars, name), getattr(without, name))


def test_a_feed_that_leaves_out_bars_without_trades_has_none_of_its_bars_masked() -> None:
    table = candle_table(START, [1.0] * 40)

    bars = bars_of(table, "24/7", Interval.H1, incomplete=[START + timedelta(hours=hour) for hour in (1, 14, 27)])

    assert bars.known.all()


def test_an_incomplete_bar_that_was_not_read_changes_nothing() -> None:
    bars = bars_of(candle_table(START, [1.0, 2.0]), "24/7", Interval.H1, incomplete=[START - timedelta(hours=1)])

    assert bars.known.all()


def test_a_weekend_is_no_hole_in_the_currency_week() -> None:
    friday, sunday = datetime(2024, 1, 5, 20, tzinfo=UTC), datetime(2024, 1, 7, 22, tzinfo=UTC)
    table = pa.concat_tables([candle_table(friday, [1.0, 1.1]), candle_table(sunday, [1.2])])

    bars = bars_of(table, "forex", Interval.H1)

    assert len(bars) == 3
    assert bars.known.all()


def test_a_bar_that_the_calendar_does_not_foresee_is_kept() -> None:
    summer_opening = datetime(2024, 7, 7, 21, tzinfo=UTC)
    table = candle_table(summer_opening, [1.0] * 30)

    bars = bars_of(table, "forex", Interval.H1)

    assert len(bars) == 30
    assert bars.known.all()


@pytest.mark.parametrize("month", [1, 3, 7, 11], ids=["winter", "between", "summer", "after"])
def test_a_week_told_by_another_clock_has_no_hole_at_its_edges(month: int) -> None:
    opening = datetime(2024, month, {1: 7, 3: 10, 7: 7, 11: 3}[month], 22, tzinfo=UTC)
    weeks = [candle_table(opening + timedelta(days=7 * week), [1.0] * 120) for week in range(3)]

    bars = bars_of(pa.concat_tables(weeks), "forex", Interval.H1)

    assert len(bars) == 360
    assert bars.known.all()


def test_bars_of_quite_another_calendar_simply_follow_each_other() -> None:
    sessions = [candle_table(START + timedelta(days=day, hours=14), [1.0] * 7) for day in range(5)]

    bars = bars_of(pa.concat_tables(sessions), "24/7", Interval.H1)

    assert len(bars) == 35
    assert bars.known.all()


def test_the_variance_is_that_of_the_range_and_of_the_move_before_the_opening() -> None:
    first = candle(START, 100.0, 102.0, 99.0, 101.0)
    second = candle(START + timedelta(hours=1), 103.0, 104.0, 102.0, 103.0)

    bars = bars_of(table_of(first, second), "24/7", Interval.H1)

    within = [
        0.5 * np.log(102 / 99) ** 2 - (2 * np.log(2) - 1) * np.log(101 / 100) ** 2,
        0.5 * np.log(104 / 102) ** 2,
    ]
    assert bars.variances == pytest.approx([within[0], within[1] + np.log(103 / 101) ** 2])


def test_a_feed_of_closes_alone_still_has_variances() -> None:
    table = table_of(*(candle(START + timedelta(hours=n), p, p, p, p) for n, p in enumerate([100.0, 101.0, 100.0])))

    bars = bars_of(table, "24/7", Interval.H1)

    assert bars.variances == pytest.approx([0, np.log(1.01) ** 2, np.log(1.01) ** 2])


def test_the_move_across_missing_bars_is_shared_among_them() -> None:
    table = table_of(
        candle(START, 100.0, 100.0, 100.0, 100.0), candle(START + timedelta(hours=1), 100.0, 100.0, 100.0, 100.0),
        *(candle(START + timedelta(hours=4 + n), 110.0, 110.0, 110.0, 110.0) for n in range(9)),
    )  # fmt: skip

    bars = bars_of(table, "24/7", Interval.H1)

    assert bars.known.tolist() == [True, True, False, False, *[True] * 9]
    assert bars.variances[4] == pytest.approx(np.log(1.1) ** 2 / 3)


@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_price_without_a_logarithm_is_refused(column: str, price: float) -> None:
    row = {**candle(START, 1.0, 1.0, 1.0, 1.0), column: price}

    with pytest.raises(BadUpstream, match=f"AAA has the {column}"):
        bars_of(table_of(row), "24/7", Interval.H1, "AAA")


def test_time_running_back_is_refused() -> None:
    with pytest.raises(BadUpstream, match="ascend"):
        bars_of(candle_table(START, [1.0, 2.0, 3.0]).take([0, 2, 1]), "24/7", Interval.H1)


def test_no_candle_gives_no_bar() -> None:
    assert len(bars_of(CANDLE_SCHEMA.empty_table(), "24/7", Interval.H1)) == 0


def test_cutting_bars_off_the_front_changes_only_the_first_of_the_rest() -> None:
    table = wavy_tables(100)["AAAUSD"]

    whole, rest = (bars_of(each, "24/7", Interval.H1) for each in (table, table.slice(40)))

    np.testing.assert_array_equal(whole[41:].variances, rest[1:].variances)
    np.testing.assert_array_equal(whole[40:].log_closes, rest.log_closes)
    np.testing.assert_array_equal(whole[40:].hours, rest.hours)
