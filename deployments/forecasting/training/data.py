"""What a training run reads from market data: which symbols, and all their candles, in bounded reads."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import NoCandles, TooLittleHistory
from deployments.forecasting.models import TrainingRequest
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


class MarketData(Protocol):
    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage: ...

    async def candles(self, query: CandleQuery) -> Candles: ...


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Each symbol's candles (`CANDLE_SCHEMA`), and the calendars of those that are managed."""

    tables: dict[str, pa.Table]
    calendars: dict[str, str] = field(default_factory=dict)


async def training_data(market: MarketData, request: TrainingRequest, page: int = MAX_CANDLES) -> TrainingData:
    """Return each symbol's closed candles, `lookback_days` back from its own newest bar.

    Raises `UnknownSymbol` for a symbol asked for by name, `TooLittleHistory` when none is enabled. A symbol without
    candles gets an empty table.
    """
    managed = await _active(market)
    symbols = request.symbols or tuple(each.symbol for each in managed if each.enabled)
    if not symbols:
        raise TooLittleHistory("No symbol is enabled, so there is nothing to train on", 0, 1)
    tables = {
        symbol: await all_candles(market, symbol, request.interval, request.lookback_days, page) for symbol in symbols
    }
    return TrainingData(tables, {each.symbol: each.calendar for each in managed if each.symbol in tables})


async def enabled_symbols(market: MarketData) -> tuple[str, ...]:
    """Return every enabled, active managed symbol."""
    return tuple(each.symbol for each in await _active(market) if each.enabled)


async def _active(market: MarketData) -> tuple[ManagedSymbol, ...]:
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
) -> pa.Table:
    """Read a symbol's closed candles backwards, at most `page` a read, until history or the lookback ends."""
    pages: list[pa.Table] = []
    start = end = None
    while True:
        table = await _page(market, symbol, interval, end, page)
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
    return whole if start is None else whole.filter(pc.greater(whole["time"], _instant(start)))


async def _page(market: MarketData, symbol: str, interval: Interval, end: datetime | None, limit: int) -> pa.Table:
    try:
        answer = await market.candles(CandleQuery(symbol, interval, end=end, limit=limit))
    except NoCandles:
        return CANDLE_SCHEMA.empty_table()
    return answer.table


def _instant(time: datetime) -> pa.Scalar:
    return pa.scalar(time, CANDLE_SCHEMA.field("time").type)
