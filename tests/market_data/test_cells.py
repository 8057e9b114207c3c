"""Foreign columns become instants and numbers, or name the cell that does not."""

import math
from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from deployments.market_data.cells import BadCell, number_column, text_column, time_column

MOMENT = datetime(2021, 4, 4, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2021-04-04 20:00:00+00:00",
        "2021-04-04T20:00:00Z",
        "2021-04-04T20:00:00.000000000Z",
        "2021-04-04T22:00:00+0200",
        "2021-04-04 20:00",
        " 2021-04-04T20:00:00 ",
        "1617566400",
        "1617566400.0",
        "1617566400000",
        1617566400,
        1617566400.0,
        1617566400000,
        1617566400000000,
        1617566400000000000,
        datetime(2021, 4, 4, 20),  # noqa: DTZ001 - without a zone on purpose
        datetime(2021, 4, 4, 22, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_every_usual_way_to_write_a_time_is_read_as_utc(value: object) -> None:
    column = time_column(pa.array([value]))
    assert column.type == pa.timestamp("us", tz="UTC")
    assert column.to_pylist() == [MOMENT]


def test_dates_and_mixed_zones_are_read() -> None:
    assert time_column(pa.array([date(2021, 4, 4)])).to_pylist() == [MOMENT.replace(hour=0)]
    mixed = ["2021-04-04", "2021-04-04 20:00", "2021-04-04T20:00:00Z"]
    assert time_column(pa.array(mixed)).to_pylist() == [MOMENT.replace(hour=0), MOMENT, MOMENT]


@pytest.mark.parametrize(
    ("values", "row", "reason"),
    [
        (["2021-04-04", "04.04.2021"], 1, "'04.04.2021' is not a time"),
        (["1617566400", "soon"], 1, "'soon' is not a time"),
        ([1617566400, 20210404], 1, "20210404 is not a time"),
        ([1617566400.0, math.inf], 1, "inf is not a time"),
        ([1617566400.0, 1e30], 1, "1e+30 is not a time"),
        (["1617566400", "9" * 400], 1, "inf is not a time"),
        ([1617566400, 1617570000000], 0, "1617566400 is not a time"),
        (["2021-04-04", ""], 1, "is empty"),
        ([None], 0, "is empty"),
        ([True], 0, "True is not a time"),
        ([["2021-04-04"]], 0, "['2021-04-04'] is not a time"),
    ],
)
def test_the_first_unreadable_time_is_named(values: list[object], row: int, reason: str) -> None:
    with pytest.raises(BadCell) as bad:
        time_column(pa.array(values))
    assert (bad.value.row, bad.value.reason) == (row, reason)


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_an_instant_beyond_all_years_is_refused_and_not_read_as_another(unit: str) -> None:
    far = pa.array([0, 2**58], pa.timestamp(unit))
    with pytest.raises(BadCell) as bad:
        time_column(far)
    assert (bad.value.row, bad.value.reason) == (1, "is out of range")


def test_numbers_are_read_from_text_and_empty_ones_are_nan() -> None:
    numbers = number_column(pa.array(["1", "2.5e3", " 7 ", "", None])).to_pylist()
    assert numbers[:3] == [1.0, 2500.0, 7.0]
    assert all(math.isnan(number) for number in numbers[3:])


@pytest.mark.parametrize("values", [["1", "abc"], ["1", "1,5"]])
def test_the_first_cell_that_is_no_number_is_named(values: list[str]) -> None:
    with pytest.raises(BadCell) as bad:
        number_column(pa.array(values))
    assert (bad.value.row, bad.value.reason) == (1, f"{values[1]!r} is not a number")


def test_the_right_cell_is_named_in_a_long_column() -> None:
    values = ["1.5"] * 10_000
    values[7_777] = "x"
    values[9_000] = "y"
    with pytest.raises(BadCell) as bad:
        number_column(pa.chunked_array([values[:5_000], values[5_000:]]))
    assert bad.value.row == 7_777


@pytest.mark.parametrize("values", [pa.array([True]), pa.array([date(2021, 4, 4)]), pa.array([[1.0]])])
def test_other_kinds_of_values_are_no_numbers(values: pa.Array) -> None:
    with pytest.raises(BadCell):
        number_column(values)


def test_text_is_trimmed_and_decoded() -> None:
    assert text_column(pa.array(["BTCUSD", " ETHUSD "]).dictionary_encode()).to_pylist() == ["BTCUSD", "ETHUSD"]
    with pytest.raises(BadCell, match="is empty"):
        text_column(pa.array(["BTCUSD", " "]))
