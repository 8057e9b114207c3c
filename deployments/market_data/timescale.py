"""Candles in PostgreSQL or TimescaleDB, read and written in the tables `ohlcv_<interval>` that the desk has."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import InvalidRequest
from deployments.market_data import timescale_sql as sql
from deployments.market_data.instants import EPOCH
from deployments.market_data.models import CANDLE_SCHEMA, SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.symbols import canonical
from deployments.market_data.timescale_ingest import Upserted, upsert
from deployments.market_data.timescale_pool import Database

HOLDINGS_S = 30.0
"""How long the list of stored symbols is believed; our own ingest renews it at once."""

MISS_S = 1.0
"""How often an unknown name may make us look again."""

Holdings = Mapping[Interval, Mapping[str, tuple[str, ...]]]
"""For each interval with a table: the canonical symbols in it, each with its spellings there."""


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """How many bars of a symbol a table holds, and the openings of the first and last."""

    symbol: str
    interval: Interval
    bars: int
    first_time: datetime
    last_time: datetime


class TimescaleStore:
    """Read and write candles by canonical symbol, whatever the spelling in the tables.

    A symbol whose table of an interval is missing or does not hold it is aggregated in SQL from the finest finer table
    that does.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holdings: Holdings = {}
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    async def symbols(self) -> frozenset[str]:
        """Return the canonical symbols of all candle tables."""
        return frozenset(symbol for table in (await self._held()).values() for symbol in table)

    async def holds(self, symbol: str) -> bool:
        """Whether any table has candles of the symbol; a name not seen yet is looked up again, once a second."""
        for age_s in (HOLDINGS_S, MISS_S):
            if any(symbol in table for table in (await self._held(age_s)).values()):
                return True
        return False

    async def window(
        self, symbol: str, interval: Interval, start: datetime | None, end: datetime, limit: int
    ) -> pa.Table:
        """Return the newest `limit` rows of a symbol that open in [start, end), ascending, as `CANDLE_SCHEMA` nullable.

        Raises `DatabaseUnavailable` or `UpstreamTimeout`.
        """
        holdings = await self._held()
        source = _source(holdings, symbol, interval)
        if source is None:
            return CANDLE_SCHEMA.empty_table()
        spellings = list(holdings[source][symbol])
        at_most = limit * len(spellings)
        records = await self._database.fetch(sql.window(source, interval), spellings, start or EPOCH, end, at_most)
        rows = _distinct(_table(records, CANDLE_SCHEMA))
        return rows.slice(max(0, rows.num_rows - limit))

    async def after(
        self,
        interval: Interval,
        symbols: Sequence[str],
        key: tuple[datetime, str],
        end: datetime,
        limit: int,
    ) -> pa.Table:
        """Return at most `limit` rows of the symbols that follow the key (time, symbol) and open before `end`.

        Ascending by (time, symbol). Raises as `window` does.
        """
        holdings = await self._held()
        by_source: dict[Interval, list[str]] = {}
        for symbol in symbols:
            source = _source(holdings, symbol, interval)
            if source is not None:
                by_source.setdefault(source, []).append(symbol)
        parts = [
            await self._after_in(source, interval, _spelled(holdings[source], found), key, end, limit)
            for source, found in by_source.items()
        ]
        merged = pa.concat_tables(parts) if parts else SYMBOL_CANDLE_SCHEMA.empty_table()
        if len(parts) > 1:
            merged = merged.sort_by([("time", "ascending"), ("symbol", "ascending")])
        return merged.slice(0, limit).combine_chunks()

    async def _after_in(
        self,
        source: Interval,
        interval: Interval,
        spelled: list[tuple[str, str]],
        key: tuple[datetime, str],
        end: datetime,
        limit: int,
    ) -> pa.Table:
        stored, symbols = [list(names) for names in zip(*spelled, strict=True)]
        records = await self._database.fetch(sql.after(source, interval), stored, symbols, *key, end, limit)
        return _table(records, SYMBOL_CANDLE_SCHEMA)

    async def spans(self) -> tuple[StoredSpan, ...]:
        """Return what every table holds of every symbol."""
        found: list[StoredSpan] = []
        for interval in await self._held():
            for row in await self._database.fetch(sql.spans(interval)):
                span = (row["bars"], row["first_time"], row["last_time"])
                found.append(StoredSpan(canonical(row["symbol"]), interval, *span))
        return tuple(found)

    async def upsert(self, interval: Interval, rows: pa.Table) -> Upserted:
        """Insert and change rows with `SYMBOL_CANDLE_SCHEMA` in one transaction; of equal keys the last wins."""
        spellings = (await self._held()).get(interval, {})
        stored = {symbol: names[0] for symbol, names in spellings.items()}
        done = await upsert(self._database, interval, rows, stored)
        if not set(pc.unique(rows["symbol"]).to_pylist()) <= set(spellings):
            self._looked_at = float("-inf")
        return done

    async def probe(self) -> float:
        """Return the milliseconds of an empty statement; raises `DatabaseUnavailable`."""
        return await self._database.probe()

    async def close(self) -> None:
        """End every connection."""
        await self._database.close()

    async def _held(self, age_s: float = HOLDINGS_S) -> Holdings:
        async with self._looking:
            if time.monotonic() - self._looked_at > age_s:
                self._holdings = await self._look()
                self._looked_at = time.monotonic()
            return self._holdings

    async def _look(self) -> Holdings:
        present = {row["name"] for row in await self._database.fetch(sql.TABLES)}
        holdings: dict[Interval, dict[str, tuple[str, ...]]] = {}
        for interval in Interval:
            if interval.table in present:
                rows = await self._database.fetch(sql.distinct_symbols(interval))
                holdings[interval] = _by_canonical([row["symbol"] for row in rows])
        return holdings


def _source(holdings: Holdings, symbol: str, interval: Interval) -> Interval | None:
    """Return the interval whose table answers: its own, else the finest finer one that holds the symbol."""
    if symbol in holdings.get(interval, {}):
        return interval
    finer = [other for other in Interval if other.delta < interval.delta and symbol in holdings.get(other, {})]
    return min(finer, key=lambda other: other.delta, default=None)


def _spelled(table: Mapping[str, tuple[str, ...]], symbols: Sequence[str]) -> list[tuple[str, str]]:
    return [(stored, symbol) for symbol in symbols for stored in table[symbol]]


def _by_canonical(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name in names:
        try:
            found.setdefault(canonical(name), []).append(name)
        except InvalidRequest:
            continue  # a name that no request can spell
    # The canonical spelling first: it takes new rows and wins where both tell the same bar.
    return {symbol: tuple(sorted(spellings, key=lambda name: name != symbol)) for symbol, spellings in found.items()}


def _table(records: Sequence[Iterable[object]], schema: pa.Schema) -> pa.Table:
    """Turn records into columns; a NULL price becomes a null that the quality checks refuse."""
    if not records:
        return schema.empty_table()
    columns = zip(*records, strict=True)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def _distinct(table: pa.Table) -> pa.Table:
    """Keep the first row of each time of an ascending table."""
    times = table["time"].combine_chunks()
    if len(times) < 2:
        return table
    fresh = pc.not_equal(times[1:], times[:-1])
    return table.filter(pa.concat_arrays([pa.array([True]), fresh]))
