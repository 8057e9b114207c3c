"""The stores of market data in memory; they pass the same contract tests as those on PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from deployments.common.errors import DatabaseUnavailable, PreconditionFailed, SymbolExists, Unavailable, UnknownSymbol
from deployments.market_data.models import (
    CANDLE_SCHEMA,
    SYMBOL_CANDLE_SCHEMA,
    DependencyHealth,
    DiscoveredSymbol,
    Interval,
    ManagedSymbol,
    QuarantinedRow,
    QueryLogEntry,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)
from deployments.market_data.symbols import keys_of
from deployments.market_data.timescale import StoredSpan
from deployments.market_data.timescale_ingest import Upserted

Row = dict[str, Any]


class MemoryCandleStore:
    """Candles in dictionaries; `is_away` makes every call fail as a lost database does."""

    def __init__(self) -> None:
        self.is_away = False
        self.reads = 0
        self._rows: dict[Interval, dict[tuple[str, datetime], Row]] = {}

    async def holds(self, symbol: str) -> bool:
        self._answer()
        return any(held == symbol for rows in self._rows.values() for held, _ in rows)

    async def window(
        self, symbol: str, interval: Interval, start: datetime | None, end: datetime, limit: int
    ) -> pa.Table:
        self._answer()
        rows = [
            row for row in self._sorted(interval) if row["symbol"] == symbol and (start or row["time"]) <= row["time"]
        ]
        newest = [row for row in rows if row["time"] < end][-limit:]
        return pa.Table.from_pylist([{**row} for row in newest], schema=CANDLE_SCHEMA)

    async def after(
        self, interval: Interval, symbols: Sequence[str], key: tuple[datetime, str], end: datetime, limit: int
    ) -> pa.Table:
        self._answer()
        rows = [row for row in self._sorted(interval) if row["symbol"] in symbols and row["time"] < end]
        following = [row for row in rows if (row["time"], row["symbol"]) > key]
        return pa.Table.from_pylist(following[:limit], schema=SYMBOL_CANDLE_SCHEMA)

    async def spans(self) -> tuple[StoredSpan, ...]:
        self._answer()
        found = []
        for interval, rows in self._rows.items():
            for symbol in sorted({held for held, _ in rows}):
                times = sorted(time for held, time in rows if held == symbol)
                found.append(StoredSpan(symbol, interval, len(times), times[0], times[-1]))
        return tuple(found)

    async def upsert(self, interval: Interval, rows: pa.Table) -> Upserted:
        self._answer()
        held = self._rows.setdefault(interval, {})
        last = {(row["symbol"], row["time"]): row for row in rows.to_pylist()}
        inserted = len(last.keys() - held.keys())
        changed = sum(key in held and held[key] != row for key, row in last.items())
        held.update(last)
        return Upserted(inserted, changed, rows.num_rows - inserted - changed)

    async def probe(self) -> float:
        self._answer()
        return 0.1

    async def close(self) -> None:
        self.is_away = True

    def _answer(self) -> None:
        self.reads += 1
        if self.is_away:
            raise DatabaseUnavailable("the database is away", 2.0)

    def _sorted(self, interval: Interval) -> list[Row]:
        return sorted(self._rows.get(interval, {}).values(), key=lambda row: (row["time"], row["symbol"]))


class MemoryCatalogue:
    """Managed symbols, quarantined rows and the query log in lists."""

    def __init__(self) -> None:
        self.is_away = False
        self._symbols: dict[str, ManagedSymbol] = {}
        self._aside: dict[tuple[str, Interval, datetime, str], QuarantinedRow] = {}
        self._log: list[QueryLogEntry] = []

    async def symbols(self) -> tuple[ManagedSymbol, ...]:
        if self.is_away:
            raise DatabaseUnavailable("the database is away", 2.0)
        return tuple(self._symbols[name] for name in sorted(self._symbols))

    async def page(self, wanted: SymbolFilter) -> SymbolPage:
        found = [
            symbol for symbol in await self.symbols() if symbol.symbol > wanted.cursor and _matches(symbol, wanted)
        ]
        more = len(found) > wanted.limit
        return SymbolPage(tuple(found[: wanted.limit]), found[wanted.limit - 1].symbol if more else None)

    async def add(self, draft: SymbolDraft, now: datetime) -> ManagedSymbol:
        self._refuse_taken(draft, "")
        return self._keep(draft, now, now)

    async def replace(self, draft: SymbolDraft, now: datetime, seen_updated_at: datetime | None) -> ManagedSymbol:
        self._refuse_taken(draft, draft.symbol)
        held = self._symbols.get(draft.symbol)
        if held is None:
            raise UnknownSymbol(f"{draft.symbol} is not managed")
        if seen_updated_at not in (None, held.updated_at):
            raise PreconditionFailed(f"{draft.symbol} was changed")
        return self._keep(draft, held.created_at, max(now, held.updated_at + timedelta(microseconds=1)))

    async def remove(self, symbol: str) -> None:
        if self._symbols.pop(symbol, None) is None:
            raise UnknownSymbol(f"{symbol} is not managed")

    async def quarantine(self, symbol: str, interval: Interval, rows: Sequence[QuarantinedRow]) -> None:
        self._aside.update({(symbol, interval, row.time, row.check): row for row in rows})

    async def quarantined(self, symbol: str, interval: Interval) -> tuple[QuarantinedRow, ...]:
        rows = [row for key, row in self._aside.items() if key[:2] == (symbol, interval)]
        return tuple(sorted(rows, key=lambda row: row.time, reverse=True))

    async def log_queries(self, entries: Sequence[QueryLogEntry]) -> None:
        self._log += entries

    async def queries(
        self, limit: int, endpoint: str, min_duration_ms: float, since: datetime | None
    ) -> tuple[QueryLogEntry, ...]:
        found = [
            entry
            for entry in sorted(self._log, key=lambda entry: entry.time, reverse=True)
            if endpoint in ("", entry.endpoint)
            and entry.duration_ms >= min_duration_ms
            and (since is None or entry.time >= since)
        ]
        return tuple(found[:limit])

    async def close(self) -> None:
        self.is_away = True

    def _refuse_taken(self, draft: SymbolDraft, except_symbol: str) -> None:
        keys = set(keys_of(draft))
        if any(keys & set(keys_of(held)) for name, held in self._symbols.items() if name != except_symbol):
            raise SymbolExists(f"{draft.symbol} or one of its aliases is taken")

    def _keep(self, draft: SymbolDraft, created_at: datetime, updated_at: datetime) -> ManagedSymbol:
        values = {field.name: getattr(draft, field.name) for field in fields(SymbolDraft)}
        kept = ManagedSymbol(**values, created_at=created_at, updated_at=updated_at)
        self._symbols[draft.symbol] = kept
        return kept


@dataclass
class FakeBackup:
    """EasyInsight with fixed candles; `is_away` makes it fail."""

    tables: dict[str, pa.Table]
    offered: tuple[DiscoveredSymbol, ...] = ()
    is_away: bool = False

    async def candles(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> pa.Table:
        self._answer()
        if symbol not in self.tables:
            raise UnknownSymbol(f"EasyInsight does not list {symbol}")
        rows = [row for row in self.tables[symbol].to_pylist() if start <= row["time"] < end]
        return pa.Table.from_pylist(rows, schema=CANDLE_SCHEMA)

    async def symbols(self) -> tuple[DiscoveredSymbol, ...]:
        self._answer()
        return tuple(replace(symbol) for symbol in self.offered)

    async def probe(self) -> DependencyHealth:
        return DependencyHealth("easyinsight", "down" if self.is_away else "ok")

    async def aclose(self) -> None:
        self.is_away = True

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable("EasyInsight is away", 1.0)


def _matches(symbol: ManagedSymbol, wanted: SymbolFilter) -> bool:
    names = (symbol.symbol, *symbol.aliases, *keys_of(symbol))
    return (
        wanted.category in (None, symbol.category)
        and wanted.status in (None, symbol.status)
        and any(wanted.q.lower() in name.lower() for name in names)
    )
