"""The fact sheet: everything an analysis may say, with ids, values, units and instants. Pure and deterministic."""

from datetime import datetime

from deployments.analysis.findings import FactList, Findings
from deployments.analysis.market_facts import market_facts, quality_facts, setting_facts
from deployments.analysis.models import AnalysisRequest, Fact, FactSheet
from deployments.analysis.outlook_facts import analogue_facts, forecast_facts, passage_facts
from deployments.common.errors import NoCandles


def build_fact_sheet(request: AnalysisRequest, findings: Findings) -> FactSheet:
    """Write down what is known, in a fixed order: the same findings give the same sheet.

    Raises `NoCandles` where the candles are empty; any other source may be missing, which is a fact of its own.
    """
    candles = findings.candles
    if candles.table.num_rows == 0:
        raise NoCandles(f"{candles.symbol} has no closed {request.interval} candles")
    as_of = candles.data_as_of or _last_close_time(findings)
    facts = market_facts(findings, as_of)
    facts += _outlook(findings, as_of, last_close=float(candles.table.column("close")[-1].as_py()))
    facts += quality_facts(findings, as_of)
    facts += _missing(findings, as_of)
    facts += setting_facts(as_of)
    passages = () if findings.search is None else tuple(hit.text for hit in findings.search.hits)
    return FactSheet(candles.symbol, request.interval, as_of, tuple(facts), passages)


def _last_close_time(findings: Findings) -> datetime:
    opened: datetime = findings.candles.table.column("time")[-1].as_py()
    return opened + findings.candles.interval.delta


def _outlook(findings: Findings, as_of: datetime, last_close: float) -> list[Fact]:
    facts: list[Fact] = []
    if findings.forecast is not None:
        facts += forecast_facts(findings.forecast, last_close)
    if findings.analogues is not None:
        facts += analogue_facts(findings.analogues)
    if findings.search is not None:
        facts += passage_facts(findings.search.hits, as_of)
    return facts


def _missing(findings: Findings, as_of: datetime) -> list[Fact]:
    facts = FactList(as_of, "analyst")
    for source, reason in sorted(findings.missing.items()):
        facts.text(f"missing.{source}", f"Not available: {source}", reason)
    return facts.facts
