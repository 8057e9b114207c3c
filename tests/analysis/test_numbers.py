"""Numbers and dates as texts write them."""

import pytest

from deployments.analysis.dates import find_moments
from deployments.analysis.models import Language
from deployments.analysis.numbers import find_numbers, parse
from deployments.analysis.reading import Moment, Quantity, Token, Unit, Unreadable, normalise

EN, DE = Language.EN, Language.DE


def read(text: str, language: Language = EN) -> list[Token]:
    moments, rest = find_moments(normalise(text))
    return [*moments, *find_numbers(rest, language)]


def one(text: str, language: Language = EN) -> Quantity:
    (token,) = read(text, language)
    assert isinstance(token, Quantity)
    return token


@pytest.mark.parametrize(
    ("text", "language", "value", "decimals"),
    [
        ("43,250.5", EN, 43250.5, 1),
        ("43.250,5", EN, 43250.5, 1),
        ("43,250", EN, 43250.0, 0),
        ("43,250", DE, 43.25, 3),
        ("43.250", DE, 43250.0, 0),
        ("43.250", EN, 43.25, 3),
        ("43,25", EN, 43.25, 2),
        ("1,234,567", EN, 1234567.0, 0),
        ("1.234.567,8", DE, 1234567.8, 1),
        ("0,123", EN, 0.123, 3),
        ("1'234.5", EN, 1234.5, 1),
        ("1\u00a0234,5", DE, 1234.5, 1),
    ],
)
def test_separators_are_read_as_the_language_has_them(
    text: str, language: Language, value: float, decimals: int
) -> None:
    assert parse(text, language) == (value, decimals)


@pytest.mark.parametrize("text", ["1.2.3", "1,23,456", "12.34,56.7"])
def test_digits_that_make_no_number_are_refused(text: str) -> None:
    assert parse(text, EN) is None


@pytest.mark.parametrize(
    ("text", "value", "tolerance", "unit"),
    [
        ("up 3.2 %", 3.2, 0.05, Unit.PERCENT),
        ("−1,4 Prozent", -1.4, 0.05, Unit.PERCENT),
        ("5 bps", 0.05, 0.005, Unit.PERCENT),
        ("$43.2k", 43200.0, 50.0, Unit.PRICE),
        ("4.3e4", 43000.0, 500.0, Unit.NONE),
        ("4.325 × 10⁴", 43250.0, 5.0, Unit.NONE),
        ("1.2 million", 1.2e6, 5e4, Unit.NONE),
        ("24-hour", 24.0, 0.5, Unit.HOURS),
        ("7 Tagen", 168.0, 12.0, Unit.HOURS),
        ("20-bar", 20.0, 0.5, Unit.BARS),
        ("SMA20", 20.0, 0.5, Unit.NONE),
        ("４３２５０", 43250.0, 0.5, Unit.NONE),
        ("٤٣٢٥٠", 43250.0, 0.5, Unit.NONE),
        ("43\u200b250", 43250.0, 0.5, Unit.NONE),
        ("BTC43250", 43250.0, 0.5, Unit.NONE),
        ("around 43,000", 43000.0, 43.0, Unit.NONE),
        ("rund 43,250", 43250.0, 5.0, Unit.NONE),
    ],
)
def test_a_number_carries_value_rounding_and_unit(text: str, value: float, tolerance: float, unit: Unit) -> None:
    found = one(text)
    assert found.value == pytest.approx(value)
    assert found.tolerance == pytest.approx(tolerance)
    assert found.unit is unit


def test_a_range_shares_its_percent_and_its_dash_is_no_minus() -> None:
    assert [token.unit for token in read("1.2–3.4 %") if isinstance(token, Quantity)] == [Unit.PERCENT] * 2
    assert [token.value for token in read("42,000–44,000") if isinstance(token, Quantity)] == [42000.0, 44000.0]


@pytest.mark.parametrize("text", ["forty thousand", "dreiundvierzigtausend", "½", "Ⅷ", "四", "14:00 CET", "9:30 EST"])
def test_what_cannot_be_checked_is_named(text: str) -> None:
    tokens = read(text)
    assert tokens
    assert all(isinstance(token, Unreadable) for token in tokens)


def test_a_list_marker_is_no_number() -> None:
    assert read("1. The price rose.") == []


@pytest.mark.parametrize(
    "text",
    [
        "2023-12-30T14:00Z",
        "2023-12-30 14:00 UTC",
        "30 December 2023 at 14:00 UTC",
        "December 30, 2023, 2 pm",
        "30. Dezember 2023 um 14 Uhr",
        "30.12.2023 14:00",
        "14:00 UTC on 30 December 2023",
    ],
)
def test_a_date_and_its_time_are_one_moment(text: str) -> None:
    (token,) = read(text)
    assert isinstance(token, Moment)
    assert (token.year, token.month, token.day, token.hour, token.minute) == (2023, 12, 30, 14, 0)


def test_parts_of_a_date_that_a_text_leaves_open_are_open() -> None:
    (token,) = read("in December 2023")
    assert isinstance(token, Moment)
    assert (token.year, token.month, token.day) == (2023, 12, None)
    assert token.agrees_with(Moment("", 2023, 12, 30, 14, 0))
    assert not Moment("", 2023, 12, 30, 14, 0).agrees_with(token)
