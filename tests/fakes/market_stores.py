"""The stores of market data in memory; they pass the same contract tests as those on PostgreSQL."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from deployments.common.errors import DatabaseUnavailable, PreconditionFailed, SymbolExists, Unavailable, UnknownSymbol
from deployments.market_data.calendars.calendar import ALWAYS_OPEN, Calendar
from deployments.market_data.calendars.windows import Ask
from deployments.market_data.findings import QuarantinedRow
from deployments.market_data.instants import Times, to_numpy
from deployments.market_data.models import (
    CANDLE_SCHEMA,
    SYMBOL_CANDLE_SCHEMA,
    WINDOW_SCHEMA,
    DependencyHealth,
    DiscoveredSymbol,
    Interval,
    ManagedSymbol,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)
from deployments.market_data.symbols.names import keys_of
from deployments.market_data.timescale.spans import StoredSpan
from deployments.market_data.timescale.writing import Upserted
from tests.fakes.aggregation import aggregate

Row = dict[str, Any]


class MemoryCandleStore:
    """Candles in dictionaries; `is_away` makes every call fail as a lost database does.

    `reads` counts calls and `rows_told` the rows of windows; each read of windows waits for what `on_read` returns.
    """

    def __init__(self) -> None:
        self.is_away = False
        self.reads = 0
        self.rows_told = 0
        self.on_read: Callable[[], Awaitable[None]] | None = None
        self._rows: dict[Interval, dict[tuple[str, datetime], Row]] = {}

    async def holds(self, symbol: str) -> bool:
        self._answer()
        return any(held == symbol for rows in self._rows.values() for held, _ in rows)

    async def window(
        self,
        symbol: str,
        interval: Interval,
        start: datetime | None,
        end: datetime,
        limit: int,
        calendar: Calendar = ALWAYS_OPEN,
    ) -> pa.Table:
        (found,) = await self.windows(interval, [Ask(symbol, calendar, start, end, limit)])
        return found.drop_columns(["incomplete"])

    async def windows(self, interval: Interval, asks: Sequence[Ask]) -> list[pa.Table]:
        self._answer()
        if self.on_read is not None:
            await self.on_read()
        found = [self._window(interval, ask) for ask in asks]
        self.rows_told += sum(table.num_rows for table in found)
        return found

    def _window(self, interval: Interval, ask: Ask) -> pa.Table:
        bars = self._bars(ask.symbol, interval, ask.calendar)
        inside = [bar for bar in bars if (ask.start or bar["time"]) <= bar["time"] < ask.end]
        return pa.Table.from_pylist(inside[-ask.limit :], schema=WINDOW_SCHEMA)

    def _bars(self, symbol: str, interval: Interval, calendar: Calendar) -> list[Row]:
        """Return a symbol's bars, before the first of its own those of the finest finer table, and so on."""
        tables = {
            held: [row for row in self._sorted(held) if row["symbol"] == symbol]
            for held in Interval
            if held in self._rows
        }
        bars: list[Row] = [{**row, "incomplete": False} for row in tables.get(interval, [])]
        for source in sorted((held for held in tables if held.delta < interval.delta), key=lambda held: held.delta):
            older = aggregate(tables[source], source, interval, calendar.name)
            bars = [bar for bar in older if not bars or bar["time"] < bars[0]["time"]] + bars
        return bars

    async def after(
        self,
        interval: Interval,
        symbols: Sequence[str],
        key: tuple[datetime, str],
        end: datetime,
        limit: int,
        calendars: Mapping[str, Calendar] | None = None,
    ) -> pa.Table:
        self._answer()
        known = calendars or {}
        rows = [
            {**bar, "symbol": symbol}
            for symbol in symbols
            for bar in self._bars(symbol, interval, known.get(symbol, ALWAYS_OPEN))
        ]
        following = [row for row in rows if (row["time"], row["symbol"]) > key and row["time"] < end]
        following.sort(key=lambda row: (row["time"], row["symbol"]))
        return pa.Table.from_pylist(following[:limit], schema=SYMBOL_CANDLE_SCHEMA)

    async def spans(self) -> tuple[StoredSpan, ...]:
        self._answer()
        found = []
        for interval, rows in self._rows.items():
            for symbol in sorted({held for held, _ in rows}):
                times = sorted(time for held, time in rows if held == symbol)
                found.append(StoredSpan(symbol, interval, len(times), times[0], times[-1]))
        return tuple(found)

    async def ends(self, symbol: str, interval: Interval, until: datetime) -> tuple[datetime, datetime] | None:
        times = self._own_times(symbol, interval, until)
        return (times[0], times[-1]) if times else None

    async def times(self, symbol: str, interval: Interval, until: datetime) -> Times:
        return np.array([to_numpy(time) for time in self._own_times(symbol, interval, until)], dtype="datetime64[us]")

    def _own_times(self, symbol: str, interval: Interval, until: datetime) -> list[datetime]:
        self._answer()
        return sorted(time for held, time in self._rows.get(interval, {}) if held == symbol and time <= until)

    async def upsert(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> Upserted:
        self._answer()
        held = self._rows.get(interval, {})
        last = {(row["symbol"], row["time"]): row for row in rows.to_pylist()}
        inserted = len(last.keys() - held.keys())
        changed = sum(key in held and held[key] != row for key, row in last.items())
        if last and not dry_run:
            self._rows[interval] = {**held, **last}
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
    """Managed symbols and quarantined rows in dictionaries."""

    def __init__(self) -> None:
        self.is_away = False
        self._symbols: dict[str, ManagedSymbol] = {}
        self._has_had_first = False
        self._aside: dict[tuple[str, Interval, datetime, str], QuarantinedRow] = {}

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

    async def add_first(self, drafts: Sequence[SymbolDraft], now: datetime) -> int:
        if await self.symbols() or self._has_had_first:
            return 0
        self._has_had_first = True
        for draft in drafts:
            self._keep(draft, now, now)
        return len(drafts)

    async def replace(self, draft: SymbolDraft, now: datetime, seen_updated_at: datetime | None) -> ManagedSymbol:
        self._refuse_taken(draft, draft.symbol)
        held = self._symbols.get(draft.symbol)
        if held is None:
            raise UnknownSymbol(f"{draft.symbol} is not managed")
        if seen_updated_at not in (None, held.updated_at):
            raise PreconditionFailed(f"{draft.symbol} was changed")
        return self._keep(draft, held.created_at, max(now, held.updated_at + timedelta(microseconds=1)))

    async def remove(self, symbol: str, seen_updated_at: datetime | None = None) -> None:
        held = self._symbols.get(symbol)
        if held is None:
            raise UnknownSymbol(f"{symbol} is not managed")
        if seen_updated_at not in (None, held.updated_at):
            raise PreconditionFailed(f"{symbol} was changed")
        del self._symbols[symbol]

    async def quarantine(self, symbol: str, interval: Interval, rows: Sequence[QuarantinedRow]) -> None:
        self._aside.update({(symbol, interval, row.time, row.check): row for row in rows})

    async def quarantined(
        self, symbol: str, interval: Interval, before: datetime | None = None
    ) -> tuple[QuarantinedRow, ...]:
        rows = [row for key, row in self._aside.items() if key[:2] == (symbol, interval)]
        rows = [row for row in rows if before is None or row.time < before]
        return tuple(sorted(rows, key=lambda row: row.time, reverse=True))[:1_000]

    async def quarantine_counts(
        self, symbol: str, interval: Interval, before: datetime | None = None
    ) -> dict[str, int]:
        rows = [row for key, row in self._aside.items() if key[:2] == (symbol, interval)]
        return dict(Counter(row.check for row in rows if before is None or row.time < before))

    async def close(self) -> None:
        self.is_away = True

    def _refuse_taken(self, draft: SymbolDraft, except_symbol: str) -> None:
        keys = set(keys_of(draft))
        for name, held in sorted(self._symbols.items()):
            taken = keys & set(keys_of(held))
            if taken and name != except_symbol:
                raise SymbolExists(f"{', '.join(sorted(taken))} already names {name}")

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
