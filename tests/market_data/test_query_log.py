"""The query log: what every store of it promises, how statements find their request, and how long it is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta

import pytest

from deployments.common.errors import DatabaseUnavailable
from deployments.common.settings import AppDatabaseSettings, DatabaseSettings, QueryLogSettings, StackSettings
from deployments.common.telemetry import request_id
from deployments.market_data.assembly import assemble
from deployments.market_data.models import CandleQuery, QueryLogEntry, SymbolDraft
from deployments.market_data.observation import Observation, name_of
from deployments.market_data.query_log import PRUNE_EVERY_S, QueryFilter, QueryLog, QueryLogStore, StatementEntry
from deployments.market_data.timescale.pool import Database, arguments_of
from tests.fakes.query_log import MemoryQueryLog

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
EVERY = QueryFilter(limit=1_000)


def request(number: int, endpoint: str = "/a", at: datetime = NOW) -> QueryLogEntry:
    return QueryLogEntry(at + timedelta(seconds=number), endpoint, "GET", 200, float(number), number, f"id{number}")


def statement(identity: str, name: str = "select ohlcv_1h", at: datetime = NOW) -> StatementEntry:
    return StatementEntry(identity, at, name, 0.5, 3, "")


def ids(entries: tuple[QueryLogEntry, ...]) -> list[str]:
    return [entry.request_id for entry in entries]


async def test_requests_come_newest_first_and_as_they_were(query_log_store: QueryLogStore) -> None:
    entries = [request(number) for number in range(3)]
    await query_log_store.add_requests(entries)
    assert await query_log_store.requests(EVERY) == tuple(reversed(entries))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (QueryFilter(limit=1), ["id2"]),
        (QueryFilter(endpoint="/b"), ["id1"]),
        (QueryFilter(endpoint="/c"), []),
        (QueryFilter(min_duration_ms=1.5), ["id2"]),
        (QueryFilter(since=NOW + timedelta(seconds=1)), ["id2", "id1"]),
        (QueryFilter(endpoint="/a", min_duration_ms=0.5, since=NOW, limit=5), ["id2"]),
    ],
)
async def test_filters_narrow_together(wanted: QueryFilter, found: list[str], query_log_store: QueryLogStore) -> None:
    await query_log_store.add_requests([request(0), request(1, "/b"), request(2)])
    assert ids(await query_log_store.requests(wanted)) == found


async def test_statements_stand_inside_their_request_in_order(query_log_store: QueryLogStore) -> None:
    await query_log_store.add_requests([request(0), request(1)])
    await query_log_store.add_statements([statement("id0", "b"), statement("id1", "c"), statement("id0", "a")])
    later, earlier = await query_log_store.requests(EVERY)
    assert earlier.sql == (("b", 0.5, 3), ("a", 0.5, 3))
    assert later.sql == (("c", 0.5, 3),)


async def test_statements_of_an_id_used_again_stay_with_their_own_request(query_log_store: QueryLogStore) -> None:
    hour = timedelta(hours=1)
    await query_log_store.add_requests([request(0), request(0, at=NOW + hour)])
    await query_log_store.add_statements([statement("id0", "first"), statement("id0", "second", NOW + hour)])
    again, first = await query_log_store.requests(EVERY)
    assert (first.sql[0][0], again.sql[0][0], len(first.sql), len(again.sql)) == ("first", "second", 1, 1)


async def test_old_entries_go_in_lots(query_log_store: QueryLogStore) -> None:
    await query_log_store.add_requests([request(number) for number in range(10)])
    await query_log_store.add_statements([statement(f"id{n}", at=NOW + timedelta(seconds=n)) for n in range(10)])
    before = NOW + timedelta(seconds=6)
    removed = []
    while lot := await query_log_store.prune(before, 1_000, 4):
        removed.append(lot)
    assert removed == [8, 4]
    assert ids(await query_log_store.requests(EVERY)) == ["id9", "id8", "id7", "id6"]


async def test_surplus_entries_go_oldest_first(query_log_store: QueryLogStore) -> None:
    await query_log_store.add_requests([request(number) for number in range(10)])
    assert await query_log_store.prune(NOW - timedelta(days=1), 3, 100) == 7
    assert ids(await query_log_store.requests(EVERY)) == ["id9", "id8", "id7"]


class Ticks:
    def __init__(self) -> None:
        self.now = NOW
        self.seconds = 1_000.0


def log_on(store: QueryLogStore, ticks: Ticks, max_rows: int = 100, max_days: float = 1.0) -> QueryLog:
    return QueryLog(store, max_rows, max_days, 0.0, lambda: ticks.now, lambda: ticks.seconds)


async def test_statement_is_kept_with_the_request_that_it_ran_for() -> None:
    log = log_on(MemoryQueryLog(), Ticks())
    for identity in ("id1", "", "id2"):
        context = copy_context()
        context.run(request_id.set, identity)
        context.run(log.note, Observation(f"select {identity}", 1.0, 2))
    await log.add([request(1), request(2)])
    assert [entry.sql for entry in await log.read(EVERY)] == [(("select id2", 1.0, 2),), (("select id1", 1.0, 2),)]


async def test_statements_that_the_database_does_not_take_are_counted_and_hurt_nobody() -> None:
    store = MemoryQueryLog()
    log = log_on(store, Ticks())
    request_id.set("id1")
    log.note(Observation("select", 1.0, 2))
    store.is_away = True
    await log.flush()
    assert log.lost == 1
    with pytest.raises(DatabaseUnavailable):
        await log.add([request(1)])


async def test_log_prunes_itself_by_age_and_by_number_once_a_minute() -> None:
    store, ticks = MemoryQueryLog(), Ticks()
    log = log_on(store, ticks, max_rows=3)
    await log.add([request(number) for number in range(5)])
    await eventually(lambda: kept(store), ["id4", "id3", "id2"])
    await log.add([request(5)])
    await settle()
    assert len(await kept(store)) == 4
    ticks.seconds += PRUNE_EVERY_S
    ticks.now += timedelta(days=1, seconds=5)
    await log.add([request(6)])
    await eventually(lambda: kept(store), ["id6", "id5"])


async def kept(store: QueryLogStore) -> list[str]:
    return ids(await store.requests(EVERY))


async def eventually(found: Callable[[], Awaitable[list[str]]], expected: list[str]) -> None:
    async with asyncio.timeout(10):
        while await found() != expected:  # noqa: ASYNC110  (the store has no event to wait for)
            await asyncio.sleep(0.01)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("SELECT time FROM ohlcv_1h WHERE symbol = 'SECRET'", "select ohlcv_1h"),
        ("\n  INSERT INTO candlecast.query_log (time) VALUES ($1)", "insert candlecast.query_log"),
        ("WITH found AS (SELECT 1 FROM ohlcv_5m) SELECT * FROM found", "with ohlcv_5m"),
        ("SET LOCAL statement_timeout = 8000", "set"),
        ("SELECT 1", "select"),
        ("", "empty"),
    ],
)
def test_statement_is_named_by_its_verb_and_table(statement: str, name: str) -> None:
    assert name_of(statement) == name


@pytest.mark.db
async def test_every_statement_of_a_request_is_logged_with_its_rows_and_none_of_the_logs_own(
    database: DatabaseSettings,
) -> None:
    service = await assemble(StackSettings(), database, AppDatabaseSettings(), "", QueryLogSettings())
    try:
        request_id.set("mine")
        await service.create_symbol(SymbolDraft("BTCUSD"))
        with pytest.raises(Exception, match="no 1h candles"):
            await service.candles(CandleQuery("BTCUSD", limit=3))
        await service.query_log((QueryLogEntry(datetime.now(UTC), "/x", "GET", 404, 5.0, 0, "mine"),))
        (entry,) = await service.query_logs()
        names = [name for name, _, _ in entry.sql]
        assert {"insert candlecast.managed_symbols", "select candlecast.managed_symbols"} <= set(names)
        assert ("insert candlecast.managed_symbols", 1) in [(name, rows) for name, _, rows in entry.sql]
        assert all(duration_ms > 0 for _, duration_ms, _ in entry.sql)
        assert not [name for name in names if "log" in name]
    finally:
        await service.close()


@pytest.mark.db
async def test_failed_statement_is_observed_with_its_error(database: DatabaseSettings) -> None:
    seen: list[Observation] = []
    observed = Database(arguments_of(database), observe=seen.append)
    try:
        await observed.fetch("SELECT generate_series(1, 7)", name="series")
        async with observed.transaction() as connection:
            await connection.execute("CREATE TEMPORARY TABLE t (a int) ON COMMIT DROP")
            await connection.executemany("INSERT INTO t VALUES ($1)", [(1,), (2,)])
            await connection.copy_records_to_table("t", records=[(3,)], columns=["a"])
            await connection.execute("UPDATE t SET a = 0")
            assert await connection.fetchval("SELECT count(*) FROM t") == 3
        with pytest.raises(Exception, match="nothing"):
            await observed.fetch("SELECT * FROM nothing")
    finally:
        await observed.close()
    assert [(each.name, each.rows, each.error) for each in seen] == [
        ("series", 7, ""),
        ("set", 0, ""),
        ("create t", 0, ""),
        ("insert t", 2, ""),
        ("copy t", 1, ""),
        ("update t", 3, ""),
        ("select t", 1, ""),
        ("select nothing", 0, "UndefinedTableError"),
    ]
