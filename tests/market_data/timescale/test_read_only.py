"""A candle database that we may only read."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from deployments.common.clock import utc_now
from deployments.common.errors import DatabaseReadOnly
from deployments.common.settings import AppDatabaseSettings, DatabaseSettings, StackSettings
from deployments.market_data.assembly import assemble
from deployments.market_data.migrations.runner import migrate
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, CandleQuery, Interval, Source, SymbolDraft
from deployments.market_data.timescale.candles import TimescaleStore
from deployments.market_data.timescale.pool import Database, arguments_of, connect
from tests.fakes.market_data import walk_table
from tests.fakes.own_server import OwnServer

pytestmark = pytest.mark.db

TABLE = walk_table(utc_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=48), 48)


def named(symbol: str, table: pa.Table) -> pa.Table:
    return table.add_column(0, "symbol", pa.array([symbol] * table.num_rows)).cast(SYMBOL_CANDLE_SCHEMA)


async def read_only(settings: DatabaseSettings, *statements: str) -> DatabaseSettings:
    """Make a role that the statements restrict in a database with candles, and connect as it from now on."""
    store = TimescaleStore(Database(arguments_of(settings)))
    await store.upsert(Interval.H1, named("BTCUSD", TABLE))
    await store.close()
    connection: Any = await connect(arguments_of(settings))
    known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'reader'")
    await connection.execute("DROP OWNED BY reader" if known else "CREATE ROLE reader LOGIN")
    for statement in statements:
        await connection.execute(statement.format(database=settings.database))
    await connection.close()
    return settings.model_copy(update={"user": "reader"})


@pytest.mark.parametrize(
    "statements",
    [
        ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",),
        (
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO reader",
            'ALTER ROLE reader IN DATABASE "{database}" SET default_transaction_read_only = on',
        ),
    ],
    ids=["may only select", "transactions are read-only"],
)
async def test_candle_database_that_we_may_only_read_works_with_our_tables_elsewhere(
    own_server: OwnServer, own_database: DatabaseSettings, statements: tuple[str, ...]
) -> None:
    ours = AppDatabaseSettings(url=f"postgresql://postgres@/postgres?host={own_server.settings.host}")
    candles = await read_only(own_database, *statements)
    with pytest.raises(DatabaseReadOnly, match="APP_DATABASE_URL"):
        await assemble(StackSettings(), candles, AppDatabaseSettings(), "")
    service = await assemble(StackSettings(), candles, ours, "")
    try:
        answer = await service.candles(CandleQuery("BTCUSD", limit=40))
        assert answer.table.equals(TABLE.slice(8))
        with pytest.raises(DatabaseReadOnly, match="candle database"):
            await service.ingest(Interval.H1, named("ETHUSD", TABLE))
        await service.create_symbol(SymbolDraft("SOLUSD"))
        assert (await service.managed_symbol("SOLUSD")).symbol == "SOLUSD"
        await service.delete_symbol("SOLUSD")
        assert (await service.candles(CandleQuery("BTCUSD", limit=1))).source is Source.DATABASE
    finally:
        await service.close()


async def test_candle_table_that_we_may_not_read_is_one_that_is_not_there(own_database: DatabaseSettings) -> None:
    candles = await read_only(own_database, "GRANT SELECT ON ohlcv_1h TO reader")
    owner: Any = await connect(arguments_of(own_database))
    await owner.execute("CREATE TABLE ohlcv_1m (LIKE ohlcv_1h)")
    await owner.close()
    store = TimescaleStore(Database(arguments_of(candles)))
    assert (await store.window("BTCUSD", Interval.H1, None, utc_now(), 5)).num_rows == 5
    await store.close()


async def test_schema_that_was_made_for_us_is_enough_to_keep_our_tables(own_database: DatabaseSettings) -> None:
    ours = await read_only(own_database, "CREATE SCHEMA candlecast AUTHORIZATION reader")
    for _ in range(2):
        await migrate(arguments_of(ours))
