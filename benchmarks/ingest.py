"""A million candles into the embedded PostgreSQL: our ingest, its bare COPY, and the upsert that most would write."""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pyarrow as pa

from benchmarks._synthetic import candle_tables
from deployments.common.settings import AppDatabaseSettings, DatabaseSettings, StackSettings
from deployments.local_stack.home import StackHome
from deployments.local_stack.postgres import EmbeddedPostgres
from deployments.market_data.assembly import assemble
from deployments.market_data.ingest.importing import chunks, import_table
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.service import MarketDataService
from deployments.market_data.timescale.binary_copy import COLUMNS, blocks, encoded, keyed_rows
from deployments.market_data.timescale.write_sql import create_indexes, create_table

SYMBOLS = 20
BARS = 50_000
GOAL = 400_000
CORRECTED_EVERY = 100
INTERVAL = Interval.H1
PEER = """
    INSERT INTO ohlcv_1h (symbol, time, open, high, low, close, volume) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (symbol, time) DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low,
        close = excluded.close, volume = excluded.volume
"""


@dataclass(slots=True)
class Rates:
    """Rows a second by what was done, printed line by line as they come."""

    rows: int
    rates: dict[str, float] = field(default_factory=dict)

    async def measure(self, what: str, work: Callable[[], Awaitable[object]]) -> None:
        """Do the work once and print how fast it was and what it said."""
        started = time.perf_counter()
        outcome = await work()
        self.rates[what] = self.rows / (time.perf_counter() - started)
        said = f"   {outcome}" if outcome is not None else ""
        print(f"{what:<52} {self.rates[what]:>12,.0f} rows/s{said}")


def candles() -> pa.Table:
    """Return the rows of every symbol as a file would hold them, ascending by (time, symbol)."""
    parts = []
    for symbol, table in candle_tables(SYMBOLS, BARS).items():
        names = pa.array([symbol]).take(pa.array(np.zeros(table.num_rows, dtype=np.int64)))
        parts.append(pa.table([names, *table.columns], schema=SYMBOL_CANDLE_SCHEMA))
    return pa.concat_tables(parts).sort_by([("time", "ascending"), ("symbol", "ascending")]).combine_chunks()


def corrected(table: pa.Table) -> pa.Table:
    """Return the rows with every hundredth volume changed."""
    volume = table["volume"].to_numpy() + (np.arange(table.num_rows) % CORRECTED_EVERY == 0)
    return table.set_column(table.column_names.index("volume"), SYMBOL_CANDLE_SCHEMA.field("volume"), pa.array(volume))


async def measure_copy(rates: Rates, table: pa.Table, connection: Any) -> None:
    """Measure COPY of rows that are encoded already, without and with the indexes of our tables."""
    parts = [encoded(keyed_rows(table.slice(start, end - start), {})) for start, end in chunks(table)]

    async def copy() -> None:
        for part in parts:
            await connection.copy_to_table("ohlcv_1h", source=blocks(part), columns=COLUMNS, format="binary")

    for what, statements in (("without indexes", ()), ("with both indexes", create_indexes(INTERVAL))):
        await _empty(connection, statements)
        await rates.measure(f"COPY alone, {what}", copy)


async def measure_ours(rates: Rates, table: pa.Table, connection: Any, service: MarketDataService) -> None:
    """Measure the whole ingest: checks, symbols, locks, COPY, merge."""
    await connection.execute("DROP TABLE IF EXISTS ohlcv_1h")
    await rates.measure("ingest into an empty database", lambda: import_table(table, INTERVAL, service))
    await rates.measure("the same once more: nothing changes", lambda: import_table(table, INTERVAL, service))
    await rates.measure("with 1 % corrected", lambda: import_table(corrected(table), INTERVAL, service))
    again = table.slice(0, table.num_rows)
    await rates.measure("dry run of the first", lambda: import_table(again, INTERVAL, service, dry_run=True))


async def measure_peer(rates: Rates, table: pa.Table, connection: Any) -> None:
    """Measure `INSERT ... ON CONFLICT` by executemany in parts of the same size, rows as Python's tuples."""

    async def upsert(rows: pa.Table) -> None:
        for start, end in chunks(rows):
            columns = [rows[name].slice(start, end - start).to_pylist() for name in COLUMNS]
            await connection.executemany(PEER, list(zip(*columns, strict=True)))

    await _empty(connection, create_indexes(INTERVAL))
    await rates.measure("peer, executemany upsert, empty table", lambda: upsert(table))
    await rates.measure("peer, the same once more", lambda: upsert(table))
    await rates.measure("peer, with 1 % corrected", lambda: upsert(corrected(table)))


async def _empty(connection: Any, statements: tuple[str, ...]) -> None:
    await connection.execute("DROP TABLE IF EXISTS ohlcv_1h")
    for statement in (create_table(INTERVAL), *statements):
        await connection.execute(statement)
    # What one measurement left to write to disk shall not slow the next one down.
    await connection.execute("CHECKPOINT")


async def run(services: dict[str, str]) -> Rates:
    """Measure everything on the database that the variables name."""
    os.environ.update(services)
    settings = DatabaseSettings.read()
    connection = await asyncpg.connect(host=settings.host, user=settings.user, database=settings.database)
    service = await assemble(StackSettings.read(), settings, AppDatabaseSettings.read(), "")
    table = candles()
    rates = Rates(table.num_rows)
    print(f"{table.num_rows:,} rows of {SYMBOLS} symbols\n")
    try:
        await measure_copy(rates, table, connection)
        await measure_ours(rates, table, connection, service)
        await measure_peer(rates, table, connection)
    finally:
        await service.close()
        await connection.close()
    return rates


def main() -> None:
    """Print the table and whether the goal is reached."""
    with tempfile.TemporaryDirectory(prefix="cc-ingest-") as folder:
        postgres = EmbeddedPostgres(StackHome(Path(folder)))
        try:
            rates = asyncio.run(run(postgres.start())).rates
        finally:
            postgres.stop()
    ours, peer = rates["ingest into an empty database"], rates["peer, executemany upsert, empty table"]
    print(f"\ngoal {GOAL:,} rows/s: {'reached' if ours >= GOAL else 'missed'}; {ours / peer:.1f} × the peer")


if __name__ == "__main__":
    main()
