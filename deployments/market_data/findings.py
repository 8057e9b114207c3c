"""What the quality checks found in candles, as value types; times are aware UTC."""

from dataclasses import dataclass
from datetime import datetime

from deployments.market_data.models import Gap, Interval


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row kept out of every answer, with the id of the check that refused it and why."""

    time: datetime
    check: str
    reason: str
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, at the opening of the bar or of the first of several."""

    check: str
    time: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What the checks found in one symbol's candles between `first_time` and `last_time`.

    `counts` are whole; `findings` and `quarantined` are the newest, newest first.
    """

    symbol: str
    interval: Interval
    bars: int
    first_time: datetime | None
    last_time: datetime | None
    counts: dict[str, int]
    gaps: tuple[Gap, ...]
    quarantined: tuple[QuarantinedRow, ...]
    findings: tuple[Finding, ...] = ()
