"""A source of candles in memory, with failures to order."""

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import UnknownSymbol
from deployments.market_data.models import Interval


class ListSource:
    """Answer as `EasyInsightSource.candles` does; `errors` maps a symbol to what to raise in its place."""

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        self.tables = dict(tables)
        self.errors: dict[str, Exception] = {}
        self.asked: list[tuple[str, datetime, datetime]] = []

    async def candles(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> pa.Table:
        del interval
        self.asked.append((symbol, start, end))
        if symbol in self.errors:
            raise self.errors[symbol]
        if symbol not in self.tables:
            raise UnknownSymbol(f"no {symbol} here")
        table = self.tables[symbol]
        kind = table.schema.field("time").type
        times = table["time"]
        wanted = pc.and_(pc.greater_equal(times, pa.scalar(start, kind)), pc.less(times, pa.scalar(end, kind)))
        return table.filter(wanted)
