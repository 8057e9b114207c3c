"""What a question names."""

from datetime import UTC, datetime, timedelta

import pytest

from deployments.knowledge.question import read_question

KNOWN = {"BTCUSDT", "ETHUSDT", "NEARUSDT", "EURUSD"}
DAY = datetime(2023, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "question",
    [
        "What happened on 2023-03-12?",
        "on 12 March 2023",
        "on the 12th of March 2023, why",
        "March 12, 2023 was wild",
        "am 12. März 2023",
        "am 12.03.2023",
    ],
)
def test_a_date_spans_its_day(question: str) -> None:
    assert read_question(question, KNOWN).spans == ((DAY, DAY + timedelta(days=1)),)


def test_a_date_with_an_hour_spans_that_hour() -> None:
    start = DAY + timedelta(hours=14)
    assert read_question("at 2023-03-12 14:00 UTC", KNOWN).spans == ((start, start + timedelta(hours=1)),)


def test_a_month_spans_all_of_it() -> None:
    spans = read_question("how was December 2022", KNOWN).spans
    assert spans == ((datetime(2022, 12, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)),)


def test_two_dates_are_a_range_only_when_the_question_says_so() -> None:
    until = datetime(2023, 3, 15, tzinfo=UTC)
    assert read_question("between 2023-03-12 and 2023-03-14", KNOWN).spans == ((DAY, until),)
    assert len(read_question("compare 2023-03-12 with 2023-03-14", KNOWN).spans) == 2


def test_a_date_that_is_none_is_ignored() -> None:
    assert read_question("on 2023-02-31", KNOWN).spans == ()


@pytest.mark.parametrize(
    ("question", "levels"),
    [
        ("when did it trade at 20,500?", (20500.0,)),
        ("the break above $1.0850", (1.085,)),
        ("near 20k", (20000.0,)),
        ("at 14:00 UTC", ()),
        ("over 24 hours", ()),
        ("a fall of 5 %", ()),
        ("on 2023-03-12 at 20500.5", (20500.5,)),
        ("the 3 worst days", ()),
    ],
)
def test_levels_are_prices_and_nothing_else(question: str, levels: tuple[float, ...]) -> None:
    assert read_question(question, KNOWN).levels == levels


@pytest.mark.parametrize(
    ("question", "symbols"),
    [
        ("How did BTCUSDT move?", {"BTCUSDT"}),
        ("btc/usdt and eth-usdt", {"BTCUSDT", "ETHUSDT"}),
        ("Did BTC rise?", {"BTCUSDT"}),
        ("bitcoin volume", {"BTCUSDT"}),
        ("a price near the top", set()),
        ("SOLUSDT", set()),
    ],
)
def test_known_symbols_are_found(question: str, symbols: set[str]) -> None:
    assert read_question(question, KNOWN).symbols == symbols
