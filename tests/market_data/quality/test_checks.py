"""Checks on candles."""

import math
import pathlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.findings import Finding
from deployments.market_data.ingest.admission import admit
from deployments.market_data.instants import times_of
from deployments.market_data.models import CANDLE_SCHEMA, Interval
from deployments.market_data.quality.checks import FLAT_BARS, gaps, report, screen
from deployments.market_data.symbols.names import guess_draft
from tests.fakes.market_data import candle_table, walk_table

START = datetime(2026, 3, 2, tzinfo=UTC)
NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
ALWAYS = calendar_named("24/7")
SOUND = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 5.0}


def row(**changes: Any) -> pa.Table:
    nullable = pa.schema([field.with_nullable(True) for field in CANDLE_SCHEMA])
    return pa.Table.from_pylist([{"time": START, **SOUND, **changes}], schema=nullable)


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"close": math.nan}, "not_finite"),
        ({"high": math.inf}, "not_finite"),
        ({"volume": None}, "not_finite"),
        ({"low": 0.0}, "non_positive"),
        ({"volume": -1.0}, "non_positive"),
        ({"high": 10.5}, "high_low"),
        ({"low": 10.5}, "high_low"),
        ({"time": NOW + timedelta(hours=1)}, "future_time"),
    ],
)
def test_broken_row_is_kept_aside_with_its_check(changes: dict[str, Any], check: str) -> None:
    good, aside = screen(row(**changes), NOW)
    assert good.num_rows == 0
    assert [one.check for one in aside] == [check]


def test_sound_row_with_no_volume_is_served() -> None:
    good, aside = screen(row(volume=0.0), NOW)
    assert (good.num_rows, aside) == (1, ())


@given(st.lists(st.sampled_from([11.0, math.nan, -1.0, 99.0]), min_size=1, max_size=40))
def test_screening_keeps_every_row_exactly_once(closes: list[float]) -> None:
    rows = pa.concat_tables([row(close=close, time=START + timedelta(hours=n)) for n, close in enumerate(closes)])
    good, aside = screen(rows, NOW)
    assert sorted([*good["time"].to_pylist(), *(one.time for one in aside)]) == rows["time"].to_pylist()
    assert screen(good, NOW) == (good, ())


def test_missing_bars_are_gaps_with_their_ends() -> None:
    whole = walk_table(START, 10)
    holed = pa.concat_tables([whole.slice(0, 3), whole.slice(5, 1), whole.slice(7)])
    found = gaps(times_of(holed), Interval.H1, ALWAYS)
    assert [(gap.start.hour, gap.end.hour, gap.bars) for gap in found] == [(3, 4, 2), (6, 6, 1)]


def test_week_that_opens_an_hour_early_has_no_gap() -> None:
    sunday = datetime(2026, 3, 8, 21, tzinfo=UTC)  # New York has changed its clock, Europe has not
    friday = walk_table(sunday - timedelta(hours=51), 3)  # until 21:00, an hour before the rule says
    both = pa.concat_tables([friday, walk_table(sunday, 3)])
    assert gaps(times_of(both), Interval.H1, calendar_named("forex")) == ()


def test_duplicates_disorder_and_unfinished_bars_are_counted() -> None:
    table = walk_table(datetime(2026, 3, 4, 8, tzinfo=UTC), 5)
    told = pa.concat_tables([table.slice(1, 1), table.slice(1, 4), table.slice(0, 1)])
    counts, found, places = report(told, Interval.H1, ALWAYS, NOW)
    assert (counts["duplicate"], counts["out_of_order"], counts["unfinished"], found) == (1, 1, 1, ())
    assert {one.check: one.time.hour for one in places} == {"duplicate": 9, "out_of_order": 8, "unfinished": 12}


def test_a_jump_is_reported_and_served() -> None:
    closes = [100.0 + (n % 2) * 0.1 for n in range(200)] + [130.0, 130.1]
    table = candle_table(START - timedelta(days=30), closes)
    counts, _, _ = report(table, Interval.H1, ALWAYS, NOW)
    assert counts["jump"] == 1
    assert screen(table, NOW)[0].num_rows == len(closes)


def test_long_run_of_one_close_is_flat() -> None:
    closes = [1.0, 2.0] + [3.0] * FLAT_BARS + [4.0] + [5.0] * (FLAT_BARS - 1)
    counts, _, _ = report(candle_table(START, closes), Interval.H1, ALWAYS, NOW)
    assert counts["flat_line"] == FLAT_BARS


def test_empty_and_single_rows_have_nothing_to_report() -> None:
    for bars in (0, 1):
        counts, found, _ = report(walk_table(START, 1).slice(0, bars), Interval.H1, ALWAYS, NOW)
        assert (sum(counts.values()), found) == (0, ())


@pytest.mark.parametrize("name", ["crypto_1h", "forex_1h", "stocks_1h"])
def test_real_candles_hold_no_row_to_refuse(shared_data: pathlib.Path, name: str) -> None:
    table = pq.read_table(shared_data / f"{name}.parquet")
    assert screen(table, datetime(2026, 11, 1, tzinfo=UTC))[1] == ()


def test_real_outages_are_gaps_and_nights_and_weekends_are_not(shared_data: pathlib.Path) -> None:
    numbers: dict[str, int] = {}
    for name in ("crypto_1h", "forex_1h", "stocks_1h"):
        table = pq.read_table(shared_data / f"{name}.parquet")
        for symbol in pc.unique(table["symbol"]).to_pylist():
            own = table.filter(pc.equal(table["symbol"], symbol))
            found = gaps(times_of(own), Interval.H1, calendar_named(guess_draft(symbol).calendar))
            assert max(gap.bars for gap in found) < 15
            numbers[symbol] = len(found)
    assert {numbers[symbol] for symbol in numbers if symbol.endswith("USDT")} == {5}
    assert {symbol: numbers[symbol] for symbol in ("EURUSD", "EURGBP", "EURJPY", "AAPL", "TSLA", "SPX")} == {
        "EURUSD": 5,
        "EURGBP": 8,
        "EURJPY": 12,
        "AAPL": 1,
        "TSLA": 1,
        "SPX": 1,
    }


@pytest.mark.parametrize(("name", "jumps"), [("crypto_1h", 55), ("forex_1h", 5), ("stocks_1h", 0)])
def test_real_candles_raise_no_alarm_but_outages_and_the_market_s_own_jumps(
    shared_data: pathlib.Path, name: str, jumps: int
) -> None:
    table = pq.read_table(shared_data / f"{name}.parquet")
    now = datetime(2026, 11, 1, tzinfo=UTC)
    assert admit(table, Interval.H1, now, {}).refused == {}
    found: list[Finding] = []
    for symbol in pc.unique(table["symbol"]).to_pylist():
        own = table.filter(pc.equal(table["symbol"], symbol))
        found += report(own, Interval.H1, calendar_named(guess_draft(symbol).calendar), now)[2]
    assert {one.check for one in found} <= {"gap", "jump"}
    assert sum(one.check == "jump" for one in found) == jumps
    if name == "crypto_1h":
        days = {one.time.date() for one in found if one.check == "gap"}
        assert days == {date(2021, 4, 20), date(2021, 4, 25), date(2021, 8, 13), date(2021, 9, 29), date(2023, 3, 24)}


def test_two_jumps_close_together_are_both_found() -> None:
    closes = [100.0 + (n % 2) * 0.1 for n in range(100)] + [130.0] + [130.0 + (n % 2) * 0.1 for n in range(5)] + [100.0]
    table = candle_table(START - timedelta(days=30), closes)
    places = report(table, Interval.H1, ALWAYS, NOW)[2]
    assert [one.time for one in places if one.check == "jump"] == [table["time"][n].as_py() for n in (100, 106)]
