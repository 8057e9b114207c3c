"""What only the PostgreSQL store does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pyarrow as pa
import pytest

from deployments.common.errors import DatabaseUnavailable, UpstreamTimeout
from deployments.common.settings import DatabaseSettings
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.timescale import TimescaleStore
from deployments.market_data.timescale_pool import Database, arguments_of, connect
from tests.fakes.market_data import walk_table

pytestmark = pytest.mark.db

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=30)


def rows_of(symbol: str, bars: int, interval: Interval = Interval.H1) -> pa.Table:
    table = walk_table(START, bars, interval)
    return table.add_column(0, SYMBOL_CANDLE_SCHEMA.field("symbol"), pa.array([symbol] * bars)).cast(
        SYMBOL_CANDLE_SCHEMA
    )


@asynccontextmanager
async def desk(settings: DatabaseSettings) -> AsyncIterator[Any]:
    """Connect as the desk's own tools do."""
    connection = await connect(arguments_of(settings))
    try:
        yield connection
    finally:
        await connection.close()


async def desk_table(connection: Any, symbol: str, rows: int = 3) -> None:
    """Make a table as a desk may have it: another spelling, no unique index, prices that may be NULL."""
    await connection.execute(
        """CREATE TABLE IF NOT EXISTS ohlcv_1h (time timestamptz, symbol text, open double precision,
        high double precision, low double precision, close double precision, volume double precision)"""
    )
    records = [(START + timedelta(hours=n), symbol, 10.0, 12.0, 9.0, 11.0, 5.0) for n in range(rows)]
    await connection.copy_records_to_table("ohlcv_1h", records=records)


async def test_missing_table_is_aggregated_from_the_finest_finer_one(timescale_store: TimescaleStore) -> None:
    await timescale_store.upsert(Interval.M15, rows_of("BTCUSD", 40, Interval.M15))
    fine = (await timescale_store.window("BTCUSD", Interval.M15, None, END, 100)).to_pylist()
    hours = (await timescale_store.window("BTCUSD", Interval.H1, None, END, 3)).to_pylist()
    assert [row["time"].hour for row in hours] == [7, 8, 9]
    bar = fine[28:32]
    assert hours[0] == {
        "time": START + timedelta(hours=7),
        "open": bar[0]["open"],
        "high": max(row["high"] for row in bar),
        "low": min(row["low"] for row in bar),
        "close": bar[-1]["close"],
        "volume": 40.0,
    }


async def test_aggregated_windows_and_keys_keep_whole_bars(timescale_store: TimescaleStore) -> None:
    await timescale_store.upsert(Interval.M15, rows_of("BTCUSD", 40, Interval.M15))
    start, end = START + timedelta(hours=1, minutes=30), START + timedelta(hours=4)
    window = await timescale_store.window("BTCUSD", Interval.H1, start, end, 100)
    after = await timescale_store.after(Interval.H1, ["BTCUSD"], (START + timedelta(hours=1), "BTCUSD"), end, 100)
    assert [time.hour for time in window["time"].to_pylist()] == [2, 3]
    assert after.drop_columns(["symbol"]).equals(window)
    assert window["volume"].to_pylist() == [40.0, 40.0]


async def test_symbol_that_a_table_lacks_is_aggregated_beside_one_that_it_has(timescale_store: TimescaleStore) -> None:
    await timescale_store.upsert(Interval.H1, rows_of("ETHUSD", 2))
    await timescale_store.upsert(Interval.M30, rows_of("BTCUSD", 4, Interval.M30))
    rows = await timescale_store.after(Interval.H1, ["BTCUSD", "ETHUSD"], (START, ""), END, 10)
    assert rows["symbol"].to_pylist() == ["BTCUSD", "ETHUSD", "BTCUSD", "ETHUSD"]


async def test_desk_s_own_spelling_is_read_and_written(database: DatabaseSettings) -> None:
    async with desk(database) as connection:
        await desk_table(connection, "btc/usd")
        store = TimescaleStore(Database(arguments_of(database)))
        assert (await store.window("BTCUSD", Interval.H1, None, END, 10)).num_rows == 3
        done = await store.upsert(Interval.H1, rows_of("BTCUSD", 4))
        assert (done.inserted, done.changed) == (1, 3)
        assert await connection.fetchval("SELECT count(DISTINCT symbol) FROM ohlcv_1h") == 1
        await store.close()


async def test_two_spellings_of_a_symbol_tell_each_bar_once(database: DatabaseSettings) -> None:
    async with desk(database) as connection:
        await desk_table(connection, "BTC-USD", 4)
        await desk_table(connection, "BTCUSD", 3)
        store = TimescaleStore(Database(arguments_of(database)))
        found = await store.window("BTCUSD", Interval.H1, None, END, 3)
        after = await store.after(Interval.H1, ["BTCUSD"], (START, ""), END, 10)
        assert [time.hour for time in found["time"].to_pylist()] == [1, 2, 3]
        assert after.num_rows == 4
        await store.close()


async def test_connections_cut_by_the_server_are_replaced_unnoticed(
    timescale_store: TimescaleStore, database: DatabaseSettings
) -> None:
    await timescale_store.upsert(Interval.H1, rows_of("BTCUSD", 3))
    async with desk(database) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert (await timescale_store.window("BTCUSD", Interval.H1, None, END, 10)).num_rows == 3


async def test_writers_of_the_same_bars_at_once_count_each_bar_once(timescale_store: TimescaleStore) -> None:
    rows = rows_of("BTCUSD", 50)
    done = await asyncio.gather(*[timescale_store.upsert(Interval.H1, rows) for _ in range(4)])
    assert sum(one.inserted for one in done) == 50
    assert (await timescale_store.window("BTCUSD", Interval.H1, None, END, 100)).num_rows == 50


async def test_server_that_is_away_is_told_at_once_and_as_such(tmp_path: Any) -> None:
    settings = DatabaseSettings(host=str(tmp_path), port=5432)
    store = TimescaleStore(Database(arguments_of(settings)))
    for _ in range(5):
        with pytest.raises(DatabaseUnavailable):
            await store.window("BTCUSD", Interval.H1, None, END, 1)
    await store.close()


async def test_slow_statement_is_cancelled_by_the_server(database: DatabaseSettings) -> None:
    opened = Database(arguments_of(database))
    with pytest.raises(UpstreamTimeout):
        async with opened.transaction(0.05) as connection:
            await connection.execute("SELECT pg_sleep(30)")
    assert await opened.probe() > 0
    await opened.close()


async def test_our_own_mistake_is_not_blamed_on_the_server(database: DatabaseSettings) -> None:
    opened = Database(arguments_of(database))
    with pytest.raises(asyncpg.exceptions.UndefinedTableError):
        await opened.fetch("SELECT * FROM nowhere")
    await opened.close()
