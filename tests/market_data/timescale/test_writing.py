"""Writing into tables that we made and into those that the desk has."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from deployments.common.errors import CandlesRefused, DatabaseUnavailable
from deployments.common.settings import DatabaseSettings
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.timescale.candles import TimescaleStore
from deployments.market_data.timescale.pool import Database, arguments_of, connect
from deployments.market_data.timescale.write_sql import LOCK_TABLE, SHARE_TABLE
from deployments.market_data.timescale.writing import Upserted, upsert
from tests.fakes.market_data import walk_table

pytestmark = pytest.mark.db

START = datetime(2026, 3, 1, tzinfo=UTC)
TABLE = """CREATE TABLE ohlcv_1h (time {time}, symbol {text}, open {number}, high {number}, low {number},
    close {number}, volume {number})"""
WAITS = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
WAITS_FOR_A_ROW = WAITS.replace("advisory", "transactionid")


@pytest.fixture
async def opened(database: DatabaseSettings) -> AsyncIterator[Database]:
    """The pool that writes."""
    pool = Database(arguments_of(database))
    yield pool
    await pool.close()


@pytest.fixture
async def desk(database: DatabaseSettings) -> AsyncIterator[Any]:
    """A connection as the desk's own tools have."""
    connection = await connect(arguments_of(database))
    yield connection
    await connection.close()


def rows(bars: int = 10, first: int = 0, seed: int = 7) -> pa.Table:
    table = walk_table(START, bars, seed=seed).slice(first)
    names = pa.array(["BTCUSD"] * table.num_rows)
    return table.add_column(0, SYMBOL_CANDLE_SCHEMA.field("symbol"), names).cast(SYMBOL_CANDLE_SCHEMA)


async def test_a_table_that_we_make_has_both_indexes_and_refuses_a_bar_twice(opened: Database, desk: Any) -> None:
    assert await upsert(opened, Interval.H1, rows(), {}) == Upserted(10, 0, 0)
    names = [row["indexname"] for row in await desk.fetch("SELECT indexname FROM pg_indexes ORDER BY 1")]
    assert {"ohlcv_1h_symbol_time", "ohlcv_1h_time_symbol"} <= set(names)
    assert await upsert(opened, Interval.H1, rows(), {}) == Upserted(0, 0, 10)


async def test_a_dry_run_makes_no_table(opened: Database, desk: Any) -> None:
    assert await upsert(opened, Interval.H1, rows(), {}, dry_run=True) == Upserted(10, 0, 0)
    assert await desk.fetchval("SELECT to_regclass('ohlcv_1h')") is None


@pytest.mark.parametrize(
    "types",
    [
        {"time": "timestamptz", "text": "varchar(20)", "number": "double precision"},
        {"time": "timestamptz", "text": "text", "number": "numeric"},
        {"time": "timestamp", "text": 'text COLLATE "POSIX"', "number": "double precision"},
    ],
)
async def test_a_desk_s_table_of_other_types_takes_the_rows(opened: Database, desk: Any, types: dict[str, str]) -> None:
    await desk.execute(TABLE.format(**types))
    await desk.execute("SET timezone = 'UTC'")
    assert (await upsert(opened, Interval.H1, rows(6), {})).inserted == 6
    assert (await upsert(opened, Interval.H1, rows(10, 5), {})).inserted == 4
    times = [row["time"].replace(tzinfo=UTC) for row in await desk.fetch("SELECT time FROM ohlcv_1h ORDER BY time")]
    assert times == [START + timedelta(hours=n) for n in range(10)]


async def test_a_view_is_written_through(opened: Database, desk: Any) -> None:
    await desk.execute(TABLE.replace("ohlcv_1h", "held").format(time="timestamptz", text="text", number="float8"))
    await desk.execute("CREATE VIEW ohlcv_1h AS SELECT * FROM held")
    assert (await upsert(opened, Interval.H1, rows(), {})).inserted == 10
    assert (await upsert(opened, Interval.H1, rows(seed=8), {})).changed == 10
    assert await desk.fetchval("SELECT count(*) FROM held") == 10


async def test_a_bar_that_a_constraint_of_the_desk_holds_elsewhere_is_left_alone(opened: Database, desk: Any) -> None:
    await desk.execute(TABLE.format(time="timestamptz", text="text", number="float8"))
    await desk.execute("CREATE UNIQUE INDEX ON ohlcv_1h (time)")
    await desk.execute("INSERT INTO ohlcv_1h VALUES ($1, 'ETHUSD', 1, 1, 1, 1, 1)", START + timedelta(hours=3))
    assert await upsert(opened, Interval.H1, rows(), {}) == Upserted(9, 0, 1)


async def test_the_desk_s_own_spelling_is_kept(opened: Database, desk: Any) -> None:
    await upsert(opened, Interval.H1, rows(5), {"BTCUSD": "btc/usd"})
    await upsert(opened, Interval.H1, rows(10, 5), {"BTCUSD": "btc/usd"})
    assert [row["symbol"] for row in await desk.fetch("SELECT DISTINCT symbol FROM ohlcv_1h")] == ["btc/usd"]


@pytest.mark.parametrize("number", ["real", "numeric(12, 2)", "numeric"])
async def test_a_table_that_rounds_is_not_changed_by_the_same_rows_again(
    opened: Database, desk: Any, number: str
) -> None:
    await desk.execute(TABLE.format(time="timestamptz", text="text", number=number))
    assert await upsert(opened, Interval.H1, rows(), {}) == Upserted(10, 0, 0)
    for dry_run in (True, False):
        assert await upsert(opened, Interval.H1, rows(), {}, dry_run) == Upserted(0, 0, 10)
    assert await upsert(opened, Interval.H1, rows(seed=8), {}) == Upserted(0, 10, 0)
    store, until = TimescaleStore(opened), START + timedelta(days=2)
    for interval in (Interval.H1, Interval.H4):
        found = await store.window("BTCUSD", interval, START, until, 20)
        assert found["close"][-1].as_py() == pytest.approx(rows(seed=8)["close"][-1].as_py(), abs=0.006)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("ADD COLUMN exchange text NOT NULL", 'column "exchange"'),
        ("ALTER COLUMN high TYPE numeric(3, 2)", "numeric field overflow"),
        ("ADD CHECK (volume < 0)", "check constraint"),
    ],
)
async def test_a_table_whose_rules_the_rows_break_refuses_them_all_and_says_why(
    opened: Database, desk: Any, rule: str, said: str
) -> None:
    await desk.execute(TABLE.format(time="timestamptz", text="text", number="float8"))
    await desk.execute(f"ALTER TABLE ohlcv_1h {rule}")
    with pytest.raises(CandlesRefused, match=f"ohlcv_1h: .*{said}"):
        await upsert(opened, Interval.H1, rows(), {})
    assert await desk.fetchval("SELECT count(*) FROM ohlcv_1h") == 0


async def test_a_bar_that_is_held_twice_changes_as_one(opened: Database, desk: Any) -> None:
    await desk.execute(TABLE.format(time="timestamptz", text="text", number="float8"))
    for _ in range(2):
        await desk.execute("INSERT INTO ohlcv_1h VALUES ($1, 'BTCUSD', 1, 1, 1, 1, 1)", START)
    for dry_run in (True, False):
        assert await upsert(opened, Interval.H1, rows(1), {}, dry_run) == Upserted(0, 1, 0)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
async def test_times_without_a_zone_are_utc_whatever_the_server_s_own_zone(
    database: DatabaseSettings, opened: Database, desk: Any, zone: str
) -> None:
    await desk.execute(f"ALTER DATABASE \"{database.database}\" SET timezone = '{zone}'")
    await desk.execute(TABLE.format(time="timestamp", text="text", number="float8"))
    store, until = TimescaleStore(opened), START + timedelta(days=2)
    await store.upsert(Interval.H1, rows())
    assert (await desk.fetchval("SELECT min(time) FROM ohlcv_1h")).replace(tzinfo=UTC) == START
    for interval, bars in ((Interval.H1, 10), (Interval.H4, 3)):
        found = await store.window("BTCUSD", interval, START, until, 20)
        assert (found["time"][0].as_py(), found.num_rows) == (START, bars)
    assert await store.ends("BTCUSD", Interval.H1, until) == (START, START + timedelta(hours=9))
    assert len(await store.times("BTCUSD", Interval.H1, until)) == 10
    assert (await store.after(Interval.H1, ["BTCUSD"], (START, "BTCUSD"), until, 20)).num_rows == 9
    assert [span.first_time for span in await store.spans()] == [START]


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
@pytest.mark.parametrize("is_ours", [True, False])
async def test_writers_at_once_store_every_bar_once(
    database: DatabaseSettings, desk: Any, is_ours: bool, isolation: str
) -> None:
    await desk.execute(f"ALTER DATABASE \"{database.database}\" SET default_transaction_isolation = '{isolation}'")
    if not is_ours:  # without a unique index nothing but our own lock keeps a bar from being stored twice
        await desk.execute(TABLE.format(time="timestamptz", text="text", number="float8"))
    pools = [Database(arguments_of(database)) for _ in range(4)]
    try:
        done = await asyncio.gather(*(upsert(pool, Interval.H1, rows(400), {}) for pool in pools for _ in range(3)))
    finally:
        await asyncio.gather(*(pool.close() for pool in pools))
    assert sum(one.inserted for one in done) == 400
    assert await desk.fetchval("SELECT count(*) FROM ohlcv_1h") == 400


@pytest.mark.parametrize(
    ("index", "goes_beside"),
    [
        ("CREATE UNIQUE INDEX ON ohlcv_1h (time, symbol)", True),
        ("CREATE UNIQUE INDEX ON ohlcv_1h (symbol, time, close)", False),
        ("CREATE UNIQUE INDEX ON ohlcv_1h (symbol, time) WHERE volume > 0", False),
        ("ALTER TABLE ohlcv_1h ADD UNIQUE (symbol, time) DEFERRABLE INITIALLY DEFERRED", False),
        ("CREATE INDEX ON ohlcv_1h (symbol, time)", False),
    ],
)
async def test_a_writer_adds_beside_another_only_where_an_index_keeps_a_bar_from_being_held_twice(
    database: DatabaseSettings, opened: Database, desk: Any, index: str, goes_beside: bool
) -> None:
    await desk.execute(TABLE.format(time="timestamptz", text="text", number="float8"))
    await desk.execute(index)
    watcher = await connect(arguments_of(database))
    held = desk.transaction()
    await held.start()
    await desk.execute(SHARE_TABLE, "ohlcv_1h")  # as a writer has it that adds
    writing = asyncio.create_task(upsert(opened, Interval.H1, rows(), {}))
    try:
        async with asyncio.timeout(30):
            while not writing.done() and not await watcher.fetchval(WAITS):  # noqa: ASYNC110  a lock has no event
                await asyncio.sleep(0.01)
        assert writing.done() == goes_beside
    finally:
        await held.rollback()
        await watcher.close()
    assert await asyncio.wait_for(writing, 30) == Upserted(10, 0, 0)


async def test_a_bar_that_another_writer_adds_meanwhile_is_waited_for_and_counts_as_held(
    database: DatabaseSettings, opened: Database, desk: Any
) -> None:
    await upsert(opened, Interval.H1, rows(2), {})
    watcher = await connect(arguments_of(database))
    adding = desk.transaction()
    await adding.start()
    await desk.execute("INSERT INTO ohlcv_1h VALUES ($1, 'BTCUSD', 1, 1, 1, 1, 1)", START + timedelta(hours=5))
    writing = asyncio.create_task(upsert(opened, Interval.H1, rows(10, 2), {}))
    async with asyncio.timeout(30):
        while not await watcher.fetchval(WAITS_FOR_A_ROW):  # noqa: ASYNC110  a lock has no event
            await asyncio.sleep(0.01)
    await adding.commit()
    await watcher.close()
    assert await asyncio.wait_for(writing, 30) == Upserted(7, 1, 0)
    assert await upsert(opened, Interval.H1, rows(), {}) == Upserted(0, 0, 10)


async def test_a_writer_that_adds_waits_for_one_that_merges(
    database: DatabaseSettings, opened: Database, desk: Any
) -> None:
    """They would put the same bars into the index in different orders, and each wait for the other."""
    await upsert(opened, Interval.H1, rows(2), {})
    watcher = await connect(arguments_of(database))
    merging = desk.transaction()
    await merging.start()
    await desk.execute(LOCK_TABLE, "ohlcv_1h")
    writing = asyncio.create_task(upsert(opened, Interval.H1, rows(10, 2), {}))
    async with asyncio.timeout(30):
        while not await watcher.fetchval(WAITS):
            assert not writing.done()
            await asyncio.sleep(0.01)
    assert await watcher.fetchval("SELECT count(*) FROM ohlcv_1h") == 2
    await merging.commit()
    await watcher.close()
    assert await asyncio.wait_for(writing, 30) == Upserted(8, 0, 0)


async def test_columns_of_other_types_are_written_where_an_index_is_unique_too(opened: Database, desk: Any) -> None:
    await desk.execute(TABLE.format(time="timestamp", text="text", number="numeric(18, 4)"))
    await desk.execute("CREATE UNIQUE INDEX ON ohlcv_1h (symbol, time)")
    assert await upsert(opened, Interval.H1, rows(), {}) == Upserted(10, 0, 0)
    assert await upsert(opened, Interval.H1, rows(), {}) == Upserted(0, 0, 10)


@pytest.mark.parametrize("held", [2, 12])
async def test_a_writer_and_the_desk_that_wait_for_each_other_lose_nothing(
    database: DatabaseSettings, opened: Database, desk: Any, held: int
) -> None:
    """The server ends one of the two, after a second: ours, which adds its bars anew or says that it did not."""
    await upsert(opened, Interval.H1, rows(held), {})
    watcher = await connect(arguments_of(database))
    await desk.execute("SET deadlock_timeout = '1min'")
    theirs = desk.transaction()
    await theirs.start()
    put = """INSERT INTO ohlcv_1h VALUES ($1, 'BTCUSD', 1, 1, 1, 1, 1)
        ON CONFLICT (symbol, time) DO UPDATE SET close = excluded.close"""
    await desk.execute(put, START + timedelta(hours=9))
    writing = asyncio.create_task(upsert(opened, Interval.H1, rows(12, 2, seed=8), {}))
    async with asyncio.timeout(30):
        while not await watcher.fetchval(WAITS_FOR_A_ROW):  # noqa: ASYNC110  a lock has no event
            await asyncio.sleep(0.01)
    await desk.execute(put, START + timedelta(hours=4))
    await theirs.commit()
    await watcher.close()
    if held == 2:
        assert await asyncio.wait_for(writing, 30) == Upserted(8, 2, 0)
    else:
        with pytest.raises(DatabaseUnavailable):
            await asyncio.wait_for(writing, 30)
        assert await upsert(opened, Interval.H1, rows(12, 2, seed=8), {}) == Upserted(0, 10, 0)
