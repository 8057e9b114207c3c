"""The number check: what is on the sheet passes in any honest wording, what is not is named."""

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.analysis.check import NumberCheck, check
from deployments.analysis.facts import build_fact_sheet
from deployments.analysis.findings import Findings
from deployments.analysis.formats import Format
from deployments.analysis.models import AnalysisRequest, FactSheet, Language
from deployments.analysis.vocabulary import is_directed
from tests.fakes.findings import make_findings

REQUEST = AnalysisRequest("BTCUSDT")
EN, DE = Language.EN, Language.DE
PERTURBED = build_fact_sheet(REQUEST, make_findings(5))


@pytest.fixture
def sheet(findings: Findings) -> FactSheet:
    return build_fact_sheet(REQUEST, findings)


def holds(text: str, sheet: FactSheet, language: Language = EN) -> bool:
    return not check(text, sheet, language).misses


def number(sheet: FactSheet, fact_id: str) -> float:
    value = sheet.number(fact_id)
    assert value is not None
    return value


@pytest.mark.parametrize("language", [EN, DE])
@pytest.mark.parametrize("seed", range(4))
def test_any_fact_printed_with_any_number_of_digits_resolves(
    make: Callable[..., Findings], language: Language, seed: int
) -> None:
    sheet = build_fact_sheet(REQUEST, make(seed))
    checker, write = NumberCheck(sheet, language), Format(language)
    for fact in sheet.facts:
        if not isinstance(fact.value, float):
            continue
        unit = {"%": " %", "hours": " h", "bars": " bars"}.get(fact.unit, "")
        for digits in range(6):
            text = f"{fact.label}: {write.number(fact.value, digits, signed=is_directed(fact))}{unit}"
            assert not checker.check(text).misses, (fact, text)


@settings(max_examples=200, deadline=None)
@given(digits=st.integers(2, 4), steps=st.floats(1.05, 40), up=st.booleans())
def test_a_price_perturbed_beyond_its_rounding_does_not_resolve(digits: int, steps: float, up: bool) -> None:
    sheet = PERTURBED
    last = number(sheet, "price.last")
    moved = last + (1 if up else -1) * steps * 10.0**-digits
    others = [fact.value for fact in sheet.facts if isinstance(fact.value, float) and fact.id != "price.last"]
    text = f"{moved:,.{digits}f}"
    near = min(abs(float(text.replace(",", "")) - other) for other in others)
    assert near < 10.0**-digits or not holds(f"It closed at {text}.", sheet)


def test_a_fact_resolves_in_prose_of_either_language(sheet: FactSheet) -> None:
    last, change = number(sheet, "price.last"), abs(number(sheet, "change.24h"))
    english, german = Format(EN), Format(DE)
    assert number(sheet, "change.24h") > 0
    assert holds(f"BTCUSDT stands at {english.price(last)}, up {english.percent(change)} in 24 hours.", sheet)
    assert holds(
        f"BTCUSDT steht bei {german.price(last)} und stieg in 24 Stunden um {german.percent(change)}.", sheet, DE
    )


@pytest.mark.parametrize(
    "text",
    [
        "The price is 41,111.11.",
        "The price is ４１１１１.",
        "The price is 4.1111e4.",
        "BTC41111 is next.",
        "The price is 55k.",
        "It may fall to forty-one thousand.",
        "The SMA200 is rising.",
        "It closed on 2022-01-05.",
        "It closed on 5 January.",
        "It closed at 13:37 UTC.",
        "The 95 % interval is wide.",
        "Over 13 hours nothing happened.",
        "It gained 17.23 %.",
        "In 1999 it was lower.",
    ],
)
def test_what_the_sheet_does_not_hold_is_named(sheet: FactSheet, text: str) -> None:
    assert check(text, sheet, EN).unresolved == (text,)


def test_a_swapped_sign_is_named(sheet: FactSheet) -> None:
    change = number(sheet, "change.24h")
    assert change > 0
    assert holds(f"Over 24 hours it rose {change:.2f} %.", sheet)
    assert not holds(f"Over 24 hours it fell {change:.2f} %.", sheet)
    assert not holds(f"Over 24 hours it changed by −{change:.2f} %.", sheet)
    assert not holds(f"In 24 Stunden fiel der Kurs um {change:.2f} %.".replace(".", ",", 1), sheet, DE)


def test_a_fall_may_be_told_with_a_word_or_a_minus_but_not_bare(sheet: FactSheet) -> None:
    change = number(sheet, "forecast.end.lower.80.change")
    assert change < 0
    assert holds(f"The bound lies {-change:.2f} % below the last close.", sheet)
    assert holds(f"The bound stands at {change:.2f} %.", sheet)
    assert not holds(f"The bound stands at {-change:.2f} %.", sheet)


def test_a_percentage_is_no_price_and_a_price_no_percentage(sheet: FactSheet) -> None:
    rsi = number(sheet, "indicator.rsi")
    assert holds(f"The RSI reads {rsi:.2f}.", sheet)
    assert not holds(f"It moved by {rsi:.2f} %.", sheet)


def test_the_right_time_on_the_wrong_day_is_named(sheet: FactSheet) -> None:
    assert holds(f"As of {sheet.as_of:%d %B %Y at %H:%M UTC}.", sheet)
    assert not holds(f"As of {sheet.as_of + timedelta(days=9):%d %B %Y at %H:%M UTC}.", sheet)


def test_numbers_of_a_retrieved_passage_may_be_quoted(sheet: FactSheet) -> None:
    assert holds("On 21 November 2023 the range was 41,234.5 to 43,987.25 [passage.1].", sheet)
    assert not holds("On 21 November 2023 the range was 41,235.5 to 43,987.25.", sheet)


def test_a_derivation_counts_only_where_its_topic_is_mentioned(sheet: FactSheet) -> None:
    width = number(sheet, "forecast.end.upper.80") - number(sheet, "forecast.end.lower.80")
    assert holds(f"The 80 % interval is {width:,.2f} wide.", sheet)
    assert not holds(f"The volume was {width:,.2f}.", sheet)
    down = 100 - number(sheet, "analogues.share_up")
    assert holds(f"In similar situations it fell in {down:.0f} % of the cases.", sheet)


def test_a_difference_of_printed_facts_resolves(make: Callable[..., Findings]) -> None:
    for seed in range(20):
        sheet = build_fact_sheet(REQUEST, make(seed))
        last, lower = round(number(sheet, "price.last"), 2), round(number(sheet, "forecast.end.lower.80"), 2)
        assert holds(f"The lower bound lies {last - lower:,.2f} below the last close.", sheet)


PROSE = {
    EN: """{symbol} last closed at {last}, {up} {change} over the past 24 hours.
The 24-hour range of {low}–{high} is within the 30-day range.
Over the next 24 hours (to {end}) the median forecast is {median}, with an 80% interval from {lower} to {upper}.
RSI(14) stands at {rsi}; SMA20 is at {sma}.
In 60% of 10 similar situations the price rose, in the remaining 40% of similar cases it fell.""",
    DE: """{symbol} schloss bei {last} und {up} in 24 Stunden um {change}.
Die 24-Stunden-Spanne reicht von {low} bis {high}.
Bis {end} liegt der Median der Prognose bei {median}, das 80-%-Intervall reicht von {lower} bis {upper}.
Der RSI(14) steht bei {rsi}, der 20-Perioden-Durchschnitt bei {sma}.
In 60 % der 10 ähnlichen Fälle stieg der Kurs, in den übrigen 40 % der ähnlichen Fälle fiel er.""",
}


@pytest.mark.parametrize("language", [EN, DE])
@pytest.mark.parametrize("seed", range(6))
def test_prose_of_a_model_that_sticks_to_the_sheet_holds(
    make: Callable[..., Findings], language: Language, seed: int
) -> None:
    sheet = build_fact_sheet(REQUEST, make(seed))
    write, change, end = Format(language), number(sheet, "change.24h"), sheet.value("forecast.end.time")
    assert isinstance(end, datetime)
    ids = {
        "last": "price.last",
        "low": "range.24h.low",
        "high": "range.24h.high",
        "median": "forecast.end.median",
        "lower": "forecast.end.lower.80",
        "upper": "forecast.end.upper.80",
        "sma": "indicator.sma.short",
    }
    words = {EN: ("up", "down"), DE: ("stieg", "fiel")}[language]
    text = PROSE[language].format(
        symbol=sheet.symbol,
        up=words[change < 0],
        change=write.percent(abs(change)),
        end=write.instant(end),
        rsi=write.number(number(sheet, "indicator.rsi"), 1),
        **{name: write.price(number(sheet, fact_id)) for name, fact_id in ids.items()},
    )
    assert not check(text, sheet, language).misses


def test_a_coarse_percentage_counts_only_for_the_topic_it_is_said_of(sheet: FactSheet) -> None:
    volatility = number(sheet, "volatility.24h")
    assert holds(f"Volatility was {volatility:.1f} %.", sheet)
    assert not holds(f"The close moved by {volatility:.1f} %.", sheet)


def test_the_name_of_the_model_states_no_number(sheet: FactSheet) -> None:
    assert holds("The model nhits 20231229-1412-a1b2 forecasts 1h bars of BTCUSDT.", sheet)


def test_the_report_counts_what_it_saw(sheet: FactSheet) -> None:
    report = check("It stands at 41,111.11. The horizon is 24 bars.", sheet, EN).report
    assert (report.numbers, report.resolved, report.passed) == (2, 1, False)


@pytest.mark.parametrize(("digits", "most"), [(2, 0.001), (1, 0.005), (0, 0.02)])
def test_few_invented_prices_find_a_home_by_accident(make: Callable[..., Findings], digits: int, most: float) -> None:
    draw = np.random.default_rng(7)
    accepted = total = 0
    for seed in range(3):
        sheet = build_fact_sheet(REQUEST, make(seed))
        checker = NumberCheck(sheet, EN)
        for factor in draw.uniform(0.9, 1.1, 400):
            text = f"{number(sheet, 'price.last') * factor:,.{digits}f}"
            accepted += not checker.check(f"The forecast range, the average and the high stand at {text}.").misses
            total += 1
    assert accepted / total <= most


@pytest.mark.parametrize(("digits", "most"), [(2, 0.03), (1, 0.06)])
def test_few_invented_changes_find_a_home_by_accident(make: Callable[..., Findings], digits: int, most: float) -> None:
    draw = np.random.default_rng(8)
    checks = [NumberCheck(build_fact_sheet(REQUEST, make(seed)), EN) for seed in range(3)]
    texts = [f"The price changed by {value:+.{digits}f} %." for value in draw.uniform(-10, 10, 400)]
    accepted = sum(not one.check(text).misses for one in checks for text in texts)
    assert accepted / (len(checks) * len(texts)) <= most
