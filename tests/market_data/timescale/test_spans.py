"""How many bars of each symbol a big table is said to hold."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from deployments.common.settings import DatabaseSettings
from deployments.market_data.timescale.holdings import StoredSymbols
from deployments.market_data.timescale.pool import Database, arguments_of, connect
from deployments.market_data.timescale.spans import StoredSpan, spans_of

pytestmark = pytest.mark.db

COLUMNS = """(time timestamptz NOT NULL, symbol text COLLATE "C" NOT NULL, open float8, high float8, low float8,
    close float8, volume float8, UNIQUE (symbol, time))"""
BARS = """
    INSERT INTO ohlcv_1h SELECT timestamptz '2024-01-01 00:00Z' + nth * interval '1 hour', $1, 1, 1, 1, 1, 1
    FROM generate_series(0, 9999, $2::int) AS nth
"""
"""A span of 10,000 hours, of which every nth has a bar."""

PLAIN = (f"CREATE TABLE ohlcv_1h {COLUMNS}",)
IN_PARTS = (
    f"CREATE TABLE ohlcv_1h {COLUMNS} PARTITION BY RANGE (time)",
    "CREATE TABLE early PARTITION OF ohlcv_1h FOR VALUES FROM (MINVALUE) TO ('2024-03-01Z')",
    "CREATE TABLE late PARTITION OF ohlcv_1h FOR VALUES FROM ('2024-03-01Z') TO (MAXVALUE)",
)


@pytest.fixture
async def desk(database: DatabaseSettings) -> AsyncIterator[Any]:
    """A connection as the desk's own tools have."""
    connection = await connect(arguments_of(database))
    yield connection
    await connection.close()


async def told(database: DatabaseSettings) -> dict[str, StoredSpan]:
    """Return what is said of each symbol where every table is a big one."""
    opened = Database(arguments_of(database))
    try:
        spans = await spans_of(opened, await StoredSymbols(opened).known(), counted_rows=100)
    finally:
        await opened.close()
    return {span.symbol: span for span in spans}


@pytest.mark.parametrize("statements", [PLAIN, IN_PARTS], ids=["one table", "in parts"])
async def test_symbols_of_equal_spans_and_unequal_density_are_told_apart(
    database: DatabaseSettings, desk: Any, statements: tuple[str, ...]
) -> None:
    for statement in statements:
        await desk.execute(statement)
    every = {"BTCUSD": 1, "AAPL": 5, "EURUSD": 2}
    for symbol, nth in every.items():
        await desk.execute(BARS, symbol, nth)
    for table in ("early", "late") if statements is IN_PARTS else ("ohlcv_1h",):
        await desk.execute(f"ANALYZE {table}")  # as the server does it by itself: the parts, never the whole
    found = await told(database)
    assert {symbol: span.bars for symbol, span in found.items()} == {
        symbol: pytest.approx(10_000 / nth, rel=0.1) for symbol, nth in every.items()
    }
    assert all(span.bars_estimated for span in found.values())


async def test_what_the_statistics_do_not_name_is_shared_out_by_spans(database: DatabaseSettings, desk: Any) -> None:
    await desk.execute(PLAIN[0])
    await desk.execute("ALTER TABLE ohlcv_1h ALTER COLUMN symbol SET STATISTICS 1")  # names one symbol
    for symbol, nth in {"BTCUSD": 1, "ETHUSD": 20, "SOLUSD": 20}.items():
        await desk.execute(BARS, symbol, nth)
    await desk.execute("ANALYZE ohlcv_1h")
    found = await told(database)
    assert found["BTCUSD"].bars == pytest.approx(10_000, rel=0.2)
    assert found["ETHUSD"].bars == found["SOLUSD"].bars
    assert found["ETHUSD"].bars < 2_000
    assert found["ETHUSD"].first_time == datetime(2024, 1, 1, tzinfo=UTC)


async def test_a_table_that_nobody_has_looked_at_is_shared_out_by_spans(database: DatabaseSettings, desk: Any) -> None:
    await desk.execute(PLAIN[0].replace("))", ")) WITH (autovacuum_enabled = false)"))
    for symbol in ("BTCUSD", "ETHUSD"):
        await desk.execute(BARS, symbol, 1)
    found = await told(database)
    assert found["BTCUSD"].bars == found["ETHUSD"].bars
    assert 1_000 < found["BTCUSD"].bars <= 10_000
