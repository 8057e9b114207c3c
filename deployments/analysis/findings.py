"""What the other contexts answered, gathered for one analysis, and how one fact after another is written down."""

import math
from dataclasses import dataclass, field
from datetime import datetime

from deployments.analysis.models import Fact
from deployments.forecasting.models import Forecast
from deployments.knowledge.models import Analogues, SearchAnswer
from deployments.market_data.findings import QualityReport
from deployments.market_data.models import Candles, LatestCandle


@dataclass(frozen=True, slots=True)
class Findings:
    """The answers behind a fact sheet; what is None is named in `missing` by source, with the reason."""

    candles: Candles
    latest: LatestCandle | None = None
    quality: QualityReport | None = None
    forecast: Forecast | None = None
    analogues: Analogues | None = None
    search: SearchAnswer | None = None
    missing: dict[str, str] = field(default_factory=dict)


class FactList:
    """Collect facts of one source and one instant."""

    def __init__(self, as_of: datetime, source: str) -> None:
        self.facts: list[Fact] = []
        self._as_of = as_of
        self._source = source

    def number(self, fact_id: str, label: str, value: float | None, unit: str) -> None:
        """Add a number, or nothing where it is None or not finite."""
        if value is not None and math.isfinite(value):
            self.facts.append(Fact(fact_id, label, float(value), unit, self._as_of, self._source))

    def text(self, fact_id: str, label: str, value: str | None) -> None:
        """Add a text, or nothing where it is empty."""
        if value:
            self.facts.append(Fact(fact_id, label, value, "", self._as_of, self._source))

    def moment(self, fact_id: str, label: str, value: datetime | None) -> None:
        """Add an instant, or nothing where there is none."""
        if value is not None:
            self.facts.append(Fact(fact_id, label, value, "time", self._as_of, self._source))
