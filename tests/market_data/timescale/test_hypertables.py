"""What only TimescaleDB has: chunks, compressed ones among them, and continuous aggregates."""

# ruff: noqa: S608  (where an extension's functions lie cannot be a parameter)

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import pyarrow as pa
import pytest

from deployments.common.errors import CandlesRefused
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.timescale.candles import TimescaleStore
from deployments.market_data.timescale.pool import Arguments, connect
from tests.fakes.market_data import walk_table

pytestmark = pytest.mark.timescale

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

START = datetime(2026, 3, 2, tzinfo=UTC)
BARS = 40 * 24
END = START + timedelta(hours=BARS)

FOUR_HOURS = """
    CREATE MATERIALIZED VIEW ohlcv_4h WITH (timescaledb.continuous, timescaledb.materialized_only = {}) AS
    SELECT {}.time_bucket('4 hours', time) AS time, symbol, {}.first(open, time) AS open, max(high) AS high,
        min(low) AS low, {}.last(close, time) AS close, sum(volume) AS volume
    FROM ohlcv_1h GROUP BY 1, 2 WITH NO DATA
"""


@pytest.fixture
async def owner(server: Arguments) -> AsyncIterator[Owner]:
    """Whoever keeps the server, in the schema of the test."""
    connection = await connect(server)
    yield connection
    await connection.close()


@pytest.fixture
async def home(owner: Owner) -> str:
    """The schema in which TimescaleDB's functions lie."""
    schema: str | None = await owner.fetchval(
        "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace "
        "WHERE extname = 'timescaledb'"
    )
    if schema is None:
        pytest.skip("the server has no TimescaleDB")
    return schema


def rows_of(symbol: str, seed: int = 7) -> pa.Table:
    table = walk_table(START, BARS, Interval.H1, seed)
    return table.add_column(0, "symbol", pa.array([symbol] * BARS)).cast(SYMBOL_CANDLE_SCHEMA)


async def test_new_tables_are_hypertables(server_store: TimescaleStore, owner: Owner, home: str) -> None:
    await server_store.upsert(Interval.H1, rows_of("BTCUSD"))
    assert await owner.fetchval(f"SELECT count(*) FROM {home}.show_chunks('ohlcv_1h')") > 1


async def test_compressed_bars_are_read_corrected_and_joined_by_new_symbols(
    server_store: TimescaleStore, owner: Owner, home: str
) -> None:
    first, second = rows_of("BTCUSD"), rows_of("ETHUSD", seed=8)
    await server_store.upsert(Interval.H1, first)
    await owner.execute("ALTER TABLE ohlcv_1h SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol')")
    await owner.execute(f"SELECT {home}.compress_chunk(chunk) FROM {home}.show_chunks('ohlcv_1h') AS chunk")
    assert (await server_store.window("BTCUSD", Interval.H1, None, END, BARS)).equals(first.drop_columns(["symbol"]))

    corrected = pa.concat_tables([rows_of("BTCUSD", seed=9).slice(100, 50), second])
    done = await server_store.upsert(Interval.H1, corrected)
    assert (done.inserted, done.changed) == (BARS, 50)
    again = await server_store.upsert(Interval.H1, corrected)
    assert (again.inserted, again.changed) == (0, 0)
    expected = pa.concat_tables([first.slice(0, 100), corrected.slice(0, 50), first.slice(150)]).combine_chunks()
    found = await server_store.window("BTCUSD", Interval.H1, None, END, BARS)
    assert found.equals(expected.drop_columns(["symbol"]))
    assert (await server_store.window("ETHUSD", Interval.H1, None, END, BARS)).equals(second.drop_columns(["symbol"]))


@pytest.mark.parametrize("materialized_only", ["true", "false"])
async def test_continuous_aggregate_is_read_as_it_is_and_takes_no_bars(
    server_store: TimescaleStore, owner: Owner, home: str, materialized_only: str
) -> None:
    rows = rows_of("BTCUSD")
    await server_store.upsert(Interval.H1, rows)
    await owner.execute(FOUR_HOURS.format(materialized_only, *[home] * 3))
    await owner.execute(f"CALL {home}.refresh_continuous_aggregate('ohlcv_4h', NULL, NULL)")
    found = await server_store.window("BTCUSD", Interval.H4, None, END, BARS)
    assert found["close"].to_pylist() == rows["close"].to_pylist()[3::4]
    assert found["open"].to_pylist() == rows["open"].to_pylist()[::4]
    for dry_run in (True, False):
        with pytest.raises(CandlesRefused, match="continuous aggregate"):
            await server_store.upsert(Interval.H4, rows.slice(0, 1), dry_run)
    assert (await server_store.window("BTCUSD", Interval.H4, None, END, BARS)).equals(found)
