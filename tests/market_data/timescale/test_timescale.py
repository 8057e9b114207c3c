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
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.calendars.windows import Ask
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.observation import Observation
from deployments.market_data.timescale.candles import TimescaleStore
from deployments.market_data.timescale.holdings import StoredSymbols
from deployments.market_data.timescale.pool import Database, arguments_of, connect
from deployments.market_data.timescale.spans import spans_of
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


async def test_new_table_becomes_a_hypertable_where_the_extension_is(database: DatabaseSettings) -> None:
    async with desk(database) as connection:
        # No server here has the extension; what we do where it is, is to find its schema and call its function.
        await connection.execute('''CREATE SCHEMA "Time Scale"''')
        await connection.execute(
            """INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
            VALUES (99999, 'timescaledb', 10, '"Time Scale"'::regnamespace, false, 'stand-in')"""
        )
        await connection.execute("CREATE TABLE made (name regclass, dimension name)")
        await connection.execute(
            """CREATE FUNCTION "Time Scale".create_hypertable(
                relation regclass, time_column_name name, if_not_exists boolean) RETURNS void
            LANGUAGE sql AS 'INSERT INTO public.made VALUES (relation, time_column_name)'"""
        )
        store = TimescaleStore(Database(arguments_of(database)))
        await store.upsert(Interval.H1, rows_of("BTCUSD", 4))
        await store.upsert(Interval.H1, rows_of("BTCUSD", 6))
        made = await connection.fetch("SELECT name::text, dimension FROM made")
        assert [tuple(row) for row in made] == [("ohlcv_1h", "time")]
        assert (await store.window("BTCUSD", Interval.H1, None, END, 10)).num_rows == 6
        await store.close()
        await connection.execute("DELETE FROM pg_extension WHERE oid = 99999")


async def test_bars_of_a_big_table_are_estimated_and_those_of_a_small_one_counted(database: DatabaseSettings) -> None:
    opened = Database(arguments_of(database))
    store = TimescaleStore(opened)
    for name, bars in (("BTCUSD", 3_000), ("btc/usd", 10), ("ETHUSD", 1_000)):
        await store.upsert(Interval.H1, rows_of(name, bars))
    async with desk(database) as connection:
        await desk_table(connection, "BTC-USD")
        await connection.execute("ANALYZE ohlcv_1h")
    holdings = await StoredSymbols(opened).known()
    counted = {span.symbol: span for span in await spans_of(opened, holdings)}
    guessed = {span.symbol: span for span in await spans_of(opened, holdings, counted_rows=1_000)}
    assert (counted["ETHUSD"].bars, counted["ETHUSD"].bars_estimated) == (1_000, False)
    assert guessed["ETHUSD"].bars_estimated
    assert guessed["ETHUSD"].bars == pytest.approx(1_000, rel=0.1)
    for spans in (counted, guessed):
        assert set(spans) == {"BTCUSD", "ETHUSD"}
        assert spans["BTCUSD"].last_time == START + timedelta(hours=2_999)
    await opened.close()


async def test_two_spellings_add_up_each_fine_bar_once(database: DatabaseSettings) -> None:
    async with desk(database) as connection:
        await desk_table(connection, "BTC-USD", 48)
        await desk_table(connection, "BTCUSD", 30)
        store = TimescaleStore(Database(arguments_of(database)))
        found = await store.window("BTCUSD", Interval.D1, None, END, 3)
        assert found["volume"].to_pylist() == [24 * 5.0, 24 * 5.0]
        await store.close()


async def test_stock_hours_on_the_hour_make_whole_days(timescale_store: TimescaleStore) -> None:
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    hours = walk_table(monday + timedelta(hours=12), 11)  # from before the bell at 14:30 to after the close at 21:00
    await timescale_store.upsert(
        Interval.H1, hours.add_column(0, "symbol", pa.array(["AAPL"] * 11)).cast(SYMBOL_CANDLE_SCHEMA)
    )
    ask = Ask("AAPL", calendar_named("XNYS"), None, END, 5)
    (day,) = (await timescale_store.windows(Interval.D1, [ask]))[0].to_pylist()
    assert (day["time"], day["incomplete"]) == (monday, False)
    assert (day["open"], day["close"], day["volume"]) == (hours["open"][2].as_py(), hours["close"][8].as_py(), 70.0)


async def test_search_for_one_bar_crosses_a_gap_of_a_year_in_few_statements(database: DatabaseSettings) -> None:
    seen: list[Observation] = []
    store = TimescaleStore(Database(arguments_of(database), observe=seen.append))
    minutes = [walk_table(START - timedelta(days=days), 120, Interval.M1) for days in (400, 1)]
    rows = pa.concat_tables(minutes).add_column(0, "symbol", pa.array(["BTCUSD"] * 240)).cast(SYMBOL_CANDLE_SCHEMA)
    await store.upsert(Interval.M1, rows)
    del seen[:]
    found = await store.window("BTCUSD", Interval.H1, None, START - timedelta(days=30), 1)
    assert found["time"].to_pylist() == [START - timedelta(days=400) + timedelta(hours=1)]
    assert len(seen) < 40
    await store.close()
