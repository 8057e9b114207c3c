"""Market data in memory, for tests of whoever reads it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import CandlecastError, NoCandles, UnknownSymbol
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import times_of
from deployments.market_data.models import (
    CANDLE_SCHEMA,
    SYMBOL_CANDLE_SCHEMA,
    Bar,
    CandleQuery,
    Candles,
    Coverage,
    IngestReport,
    Interval,
    LatestCandle,
    ManagedSymbol,
    Source,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)
from deployments.market_data.quality.checks import gaps
from deployments.market_data.reading.generation import generation_of

DEFAULT_LOOKBACK = timedelta(days=90)


def candle_table(
    start: datetime, closes: list[float], interval: Interval = Interval.H1, volume: float = 10.0
) -> pa.Table:
    """Return candles from `start` on without holes, one per close, each opening at the close before."""
    close = np.asarray(closes, dtype=np.float64)
    opening = np.concatenate([close[:1], close[:-1]])
    return pa.table(
        {
            "time": [start + index * interval.delta for index in range(len(closes))],
            "open": opening,
            "high": np.maximum(opening, close),
            "low": np.minimum(opening, close),
            "close": close,
            "volume": np.full(len(closes), volume),
        },
        schema=CANDLE_SCHEMA,
    )


def walk_table(start: datetime, bars: int, interval: Interval = Interval.H1, seed: int = 7) -> pa.Table:
    """Return a seeded random walk around 100 without holes."""
    steps = np.random.default_rng(seed).normal(0.0, 0.004, bars)
    return candle_table(start, list(100.0 * np.exp(np.cumsum(steps))), interval)


class FakeMarketData:
    """Answer as `MarketDataClient` does from tables with `CANDLE_SCHEMA`, all of one interval."""

    def __init__(self, tables: Mapping[str, pa.Table], now: datetime, interval: Interval = Interval.H1) -> None:
        self.tables = dict(tables)
        self.now = now
        self.interval = interval
        self.queries: list[CandleQuery] = []
        self.incomplete: dict[str, tuple[datetime, ...]] = {}
        self.calendars: dict[str, str] = {}

    async def candles(self, query: CandleQuery) -> Candles:
        self.queries.append(query)
        table = self._known(query.symbol)
        reference = query.as_of or self.now
        closed = self._opening_before(table, reference - self.interval.delta, inclusive=True)
        if table.num_rows == 0:
            raise NoCandles(f"{query.symbol} has no {query.interval} candles")
        newest = _last_time(closed)
        chosen = _cut(closed, query, reference)
        forming = self._forming(table) if query.include_open and query.as_of is None else None
        if forming is not None:
            chosen = pa.concat_tables([chosen, forming])
        return Candles(
            symbol=query.symbol,
            interval=query.interval,
            table=chosen.combine_chunks(),
            source=Source.DATABASE,
            data_as_of=newest + self.interval.delta if newest else None,
            stale=newest is None or newest + 3 * self.interval.delta <= reference,
            forming=forming is not None,
            incomplete=tuple(
                time for time in self.incomplete.get(query.symbol, ()) if time in chosen["time"].to_pylist()
            ),
        )

    async def changed_candles(self, query: CandleQuery, generation: str) -> Candles | None:
        found = await self.candles(query)
        return None if generation_of(found) == generation else found

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        answers: dict[str, Candles | CandlecastError] = {}
        for symbol in symbols:
            try:
                answers[symbol] = await self.candles(_for_symbol(query, symbol))
            except CandlecastError as error:
                answers[symbol] = error
        return answers

    async def latest(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> LatestCandle:
        answer = await self.candles(CandleQuery(symbol, interval, limit=2_000, as_of=as_of))
        if not answer.table.num_rows or answer.data_as_of is None:
            raise NoCandles(f"{symbol} has no closed {interval} candle")
        bars = [Bar(**row) for row in answer.table.to_pylist()]
        before = [bar for bar in bars if bar.time <= bars[-1].time - timedelta(hours=24)]
        change = (bars[-1].close / before[-1].close - 1.0) * 100.0 if before else None
        return LatestCandle(
            symbol, interval, bars[-1], None, change, answer.source, answer.data_as_of, stale=answer.stale
        )

    async def candles_after(
        self, interval: Interval, after_time: datetime, after_symbol: str, limit: int, symbols: tuple[str, ...] = ()
    ) -> pa.Table:
        del interval
        rows: list[dict[str, object]] = []
        for symbol, table in self.tables.items():
            if not symbols or symbol in symbols:
                closed = self._opening_before(table, self.now - self.interval.delta, inclusive=True)
                rows += [{"symbol": symbol, **row} for row in closed.to_pylist()]
        rows.sort(key=lambda row: (row["time"], row["symbol"]))
        rows = [row for row in rows if (row["time"], row["symbol"]) > (after_time, after_symbol)]
        return pa.Table.from_pylist(rows[:limit], schema=SYMBOL_CANDLE_SCHEMA)

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage:
        names = sorted(name for name in self.tables if name > wanted.cursor and wanted.q.upper() in name)
        page = tuple([await self.managed_symbol(name) for name in names[: wanted.limit]])
        return SymbolPage(page, names[wanted.limit - 1] if len(names) > wanted.limit else None)

    async def managed_symbol(self, symbol: str) -> ManagedSymbol:
        name = symbol.upper().replace("/", "").replace("-", "")
        self._known(name)
        born = datetime(2020, 1, 1, tzinfo=UTC)
        calendar = self.calendars.get(name, "24/7")
        return ManagedSymbol(name, interval=self.interval, calendar=calendar, created_at=born, updated_at=born)

    async def create_symbol(self, draft: SymbolDraft) -> ManagedSymbol:
        self.tables.setdefault(draft.symbol, CANDLE_SCHEMA.empty_table())
        return await self.managed_symbol(draft.symbol)

    async def coverage(self, symbol: str, interval: Interval, with_gaps: bool = False) -> Coverage:
        table = self.tables.get(symbol, CANDLE_SCHEMA.empty_table())
        closed = self._opening_before(table, self.now - self.interval.delta, inclusive=True)
        if not closed.num_rows:
            return Coverage(symbol, interval)
        found = gaps(times_of(closed), interval, calendar_named("24/7")) if with_gaps else ()
        return Coverage(symbol, interval, closed["time"][0].as_py(), closed["time"][-1].as_py(), found)

    async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> IngestReport:
        """Upsert; the interval must be the one of this fake."""
        assert interval is self.interval
        inserted = changed = 0
        by_symbol: dict[str, dict[datetime, dict[str, object]]] = {}
        for row in rows.to_pylist():
            symbol = row.pop("symbol")
            held = by_symbol.setdefault(symbol, self._rows_by_time(symbol))
            inserted += row["time"] not in held
            changed += row["time"] in held and held[row["time"]] != row
            held[row["time"]] = row
        for symbol, held in by_symbol.items() if not dry_run else ():
            self.tables[symbol] = pa.Table.from_pylist([held[time] for time in sorted(held)], schema=CANDLE_SCHEMA)
        return IngestReport(rows.num_rows, inserted, changed, rows.num_rows - inserted - changed, 0)

    def _rows_by_time(self, symbol: str) -> dict[datetime, dict[str, object]]:
        table = self.tables.get(symbol)
        return {row["time"]: row for row in table.to_pylist()} if table is not None else {}

    def _known(self, symbol: str) -> pa.Table:
        if symbol not in self.tables:
            raise UnknownSymbol(f"{symbol} is neither managed nor in the database")
        return self.tables[symbol]

    def _opening_before(self, table: pa.Table, instant: datetime, *, inclusive: bool) -> pa.Table:
        compare = pc.less_equal if inclusive else pc.less
        return table.filter(compare(table["time"], pa.scalar(instant, table.schema.field("time").type)))

    def _forming(self, table: pa.Table) -> pa.Table | None:
        until_now = self._opening_before(table, self.now, inclusive=True)
        newest = _last_time(until_now)
        if newest is None or newest + self.interval.delta <= self.now:
            return None
        return until_now.slice(until_now.num_rows - 1)


def _last_time(table: pa.Table) -> datetime | None:
    last: datetime | None = table["time"][-1].as_py() if table.num_rows else None
    return last


def _for_symbol(query: CandleQuery, symbol: str) -> CandleQuery:
    return CandleQuery(
        symbol,
        query.interval,
        query.start,
        query.end,
        query.lookback_days,
        query.limit,
        query.as_of,
        query.include_open,
    )


def _cut(table: pa.Table, query: CandleQuery, reference: datetime) -> pa.Table:
    """Apply the window and the limit of a query to closed candles."""
    kind = table.schema.field("time").type
    end = query.end or reference
    start = query.start
    if start is None and (query.lookback_days is not None or query.limit is None):
        start = end - (timedelta(days=query.lookback_days) if query.lookback_days else DEFAULT_LOOKBACK)
    kept = table.filter(pc.less(table["time"], pa.scalar(end, kind)))
    if start is not None:
        kept = kept.filter(pc.greater_equal(kept["time"], pa.scalar(start, kind)))
    if query.limit is not None:
        kept = kept.slice(max(0, kept.num_rows - query.limit))
    return kept
