"""Bring schema `candlecast` to its newest revision."""

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from deployments.common.errors import DatabaseUnavailable
from deployments.market_data.timescale_pool import LOST, RETRY_AFTER_S, Arguments, connect

SCHEMA = "candlecast"
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('candlecast.migrations'))")
_CREATE_SCHEMA = text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")


async def migrate(arguments: Arguments) -> None:
    """Apply the missing revisions in one transaction; replicas that start together wait for each other.

    Raises `DatabaseUnavailable`.
    """
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(arguments), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(_LOCK)
            await connection.execute(_CREATE_SCHEMA)
            await connection.run_sync(_upgrade)
    except (*LOST, TimeoutError) as error:
        raise DatabaseUnavailable(
            f"no migration: the database is away ({type(error).__name__})", RETRY_AFTER_S
        ) from None
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)

    def steps(revision: Any, context: MigrationContext) -> list[RevisionStep]:
        del context
        return list(scripts._upgrade_revs("head", revision))  # what `alembic upgrade head` itself calls

    with EnvironmentContext(config, scripts, fn=steps) as environment:
        environment.configure(connection=connection, version_table_schema=SCHEMA)
        with environment.begin_transaction():
            environment.run_migrations()
