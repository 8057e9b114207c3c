"""Stores and a service over them, for the tests of market data."""

from collections.abc import AsyncIterator

import pytest

from deployments.common.settings import DatabaseSettings
from deployments.market_data.catalogue import PostgresCatalogue
from deployments.market_data.migrations.runner import migrate
from deployments.market_data.stores import CandleStore, Catalogue
from deployments.market_data.timescale import TimescaleStore
from deployments.market_data.timescale_pool import Database, arguments_of
from tests.fakes.market_desk import Desk
from tests.fakes.market_stores import MemoryCandleStore, MemoryCatalogue


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


@pytest.fixture(params=["memory_store", pytest.param("timescale_store", marks=pytest.mark.db)])
def candle_store(request: pytest.FixtureRequest) -> CandleStore:
    """An empty candle store of each kind."""
    store: CandleStore = request.getfixturevalue(request.param)
    return store


@pytest.fixture(params=["memory_catalogue", pytest.param("postgres_catalogue", marks=pytest.mark.db)])
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    """An empty catalogue of each kind."""
    kept: Catalogue = request.getfixturevalue(request.param)
    return kept


@pytest.fixture
def desk() -> Desk:
    """An empty desk."""
    return Desk()
