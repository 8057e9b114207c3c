"""How much of each symbol the tables hold."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from deployments.market_data.instants import EPOCH
from deployments.market_data.models import Interval
from deployments.market_data.timescale import sql
from deployments.market_data.timescale.holdings import Holdings
from deployments.market_data.timescale.pool import Database

COUNTED_ROWS = 200_000
"""Up to here a table is counted, in a tenth of a second; a table of minutes over years would take many seconds."""


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """How many bars of a symbol a table holds, and the openings of the first and last."""

    symbol: str
    interval: Interval
    bars: int
    first_time: datetime
    last_time: datetime
    bars_estimated: bool = False


async def spans_of(database: Database, holdings: Holdings, counted_rows: int = COUNTED_ROWS) -> tuple[StoredSpan, ...]:
    """Return what every table holds of every symbol, bars estimated where the planner takes the table for bigger."""
    found: list[StoredSpan] = []
    for interval, spellings in holdings.items():
        rows = await _rows_in(database, interval)
        symbol_of = {name: symbol for symbol, names in spellings.items() for name in names}
        if rows <= counted_rows:
            records = await database.fetch(sql.spans(interval), name=f"spans {interval.table}")
            parts = [_counted(interval, symbol_of[row["symbol"]], row) for row in records if row["symbol"] in symbol_of]
        else:
            records = await database.fetch(sql.ends(interval), list(symbol_of), EPOCH, name=f"ends {interval.table}")
            parts = _estimated(interval, symbol_of, records, rows, await _shares_in(database, interval))
        found += _merged(parts)
    return tuple(found)


async def _shares_in(database: Database, interval: Interval) -> dict[str, float]:
    records = await database.fetch(sql.SHARES, interval.table, name=f"shares {interval.table}")
    return {record["symbol"]: record["share"] for record in records}


async def _rows_in(database: Database, interval: Interval) -> int:
    (record,) = await database.fetch(sql.estimate(interval), name=f"estimate {interval.table}")
    plan = json.loads(record[0])[0]["Plan"]
    return int(plan["Plan Rows"])


def _counted(interval: Interval, symbol: str, row: asyncpg.Record) -> StoredSpan:
    return StoredSpan(symbol, interval, row["bars"], row["first_time"], row["last_time"])


def _estimated(
    interval: Interval,
    symbol_of: Mapping[str, str],
    ends: Sequence[asyncpg.Record],
    rows: int,
    shares: Mapping[str, float],
) -> list[StoredSpan]:
    """Give each symbol its share of the table's rows; those whose share is unknown divide the rest by their spans."""
    lengths: dict[str, float] = {
        row["stored"]: (row["last_time"] - row["first_time"]) / interval.delta + 1 for row in ends
    }
    unknown = sum(length for name, length in lengths.items() if name not in shares)
    filled = rows * max(0.0, 1.0 - sum(shares.values())) / unknown if unknown else 0.0

    def bars(name: str) -> int:
        told = rows * shares[name] if name in shares else lengths[name] * filled
        return max(1, round(min(told, lengths[name])))  # no more bars than fit in the span

    return [StoredSpan(symbol_of[name], interval, bars(name), first, last, True) for name, first, last in ends]


def _merged(spans: Sequence[StoredSpan]) -> list[StoredSpan]:
    """Join the spellings of one symbol, whose bars may overlap: no fewer than the longest, and then an estimate."""
    found: dict[str, StoredSpan] = {}
    for span in spans:
        other = found.get(span.symbol)
        found[span.symbol] = span if other is None else _joined(span, other)
    return list(found.values())


def _joined(one: StoredSpan, other: StoredSpan) -> StoredSpan:
    first, last = min(one.first_time, other.first_time), max(one.last_time, other.last_time)
    return StoredSpan(one.symbol, one.interval, max(one.bars, other.bars), first, last, bars_estimated=True)
