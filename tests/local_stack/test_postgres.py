"""The embedded PostgreSQL as a stack keeps it, on the real server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from deployments.local_stack.home import StackHome
from deployments.local_stack.postgres import EmbeddedPostgres, running_server
from tests.running_stack import until

pytestmark = pytest.mark.db


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StackHome]:
    home = StackHome(tmp_path / "home")
    yield home
    EmbeddedPostgres(home).stop()


def run(services: dict[str, str], statement: str) -> list[asyncpg.Record]:
    async def fetch() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(
            host=services["TIMESCALEDB_HOST"],
            port=int(services["TIMESCALEDB_PORT"]),
            database=services["TIMESCALEDB_DATABASE"],
            user=services["TIMESCALEDB_USER"],
        )
        try:
            found: list[asyncpg.Record] = await connection.fetch(statement)
            return found
        finally:
            await connection.close()

    return asyncio.run(fetch())


def test_a_killed_server_is_revived_at_the_same_address_with_its_data(home: StackHome) -> None:
    postgres = EmbeddedPostgres(home)
    services = postgres.start()
    run(services, "CREATE TABLE kept AS SELECT 7 AS number")
    server = running_server(home.postgres)
    assert server is not None
    server.kill()
    psutil.wait_procs([server], timeout=60)
    assert not postgres.is_running

    until(postgres.revive, 60, "a new server")

    assert [row["number"] for row in run(services, "SELECT number FROM kept")] == [7]


def test_a_stopped_server_no_longer_runs(home: StackHome) -> None:
    postgres = EmbeddedPostgres(home)
    postgres.start()
    assert postgres.is_running
    postgres.stop()
    assert not postgres.is_running
