"""Stores and a service over them, for the tests of market data."""

import os
import pathlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from deployments.common.settings import DatabaseSettings
from deployments.market_data.migrations.runner import migrate
from deployments.market_data.query_log import QueryLogStore
from deployments.market_data.stores import CandleStore, Catalogue
from deployments.market_data.timescale.candles import TimescaleStore
from deployments.market_data.timescale.catalogue import PostgresCatalogue
from deployments.market_data.timescale.log import PostgresQueryLog
from deployments.market_data.timescale.pool import Arguments, Database, arguments_of, connect
from tests.fakes.market_desk import Desk
from tests.fakes.market_stores import MemoryCandleStore, MemoryCatalogue
from tests.fakes.own_server import OwnServer
from tests.fakes.query_log import MemoryQueryLog

SERVER_URL = "CANDLECAST_TEST_DATABASE_URL"


@pytest.fixture
def memory_store() -> MemoryCandleStore:
    """An empty candle store in memory."""
    return MemoryCandleStore()


@pytest.fixture
async def timescale_store(database: DatabaseSettings) -> AsyncIterator[TimescaleStore]:
    """A candle store on an empty database."""
    store = TimescaleStore(Database(arguments_of(database)))
    yield store
    await store.close()


@pytest.fixture
async def server() -> AsyncIterator[Arguments]:
    """The server that the environment names, with an empty schema that is dropped afterwards."""
    url = os.environ.get(SERVER_URL)
    if not url:
        pytest.skip(f"{SERVER_URL} names no server")
    schema = f"candlecast_test_{uuid4().hex}"
    # Only this schema is on the path: a candle table of the server itself is neither seen nor written.
    arguments: Arguments = {"dsn": url, "server_settings": {"search_path": schema}}
    owner = await connect(arguments)
    try:
        await owner.execute(f"CREATE SCHEMA {schema}")
        yield arguments
    finally:
        await owner.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        await owner.close()


@pytest.fixture
async def server_store(server: Arguments) -> AsyncIterator[TimescaleStore]:
    """A candle store on the server that the environment names."""
    store = TimescaleStore(Database(server))
    yield store
    await store.close()


@pytest.fixture
def memory_catalogue() -> MemoryCatalogue:
    """An empty catalogue in memory."""
    return MemoryCatalogue()


@pytest.fixture
async def postgres_catalogue(database: DatabaseSettings) -> AsyncIterator[PostgresCatalogue]:
    """A catalogue on an empty, migrated database."""
    await migrate(arguments_of(database))
    kept = PostgresCatalogue(Database(arguments_of(database)))
    yield kept
    await kept.close()


@pytest.fixture
def memory_query_log() -> MemoryQueryLog:
    """An empty query log in memory."""
    return MemoryQueryLog()


@pytest.fixture
async def postgres_query_log(database: DatabaseSettings) -> AsyncIterator[PostgresQueryLog]:
    """A query log on an empty, migrated database."""
    await migrate(arguments_of(database))
    kept = PostgresQueryLog(Database(arguments_of(database)))
    yield kept
    await kept.close()


@pytest.fixture(
    params=[
        "memory_store",
        pytest.param("timescale_store", marks=pytest.mark.db),
        pytest.param("server_store", marks=pytest.mark.timescale),
    ]
)
def candle_store(request: pytest.FixtureRequest) -> CandleStore:
    """An empty candle store of each kind."""
    store: CandleStore = request.getfixturevalue(request.param)
    return store


@pytest.fixture(params=["memory_catalogue", pytest.param("postgres_catalogue", marks=pytest.mark.db)])
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    """An empty catalogue of each kind."""
    kept: Catalogue = request.getfixturevalue(request.param)
    return kept


@pytest.fixture(params=["memory_query_log", pytest.param("postgres_query_log", marks=pytest.mark.db)])
def query_log_store(request: pytest.FixtureRequest) -> QueryLogStore:
    """An empty query log of each kind."""
    kept: QueryLogStore = request.getfixturevalue(request.param)
    return kept


@pytest.fixture
def desk() -> Desk:
    """An empty desk."""
    return Desk()


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    """A server apart from the one that the other tests share."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="cc-pg-"))
    own = OwnServer(directory)
    yield own
    own.end()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def own_database(own_server: OwnServer, request: pytest.FixtureRequest) -> DatabaseSettings:
    """An empty database on the server of its own, which runs."""
    await own_server.start()
    name = f"o{abs(hash(request.node.nodeid)) % 10**9}"
    connection = await connect(arguments_of(own_server.settings))
    await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    return own_server.settings.model_copy(update={"database": name})
