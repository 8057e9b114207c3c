"""Writing candles: COPY in binary, straight into the table where nothing can collide, else through a temporary one."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
import pyarrow as pa

from deployments.common.errors import CandlesRefused
from deployments.market_data.models import Interval
from deployments.market_data.timescale import write_sql as sql
from deployments.market_data.timescale.binary_copy import COLUMNS, NUMBERS, KeyedRows, blocks, encoded, keyed_rows
from deployments.market_data.timescale.pool import BULK_TIMEOUT_S, Connection, Database

_BINARY_TYPES = {
    "symbol": ("text", "character varying"),
    "time": ("timestamp with time zone",),
    **dict.fromkeys(NUMBERS, ("double precision",)),
}
"""Types whose binary form is the one we send; the columns of a desk's table may have others."""


@dataclass(frozen=True, slots=True)
class Upserted:
    """What an upsert did, in rows."""

    inserted: int
    changed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows in order, and as COPY takes them: what costs time and needs no lock."""

    keyed: KeyedRows
    encoding: bytes

    def __len__(self) -> int:
        return len(self.keyed)


async def upsert(
    database: Database, interval: Interval, rows: pa.Table, stored: Mapping[str, str], dry_run: bool = False
) -> Upserted:
    """Write rows with `SYMBOL_CANDLE_SCHEMA`, each symbol under the spelling that its table has.

    Repeating it changes nothing. Of rows with the same key the last wins and the others count as unchanged. With
    `dry_run` nothing is written and the answer says what would have been. Raises `CandlesRefused` where the table of
    a desk has a rule that a row breaks, or is a continuous aggregate; then nothing is stored.
    """
    prepared = await asyncio.to_thread(_prepared, rows, stored)
    try:
        if not dry_run and await _added_beside_others(database, interval, prepared):
            return Upserted(len(prepared), 0, rows.num_rows - len(prepared))
        act = _compare if dry_run else _write
        async with database.transaction(BULK_TIMEOUT_S) as connection:
            inserted, changed = await act(connection, interval, prepared)
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        # Its first line alone: the next ones show the row, which may hold more of the desk's than candles.
        raise CandlesRefused(f"{interval.table}: {str(error).partition(chr(10))[0]}") from None
    return Upserted(inserted, changed, rows.num_rows - inserted - changed)


def _prepared(rows: pa.Table, stored: Mapping[str, str]) -> Prepared:
    keyed = keyed_rows(rows, stored)
    return Prepared(keyed, encoded(keyed))


async def _added_beside_others(database: Database, interval: Interval, rows: Prepared) -> bool:
    """Add rows while others add theirs, where an index finds the bar that two of them bring; or leave all as it was.

    Most of a COPY goes into the indexes, in one process of the server for each writer.
    """
    async with database.transaction(BULK_TIMEOUT_S) as connection:
        await connection.execute(sql.SHARE_TABLE, interval.table)
        return (
            await connection.fetchval(sql.IS_KEYED, interval.table)
            and await _is_apart(connection, interval, rows.keyed)
            and await _copied(connection, interval.table, rows)
        )


async def _compare(connection: Connection, interval: Interval, rows: Prepared) -> tuple[int, int]:
    if not await connection.fetchval(sql.EXISTS, interval.table):
        return len(rows), 0
    await _refuse_aggregate(connection, interval)
    return await _differing(connection, interval, rows)


async def _refuse_aggregate(connection: Connection, interval: Interval) -> None:
    if await connection.fetchval(sql.IS_CONTINUOUS_AGGREGATE, interval.table):
        raise CandlesRefused(f"{interval.table} is a continuous aggregate: TimescaleDB writes it itself")


async def _write(connection: Connection, interval: Interval, rows: Prepared) -> tuple[int, int]:
    # One writer per table: two that insert the same bar at once would both find it missing. Before anything is asked
    # about the table, for what was learnt of the catalogue before the lock is still believed after it.
    await connection.execute(sql.LOCK_TABLE, interval.table)
    if not await connection.fetchval(sql.EXISTS, interval.table):
        await _make_table(connection, interval, rows)
        return len(rows), 0
    await _refuse_aggregate(connection, interval)
    if await _is_apart(connection, interval, rows.keyed) and await _copied(connection, interval.table, rows):
        return len(rows), 0
    return await _merge(connection, interval, rows)


async def _make_table(connection: Connection, interval: Interval, rows: Prepared) -> None:
    await connection.execute(sql.create_table(interval))
    schema = await connection.fetchval(sql.TIMESCALE_SCHEMA)
    if schema is not None:
        await connection.execute(sql.make_hypertable(interval, schema))
    await _copy(connection, interval.table, rows)
    # After the rows: an index that is sorted once takes a third of the time of one that grows row by row.
    for statement in sql.create_indexes(interval):
        await connection.execute(statement)


async def _is_apart(connection: Connection, interval: Interval, rows: KeyedRows) -> bool:
    """Whether the table takes our binary form and holds nothing between the first and last row of each symbol."""
    columns = {row["name"]: row for row in await connection.fetch(sql.COLUMN_TYPES, interval.table)}
    if not all(_is_sent_as(columns.get(name), types) for name, types in _BINARY_TYPES.items()):
        return False
    return await connection.fetchval(sql.held_between(interval), *rows.spans) is None


def _is_sent_as(column: asyncpg.Record | None, types: tuple[str, ...]) -> bool:
    return column is not None and column["takes_copy"] and column["type"].partition("(")[0] in types


async def _copied(connection: Connection, table: str, rows: Prepared) -> bool:
    try:
        async with connection.transaction():
            await _copy(connection, table, rows)
    except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError, asyncpg.FeatureNotSupportedError):
        return False  # another writer was faster, or the table takes no COPY
    return True


async def _differing(connection: Connection, interval: Interval, rows: Prepared) -> tuple[int, int]:
    """Put the rows that are new or contradict held ones into a table of their own and count both."""
    await connection.execute(sql.CREATE_INCOMING)
    await _copy(connection, "incoming", rows)
    columns = await connection.fetch(sql.COLUMN_TYPES, interval.table)
    own = {row["name"]: row["type"] for row in columns if row["name"] in NUMBERS}
    if set(own.values()) - {"double precision"}:
        await connection.execute(sql.fit_incoming(own))
    await connection.execute(sql.CREATE_DIFFERING)
    await connection.execute(sql.find_differing(interval), *rows.keyed.bounds)
    inserted, changed = await connection.fetchrow(sql.COUNT_DIFFERING) or (0, 0)
    return inserted, changed


async def _merge(connection: Connection, interval: Interval, rows: Prepared) -> tuple[int, int]:
    inserted, changed = await _differing(connection, interval, rows)
    if changed:
        changed = await connection.fetchval(sql.change(interval), *rows.keyed.bounds)
    if inserted:
        inserted = await connection.fetchval(sql.insert(interval))
    return inserted, changed


async def _copy(connection: Connection, table: str, rows: Prepared) -> None:
    await connection.copy_to_table(table, source=blocks(rows.encoding), columns=COLUMNS, format="binary")
