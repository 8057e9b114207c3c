"""The fact sheet and its indicators: known answers, and nothing where the history is short."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from deployments.analysis.facts import build_fact_sheet
from deployments.analysis.findings import Findings
from deployments.analysis.indicators import indicators
from deployments.analysis.models import AnalysisRequest
from deployments.common.errors import NoCandles

REQUEST = AnalysisRequest("BTCUSDT")


def test_indicators_of_a_straight_line_are_known() -> None:
    close = np.linspace(100.0, 199.0, 100)
    found = indicators(close + 1, close - 1, close)
    assert found.rsi == pytest.approx(100.0)
    assert found.atr_percent == pytest.approx(100 * 2.0 / 199.0)
    assert found.sma_short == pytest.approx(close[-20:].mean())
    assert found.sma_long == pytest.approx(close[-50:].mean())
    assert found.macd_histogram == pytest.approx(0.0, abs=1e-6)
    deviation = close[-20:].std()
    place = 100 * (close[-1] - (close[-20:].mean() - 2 * deviation)) / (4 * deviation)
    assert found.bollinger_percent == pytest.approx(place)


@pytest.mark.parametrize("bars", [0, 1, 13])
def test_a_short_history_has_no_indicators(bars: int) -> None:
    close = np.full(bars, 100.0)
    found = indicators(close, close, close)
    assert (found.rsi, found.sma_short, found.sma_long, found.macd_histogram, found.bollinger_percent) == (None,) * 5


def test_the_same_findings_give_the_same_sheet(make: Callable[..., Findings]) -> None:
    assert build_fact_sheet(REQUEST, make(3)) == build_fact_sheet(REQUEST, make(3))


def test_every_id_is_unique_and_every_number_finite(findings: Findings) -> None:
    sheet = build_fact_sheet(REQUEST, findings)
    ids = [fact.id for fact in sheet.facts]
    assert len(ids) == len(set(ids))
    assert all(math.isfinite(fact.value) for fact in sheet.facts if isinstance(fact.value, float))
    assert all(isinstance(fact.value, datetime) == (fact.unit == "time") for fact in sheet.facts)


def test_changes_and_ranges_are_those_of_the_candles(findings: Findings) -> None:
    sheet = build_fact_sheet(REQUEST, findings)
    close = np.asarray(findings.candles.table.column("close"))
    high = np.asarray(findings.candles.table.column("high"))
    assert sheet.number("change.1h") == pytest.approx(100 * (close[-1] / close[-2] - 1))
    assert sheet.number("change.24h") == pytest.approx(100 * (close[-1] / close[-25] - 1))
    assert sheet.number("range.24h.high") == high[-24:].max()
    returns = np.diff(np.log(close[-25:]))
    assert sheet.number("volatility.24h") == pytest.approx(100 * np.sqrt((returns**2).sum()))


def test_a_short_history_leaves_out_what_it_cannot_tell(make: Callable[..., Findings]) -> None:
    sheet = build_fact_sheet(REQUEST, make(bars=30))
    assert sheet.number("change.24h") is not None
    assert sheet.number("change.7d") is None
    assert sheet.number("range.30d.high") is None
    assert sheet.number("indicator.sma.long") is None


def test_stale_data_and_missing_sources_are_facts(
    make: Callable[..., Findings], without: Callable[[Findings, str], Findings]
) -> None:
    sheet = build_fact_sheet(REQUEST, without(make(stale=True), "forecast"))
    assert sheet.value("data.stale") == "yes"
    assert sheet.number("data.gap_bars") == 3
    assert sheet.value("missing.forecast") == "needs 1,200 bars, has 240"
    assert not sheet.group("forecast.")


def test_no_candles_are_an_error(findings: Findings) -> None:
    empty = replace(findings.candles, table=findings.candles.table.slice(0, 0))
    with pytest.raises(NoCandles):
        build_fact_sheet(REQUEST, replace(findings, candles=empty))
