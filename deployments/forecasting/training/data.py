"""What a training run reads from market data: which symbols, and all their candles, in bounded reads."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import NoCandles, TooLittleHistory
from deployments.forecasting.models import TrainingRequest
from deployments.forecasting.series.panel import Panel, panel_of
from deployments.market_data.models import (
    CANDLE_SCHEMA,
    MAX_CANDLES,
    CandleQuery,
    Candles,
    Interval,
    ManagedSymbol,
    SymbolFilter,
    SymbolPage,
    SymbolStatus,
)

NO_SYMBOL = "No symbol is enabled, so there is nothing to train on"


class SymbolReader(Protocol):
    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage: ...


class MarketData(SymbolReader, Protocol):
    async def candles(self, query: CandleQuery) -> Candles: ...


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Each symbol's candles (`CANDLE_SCHEMA`), and the calendars of those that are managed.

    `incomplete` are the openings of bars that were added up with finer ones missing.
    """

    tables: dict[str, pa.Table]
    calendars: dict[str, str] = field(default_factory=dict)
    incomplete: dict[str, tuple[datetime, ...]] = field(default_factory=dict)

    def panel(self, interval: Interval) -> Panel:
        """Return all of it as a panel; raises as `panel_of`."""
        return panel_of(self.tables, interval, self.calendars, self.incomplete)


@dataclass(frozen=True, slots=True)
class Series:
    """One symbol's candles, and the openings of those that were added up with finer ones missing."""

    table: pa.Table
    incomplete: tuple[datetime, ...] = ()


async def training_data(market: MarketData, request: TrainingRequest, page: int = MAX_CANDLES) -> TrainingData:
    """Return each symbol's closed candles, `lookback_days` back from its own newest bar.

    Raises `UnknownSymbol` for a symbol asked for by name, `TooLittleHistory` when none is enabled. A symbol without
    candles gets an empty table.
    """
    managed = await _active(market)
    symbols = request.symbols or tuple(each.symbol for each in managed if each.enabled)
    if not symbols:
        raise TooLittleHistory(NO_SYMBOL, 0, 1)
    read = {
        symbol: await all_candles(market, symbol, request.interval, request.lookback_days, page) for symbol in symbols
    }
    return TrainingData(
        {symbol: series.table for symbol, series in read.items()},
        {each.symbol: each.calendar for each in managed if each.symbol in read},
        {symbol: series.incomplete for symbol, series in read.items() if series.incomplete},
    )


async def enabled_symbols(market: SymbolReader) -> tuple[str, ...]:
    """Return every enabled, active managed symbol."""
    return tuple(each.symbol for each in await _active(market) if each.enabled)


async def calendars_of(market: SymbolReader) -> dict[str, str]:
    """Return the calendar of every active managed symbol."""
    return {each.symbol: each.calendar for each in await _active(market)}


async def _active(market: SymbolReader) -> tuple[ManagedSymbol, ...]:
    """Return every active managed symbol."""
    found: list[ManagedSymbol] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await market.managed_symbols(SymbolFilter(status=SymbolStatus.ACTIVE, limit=500, cursor=cursor))
        found += answer.symbols
        cursor = answer.next_cursor
    return tuple(found)


async def all_candles(
    market: MarketData, symbol: str, interval: Interval, lookback_days: int | None, page: int = MAX_CANDLES
) -> Series:
    """Read a symbol's closed candles backwards, at most `page` a read, until history or the lookback ends."""
    pages: list[pa.Table] = []
    incomplete: set[datetime] = set()
    start = end = None
    while True:
        series = await _page(market, symbol, interval, end, page)
        table = series.table
        incomplete.update(series.incomplete)
        fresh = table if end is None else table.filter(pc.less(table["time"], _instant(end)))
        pages.insert(0, fresh)
        if fresh.num_rows == 0:
            break
        end = fresh["time"][0].as_py()
        if start is None and lookback_days is not None:
            start = fresh["time"][-1].as_py() - timedelta(days=lookback_days)
        if table.num_rows < page or (start is not None and end <= start):
            break
    whole = pa.concat_tables(pages).combine_chunks()
    kept = whole if start is None else whole.filter(pc.greater(whole["time"], _instant(start)))
    return Series(kept, tuple(sorted(incomplete)))


async def _page(market: MarketData, symbol: str, interval: Interval, end: datetime | None, limit: int) -> Series:
    try:
        answer = await market.candles(CandleQuery(symbol, interval, end=end, limit=limit))
    except NoCandles:
        return Series(CANDLE_SCHEMA.empty_table())
    return Series(answer.table, answer.incomplete)


def _instant(time: datetime) -> pa.Scalar:
    return pa.scalar(time, CANDLE_SCHEMA.field("time").type)
