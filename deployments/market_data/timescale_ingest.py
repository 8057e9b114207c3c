"""Writing candles: COPY into a temporary table, then change and insert what differs, in one transaction."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deployments.market_data import timescale_sql as sql
from deployments.market_data.models import Interval
from deployments.market_data.timescale_pool import BULK_TIMEOUT_S, Connection, Database


@dataclass(frozen=True, slots=True)
class Upserted:
    """What an upsert did, in rows."""

    inserted: int
    changed: int
    unchanged: int


async def upsert(database: Database, interval: Interval, rows: pa.Table, stored: Mapping[str, str]) -> Upserted:
    """Write rows with `SYMBOL_CANDLE_SCHEMA`, each symbol under the spelling that its table has.

    Repeating it changes nothing. Of rows with the same key the last wins and the others count as unchanged.
    """
    records = await asyncio.to_thread(_records, rows, stored)
    async with database.transaction(BULK_TIMEOUT_S) as connection:
        # One writer per table: two that insert the same bar at once would both find it missing.
        await connection.execute(sql.LOCK_TABLE, interval.table)
        await _ensure_table(connection, interval)
        await connection.execute(sql.CREATE_INCOMING)
        await connection.copy_records_to_table("incoming", records=records, columns=sql.INCOMING_COLUMNS)
        changed = await connection.fetchval(sql.change(interval))
        inserted = await connection.fetchval(sql.insert(interval))
    return Upserted(inserted, changed, rows.num_rows - inserted - changed)


async def _ensure_table(connection: Connection, interval: Interval) -> None:
    if await connection.fetchval("SELECT to_regclass($1)", interval.table) is not None:
        return
    for statement in sql.create(interval):
        await connection.execute(statement)
    if await connection.fetchval(sql.HAS_TIMESCALE):
        await connection.execute(sql.make_hypertable(interval))


def _records(rows: pa.Table, stored: Mapping[str, str]) -> list[tuple[Any, ...]]:
    rows = _last_of_each_key(rows)
    symbols = [stored.get(symbol, symbol) for symbol in rows["symbol"].to_pylist()]
    columns = [rows[name].to_pylist() for name in sql.INCOMING_COLUMNS[1:]]
    return list(zip(symbols, *columns, strict=True))


def _last_of_each_key(rows: pa.Table) -> pa.Table:
    positions = pa.array(np.arange(rows.num_rows))
    keyed = rows.select(["symbol", "time"]).append_column("position", positions)
    last = keyed.group_by(["symbol", "time"]).aggregate([("position", "max")])["position_max"]
    return rows if len(last) == rows.num_rows else rows.take(np.sort(last.to_numpy()))
