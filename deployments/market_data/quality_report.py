"""Put together what the checks found: in the rows as stored, and in those kept aside at ingest."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from deployments.market_data.directory import Listing
from deployments.market_data.models import Interval, QualityReport, QuarantinedRow
from deployments.market_data.quality import REFUSING, report, screen


def quality_report(
    listing: Listing, interval: Interval, rows: pa.Table, aside: Sequence[QuarantinedRow], now: datetime
) -> QualityReport:
    """Return the report on one symbol's rows, ascending, with every check's id in `counts`."""
    sound, refused = screen(rows, now)
    counts, gaps = report(sound, interval, listing.calendar, now)
    both = {(row.time, row.check): row for row in (*aside, *refused)}
    quarantined = tuple(sorted(both.values(), key=lambda row: row.time, reverse=True))
    by_check = Counter(row.check for row in quarantined)
    has_rows = sound.num_rows > 0
    return QualityReport(
        symbol=listing.symbol,
        interval=interval,
        bars=sound.num_rows,
        first_time=sound["time"][0].as_py() if has_rows else None,
        last_time=sound["time"][-1].as_py() if has_rows else None,
        counts={**counts, **{check: by_check.get(check, 0) for check in REFUSING}},
        gaps=gaps,
        quarantined=quarantined,
    )
