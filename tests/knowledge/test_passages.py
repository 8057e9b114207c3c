"""The sentence of a candle."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from deployments.knowledge.models import PassageKind
from deployments.knowledge.passages import candle_passages, changed, character, closed_at, passage_id, price
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval

TIME = datetime(2023, 3, 12, 14, tzinfo=UTC)


def one_row(**changes: float) -> pa.Table:
    figures = {"open": 20512.3, "high": 20790.0, "low": 20433.1, "close": 20768.7, "volume": 1234.5} | changes
    return pa.Table.from_pylist([{"symbol": "BTCUSDT", "time": TIME, **figures}], schema=SYMBOL_CANDLE_SCHEMA)


def test_candle_reads_as_documented() -> None:
    (passage,) = candle_passages(one_row(), Interval.H1)
    assert passage.text == (
        "BTCUSDT 1h 2023-03-12 14:00 UTC: strong rise of +1.25%, open 20512.3, high 20790, low 20433.1, "
        "close 20768.7, range 1.74%, volume 1234.5."
    )
    assert (passage.low, passage.high) == (20433.1, 20790.0)


def test_candle_without_volume_does_not_mention_it() -> None:
    (passage,) = candle_passages(one_row(volume=0.0), Interval.H1)
    assert passage.text.endswith("range 1.74%.")


@pytest.mark.parametrize(
    "flaw",
    [{"close": float("nan")}, {"low": 0.0}, {"high": 20000.0}, {"low": 20600.0}, {"volume": -1.0}],
)
def test_unsound_row_gives_no_passage(flaw: dict[str, float]) -> None:
    assert candle_passages(one_row(**flaw), Interval.H1) == []


def test_ids_are_the_same_in_every_process_and_fit_in_63_bits() -> None:
    ident = passage_id(PassageKind.CANDLE, "BTCUSDT", Interval.H1, TIME)
    assert ident == 5899339389596945056
    assert ident != passage_id(PassageKind.DAY, "BTCUSDT", Interval.H1, TIME)


def test_only_new_and_corrected_candles_count_as_changed() -> None:
    (before,) = candle_passages(one_row(), Interval.H1)
    (after,) = candle_passages(one_row(close=20770.0), Interval.H1)
    assert before.id == after.id
    assert changed([before], {}) == [before]
    assert changed([before], {before.id: before.content_hash}) == []
    assert changed([after], {before.id: before.content_hash}) == [after]


@pytest.mark.parametrize(
    ("change", "words"),
    [(0.01, "flat move"), (0.2, "slight rise"), (-0.7, "fall"), (-1.5, "strong fall"), (4.0, "sharp rise")],
)
def test_character_of_an_hourly_move(change: float, words: str) -> None:
    assert character(change, timedelta(hours=1)) == words


def test_same_move_is_milder_for_a_longer_bar() -> None:
    assert character(1.5, timedelta(hours=4)) == "rise"


@pytest.mark.parametrize(("value", "text"), [(0.00001234, "0.00001234"), (61234.123456, "61234.123"), (5.0, "5")])
def test_prices_keep_eight_digits_and_no_exponent(value: float, text: str) -> None:
    assert price(value) == text


def test_passage_is_known_when_its_bar_or_its_day_is_over() -> None:
    assert closed_at(PassageKind.CANDLE, Interval.M15, TIME) == TIME + timedelta(minutes=15)
    assert closed_at(PassageKind.DAY, Interval.M15, TIME) == TIME + timedelta(days=1)
