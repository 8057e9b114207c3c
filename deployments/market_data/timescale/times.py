"""Which bars a table itself holds of a symbol, whatever other tables could be added up to."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from deployments.market_data.instants import EPOCH, MICROSECOND, Times
from deployments.market_data.models import Interval
from deployments.market_data.timescale.pool import Database

# ruff: noqa: S608  (a table's name cannot be a parameter)

PAGE_ROWS = 100_000
NO_TIMES: Times = np.array([], dtype="datetime64[us]")


async def ends_of(
    database: Database, interval: Interval, spellings: Sequence[str], until: datetime
) -> tuple[datetime, datetime] | None:
    """Return the openings of the oldest and the newest stored bar up to `until`, or None where there is none."""
    values = (list(spellings), until)
    (row,) = await database.fetch(_ends(interval), *values, name=f"coverage {interval.table}")
    return None if row["oldest"] is None else (row["oldest"], row["newest"])


async def times_of_symbol(database: Database, interval: Interval, spellings: Sequence[str], until: datetime) -> Times:
    """Return the openings of all stored bars up to `until`, ascending, each once."""
    parts = [NO_TIMES]
    after = EPOCH - MICROSECOND
    while True:
        values = (list(spellings), after, until, PAGE_ROWS)
        rows = await database.fetch(_times(interval), *values, name=f"times {interval.table}")
        parts.append(np.array([row["us"] for row in rows], dtype=np.int64).view("datetime64[us]"))
        if len(rows) < PAGE_ROWS:
            return np.unique(np.concatenate(parts))
        after = rows[-1]["time"]


def _ends(interval: Interval) -> str:
    # From both ends of the index: the minimum of several symbols at once would read all of their rows.
    table = interval.table
    one = f"SELECT held.time FROM {table} AS held WHERE held.symbol = stored AND held.time <= $2 ORDER BY held.time"
    return f"""
        SELECT min(low.time) AS oldest, max(high.time) AS newest FROM unnest($1::text[]) AS stored
        LEFT JOIN LATERAL ({one} LIMIT 1) AS low ON true
        LEFT JOIN LATERAL ({one} DESC LIMIT 1) AS high ON true
    """


def _times(interval: Interval) -> str:
    return f"""
        SELECT DISTINCT time, (extract(epoch FROM time) * 1000000)::bigint AS us FROM {interval.table}
        WHERE symbol = ANY($1) AND time > $2 AND time <= $3 ORDER BY time LIMIT $4
    """
