"""Bars of a missing table, added up by the database from a finer one in the buckets of each symbol's calendar."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deployments.market_data.calendars.buckets import Slots, bars, slots_of
from deployments.market_data.calendars.calendar import Buckets, Calendar
from deployments.market_data.calendars.windows import Ask, cut
from deployments.market_data.instants import EPOCH, MICROSECOND, to_datetime, to_numpy
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, WINDOW_SCHEMA, Interval
from deployments.market_data.timescale import sql
from deployments.market_data.timescale.pool import Database
from deployments.market_data.timescale.record_tables import table_of

FINE_ROWS = 25_000
"""Rows that one statement may add up: about 25 ms, sorted in the 4 MB that a server gives a sort if nobody says more.

400,000 at once went to disk, took a fifth longer in all, and on a loaded machine longer than the statement timeout.
"""

_REACH = timedelta(days=2)
"""More than lies between the opening of a bar and any instant that it covers."""

_SUMS = pa.schema(
    [
        pa.field("slot", pa.int64()),
        *[pa.field(name, pa.float64()) for name in ("open", "high", "low", "close", "volume")],
        pa.field("bars", pa.int64()),
        *[pa.field(name, pa.timestamp("us", tz="UTC")) for name in ("first_time", "last_time")],
    ]
)

Spellings = Mapping[str, tuple[str, ...]]


class Aggregates:
    """Read bars of `interval` from the table of `source`."""

    def __init__(self, database: Database, fine_rows: int) -> None:
        self._database = database
        self._fine_rows = fine_rows

    async def windows(
        self, source: Interval, interval: Interval, asks: Sequence[Ask], spellings: Spellings
    ) -> list[pa.Table]:
        """Return for each ask its newest bars, as `WINDOW_SCHEMA`; one statement serves all of a calendar."""
        found = [WINDOW_SCHEMA.empty_table()] * len(asks)
        for places in _by_calendar(asks):
            tables = await self._group(source, interval, [asks[place] for place in places], spellings)
            for place, table in zip(places, tables, strict=True):
                found[place] = table
        return found

    async def _group(
        self, source: Interval, interval: Interval, asks: Sequence[Ask], spellings: Spellings
    ) -> list[pa.Table]:
        """Read backwards, as many buckets at a time as one statement may add up, until each ask has its bars."""
        ends = await self._ends(source, [ask.symbol for ask in asks], spellings)
        pending = {place: _clipped(ask, ends[ask.symbol]) for place, ask in enumerate(asks) if ask.symbol in ends}
        found = [WINDOW_SCHEMA.empty_table()] * len(asks)
        until = max((ask.end for ask in pending.values()), default=EPOCH)
        n = 0
        while pending:
            since = min(ask.start or EPOCH for ask in pending.values())
            # Twice as many each time: a search for one bar must not walk through a gap of years bar by bar.
            wanted = max(2 * n, max(ask.limit for ask in pending.values()))
            room = self._room(source, [ask.symbol for ask in pending.values()], spellings)
            n = min(wanted, max(1, room // interval.delta))
            buckets = asks[0].calendar.last_buckets(interval, since, until, n).newest(room)
            if not len(buckets):
                break
            until = to_datetime(buckets.openings[0])
            tables = await self._summed(source, interval, list(pending.values()), spellings, buckets)
            for (place, ask), table in zip(list(pending.items()), tables, strict=True):
                part = cut(table, ask.start, ask.end, ask.limit)
                found[place] = pa.concat_tables([part, found[place]])
                pending[place] = replace(ask, limit=ask.limit - part.num_rows)
            pending = {place: ask for place, ask in pending.items() if ask.limit and (ask.start or EPOCH) < until}
        return [table.combine_chunks() for table in found]

    async def after(
        self,
        source: Interval,
        interval: Interval,
        asks: Sequence[Ask],
        spellings: Spellings,
        key: tuple[datetime, str],
    ) -> list[pa.Table]:
        """Return for each calendar the next bars of its asks after the key, `SYMBOL_CANDLE_SCHEMA`, ascending.

        The asks share the limit, and no table has more rows than it; those with an end of their own get a table, too.
        """
        groups: dict[tuple[str, datetime], list[Ask]] = {}
        for ask in asks:
            groups.setdefault((ask.calendar.name, ask.end), []).append(ask)
        return [await self._group_after(source, interval, group, spellings, key) for group in groups.values()]

    async def _group_after(
        self,
        source: Interval,
        interval: Interval,
        asks: Sequence[Ask],
        spellings: Spellings,
        key: tuple[datetime, str],
    ) -> pa.Table:
        """Read forwards from the first stored row on, no more than a page needs."""
        calendar, end, limit = asks[0].calendar, asks[0].end, asks[0].limit
        names = [ask.symbol for ask in asks]
        room = self._room(source, names, spellings)
        n = min(-(-limit // len(asks)) + 1, max(1, room // interval.delta))
        found = SYMBOL_CANDLE_SCHEMA.empty_table()
        since = key[0]
        while found.num_rows < limit and since < end:
            ends = await self._ends(source, names, spellings, max(EPOCH, since - _REACH))
            if not ends:
                break
            first = min(low for low, _ in ends.values())
            buckets = calendar.first_buckets(interval, max(since, first - interval.delta), end, n + 2)
            buckets = buckets[int(np.searchsorted(buckets.ends, to_numpy(first), side="right")) :][:n].oldest(room)
            if not len(buckets):
                break
            tables = await self._summed(source, interval, asks, spellings, buckets)
            found = pa.concat_tables([found, _following(names, tables, key)])
            since = to_datetime(buckets.openings[-1]) + MICROSECOND
        return found.slice(0, limit)

    async def _summed(
        self, source: Interval, interval: Interval, asks: Sequence[Ask], spellings: Spellings, buckets: Buckets
    ) -> list[pa.Table]:
        """Return every bar of the buckets for each ask."""
        before = asks[0].calendar.last_buckets(interval, EPOCH, to_datetime(buckets.openings[0]), 1)
        slots = slots_of(buckets, source, before)
        named = [(name, place, nth) for place, ask in enumerate(asks) for nth, name in enumerate(spellings[ask.symbol])]
        columns = [list(column) for column in zip(*named, strict=True)]
        edges_s = (slots.edges.astype(np.int64) / 1e6).tolist()
        records = await self._database.fetch(
            sql.sums(source), *columns, edges_s, slots.start, slots.end, name=f"sums {source.table}"
        )
        asked = np.fromiter((record[0] for record in records), dtype=np.int64, count=len(records))
        sums = table_of(records, _SUMS, skip=1)
        edges = np.searchsorted(asked, np.arange(len(asks) + 1))
        return [
            _bars(sums.slice(low, high - low), slots, source, ask.calendar)
            for ask, low, high in zip(asks, edges[:-1], edges[1:], strict=True)
        ]

    async def _ends(
        self, source: Interval, symbols: Sequence[str], spellings: Spellings, since: datetime = EPOCH
    ) -> dict[str, tuple[datetime, datetime]]:
        """Return the openings of each symbol's oldest row from `since` on and its newest, where there are any."""
        symbol_of = {name: symbol for symbol in symbols for name in spellings[symbol]}
        rows = await self._database.fetch(sql.ends(source), list(symbol_of), since, name=f"ends {source.table}")
        found: dict[str, tuple[datetime, datetime]] = {}
        for name, first, last in rows:
            low, high = found.get(symbol_of[name], (first, last))
            found[symbol_of[name]] = (min(low, first), max(high, last))
        return found

    def _room(self, source: Interval, symbols: Sequence[str], spellings: Spellings) -> timedelta:
        """Return how much time one statement may cover: where bars lie around the clock, rests are full of them too."""
        names = sum(len(spellings[symbol]) for symbol in symbols)
        return max(1, self._fine_rows // names) * source.delta


def _bars(sums: pa.Table, slots: Slots, source: Interval, calendar: Calendar) -> pa.Table:
    return bars(sums.combine_chunks(), slots, source, calendar) if sums.num_rows else WINDOW_SCHEMA.empty_table()


def _clipped(ask: Ask, ends: tuple[datetime, datetime]) -> Ask:
    """Look no further than where rows are stored."""
    first, last = ends[0] - _REACH, ends[1] + _REACH
    return replace(ask, start=max(ask.start or EPOCH, first), end=min(ask.end, last))


def _by_calendar(asks: Sequence[Ask]) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for place, ask in enumerate(asks):
        groups.setdefault(ask.calendar.name, []).append(place)
    return list(groups.values())


def _following(names: Sequence[str], tables: Sequence[pa.Table], key: tuple[datetime, str]) -> pa.Table:
    """Return the bars of all symbols that follow the key, in its order."""
    parts = [
        table.drop_columns(["incomplete"]).add_column(0, SYMBOL_CANDLE_SCHEMA.field("symbol"), _repeated(name, table))
        for name, table in zip(names, tables, strict=True)
    ]
    merged = (
        pa.concat_tables(parts).cast(SYMBOL_CANDLE_SCHEMA).sort_by([("time", "ascending"), ("symbol", "ascending")])
    )
    time, symbol = pa.scalar(key[0], merged.schema.field("time").type), key[1]
    same = pc.and_(pc.equal(merged["time"], time), pc.greater(merged["symbol"], symbol))
    return merged.filter(pc.or_(pc.greater(merged["time"], time), same))


def _repeated(name: str, table: pa.Table) -> pa.Array:
    return pa.array([name] * table.num_rows, pa.string())
