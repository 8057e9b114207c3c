"""Candles in PostgreSQL or TimescaleDB, read and written in the tables `ohlcv_<interval>` that the desk has."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deployments.market_data.calendars.calendar import ALWAYS_OPEN, Calendar
from deployments.market_data.calendars.windows import Ask
from deployments.market_data.instants import EPOCH, Times, times_of
from deployments.market_data.models import CANDLE_SCHEMA, SYMBOL_CANDLE_SCHEMA, WINDOW_SCHEMA, Interval
from deployments.market_data.timescale import sql
from deployments.market_data.timescale.aggregates import FINE_ROWS, Aggregates
from deployments.market_data.timescale.holdings import MISS_S, FirstTimes, Holdings, StoredSymbols, parts_of
from deployments.market_data.timescale.pool import Database
from deployments.market_data.timescale.record_tables import distinct, newest, table_of
from deployments.market_data.timescale.spans import StoredSpan, spans_of
from deployments.market_data.timescale.times import NO_TIMES, ends_of, times_of_symbol
from deployments.market_data.timescale.writing import Upserted, upsert


class TimescaleStore:
    """Read and write candles by canonical symbol, whatever the spelling in the tables.

    What an interval's own table lacks of a symbol before its first bar is aggregated in SQL from the finest finer table
    that has it, in the buckets of the symbol's calendar.
    """

    def __init__(self, database: Database, fine_rows: int = FINE_ROWS) -> None:
        """Read and write through `database`; one statement adds up at most about `fine_rows` rows."""
        self._database = database
        self._stored = StoredSymbols(database)
        self._aggregates = Aggregates(database, fine_rows)

    async def symbols(self) -> frozenset[str]:
        """Return the canonical symbols of all candle tables."""
        return frozenset(symbol for table in (await self._stored.known()).values() for symbol in table)

    async def holds(self, symbol: str) -> bool:
        """Whether any table has candles of the symbol; a name not seen yet is looked up again, once a second."""
        return await self._stored.has(symbol)

    async def window(
        self,
        symbol: str,
        interval: Interval,
        start: datetime | None,
        end: datetime,
        limit: int,
        calendar: Calendar = ALWAYS_OPEN,
    ) -> pa.Table:
        """Return what `windows` does for one symbol, as `CANDLE_SCHEMA` nullable."""
        (found,) = await self.windows(interval, [Ask(symbol, calendar, start, end, limit)])
        return found.drop_columns(["incomplete"])

    async def windows(self, interval: Interval, asks: Sequence[Ask]) -> list[pa.Table]:
        """Return for each ask its rows, ascending, as `WINDOW_SCHEMA` nullable, in one statement where they are stored.

        Raises `DatabaseUnavailable` or `UpstreamTimeout`.
        """
        holdings = await self._stored.known()
        parts = [parts_of(holdings, self._stored.first_times, interval, ask) for ask in asks]
        if not all(parts):
            # Nothing is a claim too: it takes a database that is there, and a look that is not half a minute old.
            holdings = await self._stored.known(MISS_S)
            parts = [parts_of(holdings, self._stored.first_times, interval, ask) for ask in asks]
        found = [WINDOW_SCHEMA.empty_table()] * len(asks)
        for nth in range(max(map(len, parts), default=0)):
            lacking = {
                place: (part[nth][0], replace(part[nth][1], limit=asks[place].limit - found[place].num_rows))
                for place, part in enumerate(parts)
                if len(part) > nth and found[place].num_rows < asks[place].limit
            }
            for place, table in (await self._read(interval, lacking, holdings)).items():
                found[place] = pa.concat_tables([table, found[place]]).combine_chunks() if nth else table
        return found

    async def _read(
        self, interval: Interval, asks: Mapping[int, tuple[Interval, Ask]], holdings: Holdings
    ) -> dict[int, pa.Table]:
        found: dict[int, pa.Table] = {}
        for source in {source: None for source, _ in asks.values()}:
            chosen = {place: ask for place, (other, ask) in asks.items() if other is source}
            if source is interval:
                tables = await self._plain(interval, list(chosen.values()), holdings[interval])
            else:
                tables = await self._aggregates.windows(source, interval, list(chosen.values()), holdings[source])
            found.update(zip(chosen, tables, strict=True))
        return found

    async def _plain(
        self, interval: Interval, asks: Sequence[Ask], spellings: Mapping[str, tuple[str, ...]]
    ) -> list[pa.Table]:
        rows = [
            (name, place, nth, ask.start or EPOCH, ask.end, ask.limit)
            for place, ask in enumerate(asks)
            for nth, name in enumerate(spellings[ask.symbol])
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        records = await self._database.fetch(sql.windows(interval), *columns, name=f"windows {interval.table}")
        asked = np.fromiter((record[0] for record in records), dtype=np.int64, count=len(records))
        edges = np.searchsorted(asked, np.arange(len(asks) + 1))
        table = table_of(records, CANDLE_SCHEMA, skip=1)
        return [
            _whole(newest(distinct(table.slice(low, high - low)), ask.limit))
            for ask, low, high in zip(asks, edges[:-1], edges[1:], strict=True)
        ]

    async def after(
        self,
        interval: Interval,
        symbols: Sequence[str],
        key: tuple[datetime, str],
        end: datetime,
        limit: int,
        calendars: Mapping[str, Calendar] | None = None,
    ) -> pa.Table:
        """Return at most `limit` rows of the symbols that follow the key (time, symbol) and open before `end`.

        Ascending by (time, symbol). `calendars` names those of symbols that rest. Raises as `windows` does.
        """
        holdings = await self._stored.known()
        known = calendars or {}
        asks = [Ask(symbol, known.get(symbol, ALWAYS_OPEN), key[0], end, limit) for symbol in symbols]
        parts = [SYMBOL_CANDLE_SCHEMA.empty_table()]
        for source, chosen in _by_source(holdings, self._stored.first_times, interval, asks).items():
            if source is interval:
                parts.append(await self._plain_after(interval, chosen, holdings[interval], key))
            else:
                parts += await self._aggregates.after(source, interval, chosen, holdings[source], key)
        merged = pa.concat_tables(parts)
        if len(parts) > 2:
            merged = _once(merged.sort_by([("time", "ascending"), ("symbol", "ascending")]))
        return merged.slice(0, limit).combine_chunks()

    async def _plain_after(
        self,
        interval: Interval,
        asks: Sequence[Ask],
        spellings: Mapping[str, tuple[str, ...]],
        key: tuple[datetime, str],
    ) -> pa.Table:
        spelled = [(name, ask.symbol) for ask in asks for name in spellings[ask.symbol]]
        stored, symbols = [list(names) for names in zip(*spelled, strict=True)]
        values = (stored, symbols, *key, asks[0].end, asks[0].limit)
        records = await self._database.fetch(sql.after(interval), *values, name=f"after {interval.table}")
        return table_of(records, SYMBOL_CANDLE_SCHEMA)

    async def spans(self) -> tuple[StoredSpan, ...]:
        """Return what every table holds of every symbol; bars of big tables are estimated."""
        return await spans_of(self._database, await self._stored.known())

    async def ends(self, symbol: str, interval: Interval, until: datetime) -> tuple[datetime, datetime] | None:
        """Return the openings of the oldest and newest bar up to `until` in the interval's own table, if any."""
        spellings = await self._spellings(symbol, interval)
        return await ends_of(self._database, interval, spellings, until) if spellings else None

    async def times(self, symbol: str, interval: Interval, until: datetime) -> Times:
        """Return the openings of all bars up to `until` in the interval's own table, ascending."""
        spellings = await self._spellings(symbol, interval)
        return await times_of_symbol(self._database, interval, spellings, until) if spellings else NO_TIMES

    async def _spellings(self, symbol: str, interval: Interval) -> Sequence[str]:
        """Return a symbol's spellings in the interval's own table, its name where another replica may have put it."""
        await self._stored.has(symbol)
        table = (await self._stored.known()).get(interval)
        return () if table is None else table.get(symbol, (symbol,))

    async def upsert(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> Upserted:
        """Insert and change rows with `SYMBOL_CANDLE_SCHEMA` in one transaction; of equal keys the last wins.

        With `dry_run` nothing is written and the answer says what would have been.
        """
        spellings = (await self._stored.known()).get(interval, {})
        stored = {symbol: names[0] for symbol, names in spellings.items()}
        done = await upsert(self._database, interval, rows, stored, dry_run)
        if not dry_run and self._stored.is_news(interval, rows):
            self._stored.expire()
        return done

    async def probe(self) -> float:
        """Return the milliseconds of an empty statement; raises `DatabaseUnavailable`."""
        return await self._database.probe()

    async def close(self) -> None:
        """End every connection."""
        await self._database.close()


def _by_source(
    holdings: Holdings, first_times: FirstTimes, interval: Interval, asks: Sequence[Ask]
) -> dict[Interval, list[Ask]]:
    """Return for each table that answers what it is asked for; a symbol that no table holds is in none."""
    found: dict[Interval, list[Ask]] = {}
    for ask in asks:
        for source, part in parts_of(holdings, first_times, interval, ask):
            found.setdefault(source, []).append(part)
    return found


def _once(table: pa.Table) -> pa.Table:
    """Keep one row of each time and symbol: a table that has just got older bars answers beside the finer one."""
    same = np.diff(times_of(table)) == np.timedelta64(0, "us")
    names = table["symbol"].combine_chunks()
    again = same & pc.equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
    return table.filter(pa.array(np.append(True, ~again)[: table.num_rows])) if again.any() else table


def _whole(table: pa.Table) -> pa.Table:
    """Say that no bar was aggregated."""
    flags = pa.array(np.zeros(table.num_rows, dtype=np.bool_))
    return table.append_column(WINDOW_SCHEMA.field("incomplete"), flags)
