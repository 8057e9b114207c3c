"""Bring schema `candlecast` to its newest revision."""

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from deployments.common.errors import DatabaseReadOnly, DatabaseUnavailable
from deployments.market_data.timescale.pool import LOST, RETRY_AFTER_S, Arguments, connect

SCHEMA = "candlecast"
_MAY_NOT_WRITE = ("42501", "25006")
"""What PostgreSQL calls a missing privilege and a read-only transaction."""

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('candlecast.migrations'))")
_HAS_SCHEMA = text(f"SELECT to_regnamespace('{SCHEMA}') IS NOT NULL")
_CREATE_SCHEMA = text(f"CREATE SCHEMA {SCHEMA}")


async def migrate(arguments: Arguments) -> None:
    """Apply the missing revisions in one transaction; replicas that start together wait for each other.

    Raises `DatabaseUnavailable`, or `DatabaseReadOnly` where we may not create our tables.
    """
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(arguments), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(_LOCK)
            # Asked first: `IF NOT EXISTS` takes the right to create schemas even where somebody made ours for us.
            if not await connection.scalar(_HAS_SCHEMA):
                await connection.execute(_CREATE_SCHEMA)
            await connection.run_sync(_upgrade)
    except (*LOST, TimeoutError) as error:
        raise _away(error) from None
    except DBAPIError as error:
        if error.connection_invalidated or isinstance(error, InterfaceError):
            raise _away(error) from None
        if getattr(error.orig, "sqlstate", "") in _MAY_NOT_WRITE:
            detail = "our own tables need a database that we may write: name one in APP_DATABASE_URL"
            raise DatabaseReadOnly(detail) from None
        raise
    finally:
        await engine.dispose()


def _away(error: Exception) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"no migration: the database is away ({type(error).__name__})", RETRY_AFTER_S)


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
