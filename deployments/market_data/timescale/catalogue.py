"""Our own tables in schema `candlecast`: managed symbols and quarantined rows."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from deployments.common.errors import PreconditionFailed, SymbolExists, UnknownSymbol
from deployments.market_data.findings import QuarantinedRow
from deployments.market_data.models import (
    Category,
    Interval,
    ManagedSymbol,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
    SymbolStatus,
)
from deployments.market_data.symbols.names import keys_of
from deployments.market_data.timescale import catalogue_sql as sql
from deployments.market_data.timescale.pool import Connection, Database

QUARANTINE_ROWS = 1_000
"""Quarantined rows that a report shows at most."""


class PostgresCatalogue:
    """Keep what we know beside the candles; every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def symbols(self) -> tuple[ManagedSymbol, ...]:
        """Return every managed symbol, ascending."""
        return tuple(_symbol(row) for row in await self._database.fetch(sql.SYMBOLS))

    async def page(self, wanted: SymbolFilter) -> SymbolPage:
        """Return a page of managed symbols, ascending."""
        pattern = f"%{_literal(wanted.q)}%"
        conditions = (wanted.category, wanted.status, pattern, wanted.cursor, wanted.limit + 1)
        found = [_symbol(row) for row in await self._database.fetch(sql.PAGE, *conditions)]
        more = len(found) > wanted.limit
        return SymbolPage(tuple(found[: wanted.limit]), found[wanted.limit - 1].symbol if more else None)

    async def add(self, draft: SymbolDraft, now: datetime) -> ManagedSymbol:
        """Add a symbol; raises `SymbolExists` where its name or an alias is taken."""
        async with self._database.transaction() as connection:
            await _refuse_taken(connection, draft)
            return _symbol(await connection.fetchrow(sql.ADD, *_values(draft), now))

    async def add_first(self, drafts: Sequence[SymbolDraft], now: datetime) -> int:
        """Add symbols that share no name where there is none, and has never been one so; return how many came in.

        All of them come in or none.
        """
        async with self._database.transaction() as connection:
            await connection.execute(sql.LOCK_SYMBOLS)
            if not await connection.fetchval(sql.FIRST_SYMBOLS, now):
                return 0
            await connection.executemany(sql.ADD, [(*_values(draft), now) for draft in drafts])
        return len(drafts)

    async def replace(self, draft: SymbolDraft, now: datetime, seen_updated_at: datetime | None) -> ManagedSymbol:
        """Replace a symbol that has not changed since `seen_updated_at`, where that is given.

        Raises `UnknownSymbol`, `PreconditionFailed`, or `SymbolExists` where an alias is taken.
        """
        async with self._database.transaction() as connection:
            await _refuse_taken(connection, draft, except_symbol=draft.symbol)
            updated_at = await _locked(connection, draft.symbol, seen_updated_at)
            # Two changes within one tick of the clock must still tell apart.
            now = max(now, updated_at + timedelta(microseconds=1))
            return _symbol(await connection.fetchrow(sql.REPLACE, *_values(draft), now))

    async def remove(self, symbol: str, seen_updated_at: datetime | None = None) -> None:
        """Forget a managed symbol that has not changed since `seen_updated_at`, where that is given.

        Raises `UnknownSymbol` or `PreconditionFailed`.
        """
        async with self._database.transaction() as connection:
            await _locked(connection, symbol, seen_updated_at)
            await connection.execute(sql.REMOVE, symbol)

    async def quarantine(self, symbol: str, interval: Interval, rows: Sequence[QuarantinedRow]) -> None:
        """Keep refused rows with their reasons; a row told again replaces itself."""
        records = [(symbol, interval.value, *asdict(row).values()) for row in rows]
        async with self._database.connection() as connection:
            await connection.executemany(sql.QUARANTINE, records)

    async def quarantined(
        self, symbol: str, interval: Interval, before: datetime | None = None
    ) -> tuple[QuarantinedRow, ...]:
        """Return the newest refused rows of a symbol that open before an instant, newest first."""
        rows = await self._database.fetch(sql.QUARANTINED, symbol, interval.value, before, QUARANTINE_ROWS)
        return tuple(QuarantinedRow(*row) for row in rows)

    async def quarantine_counts(
        self, symbol: str, interval: Interval, before: datetime | None = None
    ) -> dict[str, int]:
        """Count all refused rows of a symbol that open before an instant, by check."""
        rows = await self._database.fetch(sql.QUARANTINE_COUNTS, symbol, interval.value, before)
        return {row["check_id"]: row["rows"] for row in rows}

    async def probe(self) -> float:
        """Return the milliseconds of an empty statement."""
        return await self._database.probe()

    async def close(self) -> None:
        """End every connection."""
        await self._database.close()


async def _locked(connection: Connection, symbol: str, seen_updated_at: datetime | None) -> datetime:
    """Keep others from changing a symbol that is still as it was seen, and return when it was changed last."""
    updated_at: datetime | None = await connection.fetchval(sql.LOCK_SYMBOL, symbol)
    if updated_at is None:
        raise UnknownSymbol(f"{symbol} is not managed")
    if seen_updated_at not in (None, updated_at):
        raise PreconditionFailed(f"{symbol} was changed at {updated_at.isoformat()}")
    return updated_at


async def _refuse_taken(connection: Connection, draft: SymbolDraft, except_symbol: str = "") -> None:
    """Take the lock of all writers, so that no name can be taken between the look and the write."""
    await connection.execute(sql.LOCK_SYMBOLS)
    holder = await connection.fetchrow(sql.HOLDER, list(keys_of(draft)), except_symbol)
    if holder is not None:
        symbol, taken = holder
        raise SymbolExists(f"{', '.join(taken)} already names {symbol}")


def _values(draft: SymbolDraft) -> tuple[Any, ...]:
    fields = (getattr(draft, name) for name in sql.DRAFT_COLUMNS[:-1])
    return (*fields, list(draft.aliases), list(keys_of(draft)))


def _symbol(row: asyncpg.Record | None) -> ManagedSymbol:
    assert row is not None, "RETURNING always answers"  # noqa: S101
    values = dict(row)
    values["category"] = Category(values["category"])
    values["status"] = SymbolStatus(values["status"])
    values["interval"] = Interval(values["interval"])
    values["aliases"] = tuple(values["aliases"])
    return ManagedSymbol(**values)


def _literal(text: str) -> str:
    """Escape what LIKE would read as a pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
