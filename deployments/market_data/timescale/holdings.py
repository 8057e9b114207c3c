"""Which symbols the candle tables hold, and under which spellings."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa

from deployments.common.errors import InvalidRequest
from deployments.market_data.calendars.calendar import Calendar
from deployments.market_data.calendars.windows import Ask
from deployments.market_data.instants import EPOCH, MICROSECOND, to_datetime, to_numpy
from deployments.market_data.models import Interval
from deployments.market_data.symbols.names import canonical
from deployments.market_data.timescale import sql
from deployments.market_data.timescale.pool import Database

BELIEVED_S = 30.0
"""How long the list of stored symbols is believed; our own ingest renews it at once."""

MISS_S = 1.0
"""How often an unknown name may make us look again."""

_REACH = timedelta(days=2)
"""More than lies between the opening of a bar and any instant that it covers."""

Holdings = Mapping[Interval, Mapping[str, tuple[str, ...]]]
"""For each interval with a table: the canonical symbols in it, each with its spellings there."""

FirstTimes = Mapping[tuple[str, Interval], datetime]
"""The openings of the first bars, of symbols that several tables hold."""


class StoredSymbols:
    """The list of what is stored, at most half a minute old."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holdings: Holdings = {}
        self.first_times: FirstTimes = {}
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    async def known(self, age_s: float = BELIEVED_S) -> Holdings:
        """Return what the tables hold, as it was at most `age_s` seconds ago."""
        async with self._looking:
            if time.monotonic() - self._looked_at > age_s:
                holdings = await self._look()
                self.first_times = await self._look_back(holdings)
                self._holdings = holdings
                self._looked_at = time.monotonic()
            return self._holdings

    async def has(self, symbol: str) -> bool:
        """Whether any table has candles of the symbol; a name not seen yet is looked up again, once a second."""
        for age_s in (BELIEVED_S, MISS_S):
            if any(symbol in table for table in (await self.known(age_s)).values()):
                return True
        return False

    def is_news(self, interval: Interval, rows: pa.Table) -> bool:
        """Whether rows with `SYMBOL_CANDLE_SCHEMA`, once stored, bring a new symbol or an earlier first bar."""
        known = self._holdings.get(interval, {})
        ends = rows.group_by("symbol").aggregate([("time", "min")]).to_pydict()
        return any(
            symbol not in known or time < self.first_times.get((symbol, interval), time)
            for symbol, time in zip(ends["symbol"], ends["time_min"], strict=True)
        )

    def expire(self) -> None:
        """Have the tables looked at again before the list is next used."""
        self._looked_at = float("-inf")

    async def _look(self) -> Holdings:
        present = {row["name"] for row in await self._database.fetch(sql.TABLES, name="candle tables")}
        holdings: dict[Interval, dict[str, tuple[str, ...]]] = {}
        for interval in Interval:
            if interval.table in present:
                statement = sql.distinct_symbols(interval)
                rows = await self._database.fetch(statement, name=f"symbols {interval.table}")
                holdings[interval] = by_canonical([row["symbol"] for row in rows])
        return holdings

    async def _look_back(self, holdings: Holdings) -> FirstTimes:
        tables = Counter(symbol for spellings in holdings.values() for symbol in spellings)
        found: dict[tuple[str, Interval], datetime] = {}
        for interval, spellings in holdings.items():
            keys = {
                name: (symbol, interval) for symbol in spellings if tables[symbol] > 1 for name in spellings[symbol]
            }
            if keys:
                name = f"ends {interval.table}"
                for row in await self._database.fetch(sql.ends(interval), list(keys), EPOCH, name=name):
                    key, first = keys[row["stored"]], row["first_time"]
                    found[key] = min(first, found.get(key, first))
        return found


def parts_of(holdings: Holdings, first_times: FirstTimes, interval: Interval, ask: Ask) -> list[tuple[Interval, Ask]]:
    """Return the tables that answer and what each is asked for, the newest part first; no table, no part.

    An interval's own table comes before finer ones and the finest of these before the others. Each answers from its
    first bar on, so a few bars in one do not hide the years before them in the next.
    """
    finer = [other for other in Interval if other.delta < interval.delta]
    parts: list[tuple[Interval, Ask]] = []
    for source in (interval, *sorted(finer, key=lambda other: other.delta)):
        first = first_times.get((ask.symbol, source))
        if ask.symbol not in holdings.get(source, {}) or (parts and first is None):
            continue
        if parts and first is not None and first >= ask.end:
            continue
        if parts:
            # Disjoint even where the table has meanwhile got bars from before what we know as its first.
            newer, asked = parts[-1]
            parts[-1] = (newer, replace(asked, start=ask.end))
        parts.append((source, ask))
        if first is None:
            break
        begins = first if source is interval else _opening(ask.calendar, interval, first)
        if ask.start is not None and ask.start >= begins:
            break
        ask = replace(ask, end=min(ask.end, begins))
    return parts


def _opening(calendar: Calendar, interval: Interval, first: datetime) -> datetime:
    """Return the opening of the bar that an instant is part of, or the instant where the market rests."""
    bucket = calendar.last_buckets(interval, first - _REACH, first + MICROSECOND, 1)
    is_inside = len(bucket) == 1 and bucket.ends[0] > to_numpy(first)
    return to_datetime(bucket.openings[0]) if is_inside else first


def by_canonical(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Group the spellings of a table by symbol, leaving out what no request can name."""
    found: dict[str, list[str]] = {}
    for name in names:
        try:
            found.setdefault(canonical(name), []).append(name)
        except InvalidRequest:
            continue
    # The canonical spelling first: it takes new rows and wins where both tell the same bar.
    return {
        symbol: tuple(sorted(spellings, key=lambda name: (name != symbol, name))) for symbol, spellings in found.items()
    }
