"""Reading on from a key (time, symbol), sound rows only."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from deployments.market_data.calendars.calendar import Calendar
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.quality.checks import screen

Key = tuple[datetime, str]


class KeyedCandles(Protocol):
    """At most `limit` rows of the symbols after the key that open before `end`, ascending by (time, symbol)."""

    async def after(
        self,
        interval: Interval,
        symbols: Sequence[str],
        key: Key,
        end: datetime,
        limit: int,
        calendars: Mapping[str, Calendar] | None = None,
    ) -> pa.Table: ...


async def sound_after(
    store: KeyedCandles,
    interval: Interval,
    calendars: Mapping[str, Calendar],
    key: Key,
    end: datetime,
    limit: int,
    now: datetime,
) -> pa.Table:
    """Return the next `limit` sound rows of the symbols that have a calendar.

    Refused ones are replaced by reading on, so a short answer is the last.
    """
    parts = [SYMBOL_CANDLE_SCHEMA.empty_table()]
    symbols = list(calendars)
    missing = limit if symbols else 0
    while missing:
        rows = await store.after(interval, symbols, key, end, missing, calendars)
        sound = screen(rows, now)[0]
        parts.append(sound)
        if rows.num_rows < missing:
            break
        key = (rows["time"][-1].as_py(), rows["symbol"][-1].as_py())
        missing -= sound.num_rows
    return pa.concat_tables(parts).combine_chunks()
