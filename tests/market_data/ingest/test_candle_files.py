"""Candle files: what is read, and how an unreadable one is refused."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from deployments.common.errors import InvalidRequest
from deployments.market_data.ingest.candle_files import infer_interval, interval_of, read_file
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from tests.fakes.market_data import walk_table

START = datetime(2024, 1, 1, tzinfo=UTC)
HEADER = "symbol,time,open,high,low,close,volume\n"
ROW = "BTCUSD,2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def named(symbol: str, table: pa.Table) -> pa.Table:
    return pa.table([pa.array([symbol] * table.num_rows), *table.columns], schema=SYMBOL_CANDLE_SCHEMA)


def refusal(path: Path) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        read_file(path)
    return refused.value


def test_csv_and_parquet_of_the_same_candles_are_read_alike(tmp_path: Path) -> None:
    table = named("BTCUSD", walk_table(START, 50))
    pq.write_table(table, tmp_path / "candles.parquet")
    pa_csv.write_csv(table, tmp_path / "candles.csv")
    assert read_file(tmp_path / "candles.parquet").equals(table)
    assert read_file(tmp_path / "candles.csv").equals(table)


def test_columns_come_in_any_case_and_order_beside_others(tmp_path: Path) -> None:
    text = "Close,note,VOLUME,Low,High,Open,Time,Symbol\n1.5,x,10,0.5,2,1,1704067200,BTCUSD\n"
    rows = read_file(written(tmp_path / "mixed.CSV", text)).to_pylist()
    assert rows == [
        {"symbol": "BTCUSD", "time": START, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0}
    ]


def test_rows_are_sorted_and_of_one_bar_the_last_in_the_file_stays_the_last(tmp_path: Path) -> None:
    later = ROW.replace("T00", "T01")
    other = ROW.replace("BTCUSD", "ADAUSD")
    corrected = ROW.replace("1.5", "1.75")
    table = read_file(written(tmp_path / "a.csv", HEADER + later + ROW + other + corrected))
    assert table["symbol"].to_pylist() == ["ADAUSD", "BTCUSD", "BTCUSD", "BTCUSD"]
    assert table["close"].to_pylist() == [1.5, 1.5, 1.75, 1.5]


def test_an_empty_number_becomes_nan_for_the_quarantine(tmp_path: Path) -> None:
    table = read_file(written(tmp_path / "a.csv", HEADER + ROW.replace(",10\n", ",\n")))
    assert math.isnan(table["volume"][0].as_py())


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        (
            HEADER + ROW + ROW.replace("2024-01-01T00", "tomorrow"),
            "time",
            ["row 2", "line 3", "column time", "tomorrow"],
        ),
        (HEADER + "\n" + ROW + ROW.replace("0.5", "low"), "low", ["row 2", "line 4", "column low", "'low'"]),
        (HEADER.replace("open", "OPEN") + ROW.replace(",1,", ",one,"), "open", ["row 1", "line 2", "column OPEN"]),
        (HEADER + ROW.replace("BTCUSD", ""), "symbol", ["row 1", "line 2", "column symbol", "is empty"]),
        (HEADER + ROW + ROW.replace("BTCUSD", "../etc"), "symbol", ["row 2", "line 3", "'../etc' must be"]),
        (HEADER + ROW + ROW.replace("2024", "1969"), "time", ["row 2", "line 3", "1969-01-01 00:00 lies before"]),
        (HEADER.replace("close", "last") + ROW, "close", ["no column close", "last"]),
        (HEADER.replace("low", "High") + ROW, "high", ["twice", "'high'", "'High'"]),
        (HEADER, "file", ["no rows"]),
        ("", "file", ["cannot be read as csv"]),
        (HEADER + "BTCUSD,2024-01-01\n", "file", ["cannot be read as csv", "7 columns"]),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused_naming_the_place(
    tmp_path: Path, text: str, field: str, words: list[str]
) -> None:
    error = refusal(written(tmp_path / "candles.csv", text))
    assert error.fields[0][0] == field
    assert all(word in str(error) for word in ["candles.csv", *words])


def test_a_wrong_cell_of_a_parquet_file_is_named_by_row(tmp_path: Path) -> None:
    table = named("BTCUSD", walk_table(START, 3))
    texts = table.set_column(4, "low", pa.array(["1", "2", "x"]))
    pq.write_table(texts, tmp_path / "candles.parquet")
    assert "candles.parquet, row 3, column low: 'x' is not a number" in str(refusal(tmp_path / "candles.parquet"))


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    assert "cannot be read as parquet" in str(refusal(written(tmp_path / "a.parquet", HEADER + ROW)))


def test_another_suffix_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert ".csv, .parquet" in str(refusal(written(tmp_path / "candles.xlsx", "")))
    assert "does not exist" in str(refusal(tmp_path / "nowhere.csv"))


@pytest.mark.parametrize("interval", list(Interval))
def test_the_interval_is_told_from_the_spacing_despite_gaps(interval: Interval) -> None:
    full = named("BTCUSD", walk_table(START, 60, interval))
    gappy = pa.concat_tables([full.slice(0, 20), full.slice(30)])
    other = named("ETHUSD", walk_table(START + timedelta(minutes=1), 60, interval))
    assert infer_interval(pa.concat_tables([gappy, other])) is interval


def test_the_interval_is_told_from_bars_that_come_several_times() -> None:
    once = named("BTCUSD", walk_table(START, 20))
    assert infer_interval(pa.concat_tables([once] * 3).sort_by("time")) is Interval.H1


def test_bars_closer_together_than_the_interval_that_was_said_are_refused() -> None:
    hourly = named("BTCUSD", walk_table(START, 20))
    with pytest.raises(InvalidRequest, match="1:00:00 apart, so they are none of 4h"):
        interval_of(hourly, Interval.H4)
    assert interval_of(hourly, Interval.H1) is interval_of(hourly) is Interval.H1
    sparse = hourly.take(pa.array(range(0, 20, 3)))
    assert interval_of(sparse, Interval.H1) is Interval.H1


def test_an_unknown_spacing_and_single_bars_are_refused() -> None:
    every_two_hours = named("BTCUSD", walk_table(START, 20)).take(pa.array(range(0, 20, 2)))
    with pytest.raises(InvalidRequest, match="2:00:00 apart"):
        infer_interval(every_two_hours)
    with pytest.raises(InvalidRequest, match="single bars"):
        infer_interval(named("BTCUSD", walk_table(START, 1)))


@pytest.mark.parametrize(
    ("name", "rows", "symbols"), [("crypto_1h", 191_905, 8), ("forex_1h", 18_701, 3), ("stocks_1h", 5_210, 3)]
)
def test_real_candles_are_read_whole(shared_data: Path, name: str, rows: int, symbols: int) -> None:
    table = read_file(shared_data / f"{name}.parquet")
    assert table.schema.equals(SYMBOL_CANDLE_SCHEMA)
    assert table.num_rows == rows
    assert len(table["symbol"].unique()) == symbols
    assert infer_interval(table) is Interval.H1
