"""Score an analysis against what happened, once its horizon has passed."""

import math
from datetime import datetime

from deployments.analysis.models import Analysis, FactSheet
from deployments.market_data.models import CandleQuery, Candles


def outcome_query(analysis: Analysis, now: datetime) -> CandleQuery | None:
    """Return the read of the bar that the forecast ended with, None while it is not closed or nothing was forecast."""
    end = _sheet(analysis).value("forecast.end.time")
    if not isinstance(end, datetime) or end + analysis.interval.delta > now:
        return None
    return CandleQuery(analysis.symbol, analysis.interval, start=end, end=end + analysis.interval.delta)


def score(analysis: Analysis, candles: Candles) -> dict[str, float] | None:
    """Compare forecast and outcome: `direction_hit` and `inside_80` are 0 or 1, the change a percentage.

    Returns None where the bar that the forecast ended with is not among the candles.
    """
    sheet = _sheet(analysis)
    realised = _close_at_end(sheet, candles)
    last, median = sheet.number("price.last"), sheet.number("forecast.end.median")
    if realised is None or last is None or median is None:
        return None
    found = {"realised_change_percent": 100.0 * (realised / last - 1.0)}
    if not math.isclose(median, last, rel_tol=1e-9):  # the baseline's median is the last close: it names no direction
        found["direction_hit"] = float((realised - last) * (median - last) > 0)
    lower, upper = sheet.number("forecast.end.lower.80"), sheet.number("forecast.end.upper.80")
    if lower is not None and upper is not None:
        found["inside_80"] = float(lower <= realised <= upper)
    return found


def _close_at_end(sheet: FactSheet, candles: Candles) -> float | None:
    end = sheet.value("forecast.end.time")
    for time, close in zip(candles.table.column("time"), candles.table.column("close"), strict=True):
        if time.as_py() == end:
            return float(close.as_py())
    return None


def _sheet(analysis: Analysis) -> FactSheet:
    return FactSheet(analysis.symbol, analysis.interval, analysis.data_as_of, analysis.facts, analysis.passages)
