"""The real parts put together."""

import asyncio
import pathlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from deployments.common.errors import DatabaseUnavailable, InvalidRequest
from deployments.common.settings import AppDatabaseSettings, DatabaseSettings, StackSettings
from deployments.market_data.assembly import assemble, import_symbols, refuse_weak_password
from deployments.market_data.migrations.runner import migrate
from deployments.market_data.models import SymbolFilter
from deployments.market_data.symbols.file import write_symbols
from deployments.market_data.symbols.names import guess_draft
from deployments.market_data.timescale.pool import arguments_of, connect
from tests.fakes.market_desk import Desk

TAKES_THE_LAST = """
    INSERT INTO candlecast.managed_symbols SELECT 'COIN199USD', 'crypto', 'active', '', '1h', true, '', '', 1, 1, 1,
        '24/7', '{}', '{COIN199USD}', now(), now()
"""
WAITS = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted)"


@pytest.mark.parametrize("password", ["", "postgres", "ChangeMe"])
def test_public_stack_with_a_weak_password_does_not_start(password: str) -> None:
    database = DatabaseSettings(host="db.example", password=password)
    with pytest.raises(InvalidRequest, match="TIMESCALEDB_PASSWORD"):
        refuse_weak_password(StackSettings(candlecast_public=True), database)
    refuse_weak_password(StackSettings(candlecast_public=False), database)


def test_public_stack_with_a_good_password_starts() -> None:
    database = DatabaseSettings(host="db.example", password="Zp4-nine-words")
    refuse_weak_password(StackSettings(candlecast_public=True), database)


async def test_symbols_file_is_imported_once_into_an_empty_catalogue(desk: Desk, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "symbols.json"
    assert await import_symbols(desk.service, path) == 0
    write_symbols(path, [guess_draft("EURUSD"), guess_draft("BTCUSD")])
    assert await import_symbols(desk.service, path) == 2
    await desk.service.delete_symbol("EURUSD")
    assert await import_symbols(desk.service, path) == 0
    assert [symbol.symbol for symbol in (await desk.service.managed_symbols(SymbolFilter())).symbols] == ["BTCUSD"]
    await desk.service.delete_symbol("BTCUSD")
    assert await import_symbols(desk.service, path) == 0


async def test_an_empty_symbols_file_leaves_the_first_import_to_a_later_one(desk: Desk, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "symbols.json"
    write_symbols(path, [])
    assert await import_symbols(desk.service, path) == 0
    write_symbols(path, [guess_draft("EURUSD")])
    assert await import_symbols(desk.service, path) == 1


@pytest.mark.db
async def test_an_import_that_is_cut_off_leaves_nothing_and_the_next_start_completes_it(
    database: DatabaseSettings, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "symbols.json"
    write_symbols(path, [guess_draft(f"COIN{number}USD") for number in range(200)])
    service = await assemble(StackSettings(), database, AppDatabaseSettings(), "")
    other = await connect(arguments_of(database))
    try:
        # The last symbol cannot be stored until the other lets go, so the import is cut off among them.
        cut_off = other.transaction()
        await cut_off.start()
        await other.execute(TAKES_THE_LAST)
        importing = asyncio.create_task(import_symbols(service, path))
        await _until(lambda: other.fetchval(WAITS))
        importing.cancel()
        await asyncio.wait([importing])
        await cut_off.rollback()
        assert (await service.managed_symbols(SymbolFilter())).symbols == ()
        assert await import_symbols(service, path) == 200
    finally:
        await other.close()
        await service.close()


@pytest.mark.db
async def test_replicas_that_start_together_migrate_once(database: DatabaseSettings) -> None:
    await asyncio.gather(*[migrate(arguments_of(database)) for _ in range(3)])
    connection = await connect(arguments_of(database))
    try:
        assert await connection.fetchval("SELECT count(*) FROM candlecast.alembic_version") == 1
        assert await connection.fetchval("SELECT count(*) FROM candlecast.managed_symbols") == 0
    finally:
        await connection.close()


@pytest.mark.db
async def test_assembled_service_has_a_healthy_database_and_an_empty_log(database: DatabaseSettings) -> None:
    service = await assemble(StackSettings(), database, AppDatabaseSettings(), "")
    try:
        health = await service.health()
        assert [(one.name, one.status) for one in health.dependencies] == [
            ("timescaledb", "ok"),
            ("easyinsight", "absent"),
        ]
        assert await service.query_logs(since=datetime(2026, 1, 1, tzinfo=UTC)) == ()
    finally:
        await service.close()


async def test_database_that_is_not_there_is_said_to_be_away(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        await migrate(arguments_of(DatabaseSettings(host=str(tmp_path))))


async def _until(holds: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110  what is looked at has no event
            await asyncio.sleep(0.01)
