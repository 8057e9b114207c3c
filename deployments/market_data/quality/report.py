"""Put together what the checks found: in the rows as stored, and in those kept aside at ingest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from deployments.market_data.findings import Finding, QualityReport, QuarantinedRow
from deployments.market_data.models import Interval
from deployments.market_data.quality.checks import AT_THE_DOOR, REFUSING, report, screen
from deployments.market_data.symbols.directory import Listing

FINDINGS = 1_000
"""Places that a report names at most."""


@dataclass(frozen=True, slots=True)
class Aside:
    """The newest rows kept aside at ingest, and how many there are by check."""

    rows: Sequence[QuarantinedRow]
    counts: Mapping[str, int]


def quality_report(listing: Listing, interval: Interval, rows: pa.Table, aside: Aside, now: datetime) -> QualityReport:
    """Return the report on one symbol's rows, ascending, with every check's id in `counts`."""
    sound, refused = screen(rows, now)
    counts, gaps, found = report(sound, interval, listing.calendar, now)
    known = {(row.time, row.check) for row in aside.rows}
    fresh = [row for row in refused if (row.time, row.check) not in known]
    quarantined = tuple(sorted((*aside.rows, *fresh), key=lambda row: row.time, reverse=True))
    findings = [*found, *(Finding(row.check, row.time, row.reason) for row in quarantined)]
    told = Counter(counts) + Counter(aside.counts) + Counter(row.check for row in fresh)
    has_rows = sound.num_rows > 0
    return QualityReport(
        symbol=listing.symbol,
        interval=interval,
        bars=sound.num_rows,
        first_time=sound["time"][0].as_py() if has_rows else None,
        last_time=sound["time"][-1].as_py() if has_rows else None,
        counts={check: told[check] for check in (*counts, *REFUSING, *AT_THE_DOOR)},
        gaps=gaps,
        quarantined=quarantined,
        findings=tuple(sorted(findings, key=lambda finding: finding.time, reverse=True)[:FINDINGS]),
    )
