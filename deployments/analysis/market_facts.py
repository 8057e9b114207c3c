"""Facts that candles and their quality report give: price, changes, ranges, volatility, indicators, data quality."""

from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from deployments.analysis import indicators as ta
from deployments.analysis.findings import FactList, Findings
from deployments.analysis.models import Fact
from deployments.market_data.models import Candles

WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}

Column = NDArray[np.float64]
Times = NDArray[np.datetime64]


class Columns:
    """Candles as arrays, with the questions that the fact sheet asks of them."""

    def __init__(self, candles: Candles) -> None:
        self.delta = candles.interval.delta
        # Arrow hands out UTC instants as naive datetime64, which is what numpy can compare.
        self.time: Times = np.asarray(candles.table.column("time").to_numpy()).astype("datetime64[us]")
        self.high = self._column(candles, "high")
        self.low = self._column(candles, "low")
        self.close = self._column(candles, "close")

    @staticmethod
    def _column(candles: Candles, name: str) -> Column:
        return np.asarray(candles.table.column(name).to_numpy(), dtype=np.float64)

    def first_within(self, window: timedelta) -> int | None:
        """Return the index of the first bar of the last `window`, None where the history is shorter."""
        start = self.time[-1] + np.timedelta64(self.delta) - np.timedelta64(window)
        if self.time[0] > start:
            return None
        return int(np.searchsorted(self.time, start))

    def change(self, window: timedelta) -> float | None:
        """Return the change of the close over the last `window` in percent."""
        first = self.first_within(window)
        if window < self.delta or first is None or first == 0:
            return None
        return 100.0 * float(self.close[-1] / self.close[first - 1] - 1.0)

    def volatility(self, window: timedelta) -> float | None:
        """Return the realised volatility per day over the last `window`, in percent: no calendar assumed."""
        first = self.first_within(window)
        if first is None or first == 0 or len(self.close) - first < 2:
            return None
        returns = np.diff(np.log(self.close[first - 1 :]))
        return 100.0 * float(np.sqrt(np.sum(returns**2) / (window / timedelta(days=1))))


def market_facts(findings: Findings, as_of: datetime) -> list[Fact]:
    """Return the facts of price action and indicators; `findings.candles` holds at least one bar."""
    columns = Columns(findings.candles)
    facts = FactList(as_of, "candles")
    facts.number("price.last", "Last close", float(columns.close[-1]), "price")
    facts.moment("price.time", "Opening time of the last closed bar", _utc(columns.time[-1]))
    _add_forming(facts, findings)
    for name in ("1h", "24h", "7d"):
        facts.number(f"change.{name}", f"Change over {name}", columns.change(WINDOWS[name]), "%")
    for name in ("24h", "7d", "30d"):
        _add_range(facts, columns, name)
    for name in ("24h", "30d"):
        value = columns.volatility(WINDOWS[name])
        facts.number(f"volatility.{name}", f"Realised volatility per day over {name}", value, "%")
    return facts.facts + _indicator_facts(columns, as_of)


def _utc(instant: np.datetime64) -> datetime:
    return datetime.fromisoformat(f"{instant}+00:00")


def _add_forming(facts: FactList, findings: Findings) -> None:
    if findings.latest is not None and findings.latest.forming is not None:
        facts.number("price.forming", "Price in the bar that is not closed yet", findings.latest.forming.close, "price")


def _add_range(facts: FactList, columns: Columns, name: str) -> None:
    first = columns.first_within(WINDOWS[name])
    if first is None:
        return
    high, low = float(columns.high[first:].max()), float(columns.low[first:].min())
    facts.number(f"range.{name}.high", f"High of {name}", high, "price")
    facts.number(f"range.{name}.low", f"Low of {name}", low, "price")
    if name == "30d" and high > low:
        position = 100.0 * (float(columns.close[-1]) - low) / (high - low)
        facts.number("range.30d.position", "Place of the last close in the range of 30d, 0 at its low", position, "%")


def _indicator_facts(columns: Columns, as_of: datetime) -> list[Fact]:
    found = ta.indicators(columns.high, columns.low, columns.close)
    facts = FactList(as_of, "indicators")
    facts.number("indicator.rsi", "RSI", found.rsi, "index")
    facts.number("indicator.atr", "Average true range in percent of the close", found.atr_percent, "%")
    last = float(columns.close[-1])
    for name, value in (("short", found.sma_short), ("long", found.sma_long)):
        facts.number(f"indicator.sma.{name}", f"Simple moving average, {name}", value, "price")
        distance = None if not value else 100.0 * (last / value - 1.0)
        facts.number(f"indicator.sma.{name}.distance", f"Last close against the {name} average", distance, "%")
    facts.number("indicator.macd.histogram", "MACD histogram", found.macd_histogram, "price")
    facts.number("indicator.bollinger", "Place of the close in its Bollinger band", found.bollinger_percent, "%")
    return facts.facts


def setting_facts(as_of: datetime) -> list[Fact]:
    """Return the lengths that the other facts are computed over: an answer may name them."""
    facts = FactList(as_of, "settings")
    for name, window in WINDOWS.items():
        facts.number(f"setting.window.{name}", f"Window {name}", window / timedelta(hours=1), "hours")
    facts.number("setting.rsi", "Bars of the RSI", ta.RSI_BARS, "bars")
    facts.number("setting.atr", "Bars of the average true range", ta.ATR_BARS, "bars")
    facts.number("setting.sma.short", "Bars of the short average", ta.SMA_SHORT_BARS, "bars")
    facts.number("setting.sma.long", "Bars of the long average", ta.SMA_LONG_BARS, "bars")
    for name, bars in zip(("fast", "slow", "signal"), ta.MACD_BARS, strict=True):
        facts.number(f"setting.macd.{name}", f"Bars of the MACD, {name}", bars, "bars")
    facts.number("setting.bollinger", "Bars of the Bollinger band", ta.BOLLINGER_BARS, "bars")
    facts.number("setting.bollinger.deviations", "Width of the Bollinger band", ta.BOLLINGER_DEVIATIONS, "count")
    return facts.facts


def quality_facts(findings: Findings, as_of: datetime) -> list[Fact]:
    """Return how old, whole and clean the data are."""
    candles = findings.candles
    facts = FactList(as_of, "quality")
    facts.moment("data.as_of", "Data as of", as_of)
    facts.text("data.stale", "Data are stale", "yes" if candles.stale else "no")
    facts.text("data.source", "Read from", candles.source.value)
    facts.number("data.bars", "Bars read", candles.table.num_rows, "bars")
    facts.number("data.gaps", "Gaps in the bars read", len(candles.gaps), "count")
    facts.number("data.gap_bars", "Bars missing in those gaps", sum(gap.bars for gap in candles.gaps), "bars")
    if findings.quality is not None:
        for check, count in sorted(findings.quality.counts.items()):
            facts.number(f"quality.{check}", f"Findings of the check {check}", count, "count")
        facts.number("quality.quarantined", "Quarantined rows", len(findings.quality.quarantined), "count")
    return facts.facts
