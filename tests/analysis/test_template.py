"""The template engine: says only what the sheet holds, in both languages, on any sheet."""

import pathlib
from collections.abc import Callable
from datetime import UTC, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from deployments.analysis.check import check
from deployments.analysis.facts import build_fact_sheet
from deployments.analysis.findings import Findings
from deployments.analysis.models import AnalysisRequest, FactSheet, Language
from deployments.analysis.template import template_paragraphs
from deployments.market_data.models import CANDLE_SCHEMA, Candles, Interval, Source
from tests.fakes.findings import analogues, forecast

QUESTIONS = {
    Language.EN: "How reliable is the forecast, and is volatility 45,000?",
    Language.DE: "Wie zuverlässig ist die Prognose, und wie hoch ist die Volatilität?",
}
LANGUAGES = list(Language)


def write(sheet: FactSheet, language: Language, question: str = "") -> str:
    return "\n\n".join(template_paragraphs(sheet, AnalysisRequest("BTCUSDT", language=language, question=question)))


def assert_holds(sheet: FactSheet, language: Language, question: str = "") -> None:
    text = write(sheet, language, question)
    checked = check(text, sheet, language)
    assert not checked.misses, text
    assert checked.report.numbers > 3


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("price", [43_000.0, 1.0845, 0.0000812, 212.5])
@pytest.mark.parametrize("seed", range(8))
def test_every_sheet_gives_a_text_that_holds(
    make: Callable[..., Findings], language: Language, price: float, seed: int
) -> None:
    findings = make(seed, start_price=price, stale=seed % 2 == 0)
    assert_holds(build_fact_sheet(AnalysisRequest("BTCUSDT"), findings), language, QUESTIONS[language] * (seed % 2))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("source", ["forecast", "analogues", "passages", "quality", "latest"])
def test_a_missing_source_is_said_and_nothing_made_up_for_it(
    findings: Findings, without: Callable[[Findings, str], Findings], language: Language, source: str
) -> None:
    sheet = build_fact_sheet(AnalysisRequest("BTCUSDT"), without(findings, source))
    assert_holds(sheet, language)
    said = {Language.EN: "Not available", Language.DE: "nicht verfügbar"}[language]
    assert said in write(sheet, language)


@pytest.mark.parametrize("bars", [1, 2, 21, 60])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_thin_sheet_gives_a_short_text(make: Callable[..., Findings], bars: int, language: Language) -> None:
    assert_holds(build_fact_sheet(AnalysisRequest("BTCUSDT"), make(bars=bars)), language)


def test_a_question_is_answered_first_by_the_facts_that_speak_to_it(findings: Findings) -> None:
    sheet = build_fact_sheet(AnalysisRequest("BTCUSDT"), findings)
    paragraphs = template_paragraphs(sheet, AnalysisRequest("BTCUSDT", question="What about the RSI and MACD?"))
    assert paragraphs[1].startswith("Your question touches on momentum; these facts speak to it. The 14-bar RSI reads")
    assert "RSI" not in " ".join(paragraphs[2:])


def test_a_question_beyond_the_sheet_is_said_to_be_one(findings: Findings) -> None:
    sheet = build_fact_sheet(AnalysisRequest("BTCUSDT"), findings)
    paragraphs = template_paragraphs(sheet, AnalysisRequest("BTCUSDT", question="Who are you?"))
    assert paragraphs[1].startswith("No fact of the sheet speaks to the question")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("symbol", ["BTCUSDT", "XRPUSDT", "DOGEUSDT"])
def test_real_candles_give_texts_that_hold(shared_data: pathlib.Path, symbol: str, language: Language) -> None:
    table = pq.read_table(shared_data / "crypto_1h.parquet")
    names = set(table.column("symbol").unique().to_pylist())
    name = symbol if symbol in names else sorted(names)[0]
    table = table.filter(pc.equal(table.column("symbol"), name)).sort_by("time").select(CANDLE_SCHEMA.names)
    for end in range(2000, 20_000, 3000):
        window = pa.table(table.slice(end - 840, 840).to_pydict(), schema=CANDLE_SCHEMA)
        as_of = window.column("time")[-1].as_py().astimezone(UTC) + timedelta(hours=1)
        last = float(window.column("close")[-1].as_py())
        candles = Candles(name, Interval.H1, window, Source.DATABASE, as_of, False)
        findings = Findings(candles, forecast=forecast(last, as_of, end), analogues=analogues(as_of, end))
        assert_holds(build_fact_sheet(AnalysisRequest(name), findings), language)
