"""The query log in PostgreSQL, schema `candlecast`."""

# ruff: noqa: S608  (only names of tables and columns, all from this file, are put together)

from collections.abc import Sequence
from dataclasses import astuple, fields
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from deployments.market_data.models import QueryLogEntry
from deployments.market_data.query_log import QueryFilter, StatementEntry
from deployments.market_data.timescale.pool import Database

REQUESTS = "query_log"
STATEMENTS = "statement_log"

REQUEST_COLUMNS = ("time", "endpoint", "method", "status", "duration_ms", "rows", "request_id")
STATEMENT_COLUMNS = tuple(field.name for field in fields(StatementEntry))

MAX_STATEMENTS = 200
"""Statements told of one request at most."""

# A client may use one request id many times: only what ran while this request was served belongs to it. A quarter of
# a minute allows for the clocks of two machines.
_SELECT = f"""
    SELECT {", ".join(f"request.{name}" for name in REQUEST_COLUMNS)}, inside.statements
    FROM (
        SELECT * FROM candlecast.{REQUESTS}
        WHERE ($1 = '' OR endpoint = $1) AND duration_ms >= $2 AND ($3::timestamptz IS NULL OR time >= $3)
        ORDER BY time DESC, id DESC LIMIT $4
    ) AS request
    CROSS JOIN LATERAL (
        SELECT json_agg(json_build_array(name, duration_ms, rows) ORDER BY id)::text AS statements FROM (
            SELECT * FROM candlecast.{STATEMENTS} AS statement
            WHERE statement.request_id = request.request_id
            AND statement.time >= request.time - interval '15 s'
            AND statement.time <= request.time + (request.duration_ms + 15000) * interval '1 ms'
            ORDER BY id LIMIT {MAX_STATEMENTS}
        ) AS first
    ) AS inside
    ORDER BY request.time DESC, request.id DESC
"""


def _prune(table: str) -> str:
    return f"""
        DELETE FROM candlecast.{table} WHERE id IN (
            SELECT id FROM candlecast.{table}
            WHERE time < $1 OR id <= (SELECT max(id) FROM candlecast.{table}) - $2::bigint
            ORDER BY id LIMIT $3
        )
    """


class PostgresQueryLog:
    """Keep the log on a database that is not observed itself: the log does not log its own statements."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_requests(self, entries: Sequence[QueryLogEntry]) -> None:
        """Append served requests."""
        records = [tuple(getattr(entry, name) for name in REQUEST_COLUMNS) for entry in entries]
        await self._append(REQUESTS, REQUEST_COLUMNS, records)

    async def add_statements(self, entries: Sequence[StatementEntry]) -> None:
        """Append statements."""
        await self._append(STATEMENTS, STATEMENT_COLUMNS, [astuple(entry) for entry in entries])

    async def requests(self, wanted: QueryFilter) -> tuple[QueryLogEntry, ...]:
        """Return requests, newest first, with the statements inside them."""
        values = (wanted.endpoint, wanted.min_duration_ms, wanted.since, wanted.limit)
        return tuple(_entry(row) for row in await self._database.fetch(_SELECT, *values, name="query log"))

    async def prune(self, before: datetime, max_rows: int, at_most: int) -> int:
        """Remove entries older than `before` or beyond the newest `max_rows`, at most so many of each table."""
        removed = 0
        for table in (REQUESTS, STATEMENTS):
            async with self._database.connection() as connection:
                tag = await connection.execute(_prune(table), before, max_rows, at_most)
            removed += int(tag.rpartition(" ")[2])
        return removed

    async def close(self) -> None:
        """End every connection."""
        await self._database.close()

    async def _append(self, table: str, columns: tuple[str, ...], records: Sequence[tuple[Any, ...]]) -> None:
        async with self._database.connection() as connection:
            await connection.copy_records_to_table(table, schema_name="candlecast", columns=columns, records=records)


def _entry(row: asyncpg.Record) -> QueryLogEntry:
    statements = tuple((name, duration_ms, rows) for name, duration_ms, rows in orjson.loads(row["statements"] or "[]"))
    return QueryLogEntry(**{name: row[name] for name in REQUEST_COLUMNS}, sql=statements)
