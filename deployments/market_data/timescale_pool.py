"""Connections to PostgreSQL: one lazily opened pool, its errors told in our words."""

from __future__ import annotations  # asyncpg's classes take parameters in its stubs only

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias

import asyncpg

from deployments.common.errors import DatabaseUnavailable, Unavailable, UpstreamTimeout
from deployments.common.settings import AppDatabaseSettings, DatabaseSettings
from deployments.market_data.breaker import Breaker

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Arguments = Mapping[str, Any]

CONNECT_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_S = 8.0
BULK_TIMEOUT_S = 110.0
"""Below the client's deadline for an ingest, so that the server gives up first and says why."""

RETRY_AFTER_S = 2.0
POOL_SIZE = 8

LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that dies between being lent and its first statement
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""What asyncpg raises when the server is away, full, restarting or refuses us."""


def arguments_of(settings: DatabaseSettings) -> Arguments:
    """Return what `asyncpg.connect` needs for the candle database."""
    return {
        "host": settings.host,
        "port": settings.port,
        "database": settings.database,
        "user": settings.user,
        "password": settings.password.get_secret_value() or None,
    }


def app_arguments_of(settings: AppDatabaseSettings, candles: DatabaseSettings) -> Arguments:
    """Return what `asyncpg.connect` needs for our own tables: the URL given, else the candle database."""
    url = settings.url.get_secret_value()
    return {"dsn": url} if url else arguments_of(candles)


async def connect(arguments: Arguments) -> asyncpg.Connection[asyncpg.Record]:
    """Open a single connection of our name, outside any pool."""
    return await asyncpg.connect(
        **arguments, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "candlecast"}
    )


class Database:
    """Run statements on a pool that opens with the first of them and survives restarts of the server."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._breaker = Breaker("PostgreSQL", open_s=RETRY_AFTER_S)

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Return the rows of a read; a lost connection is tried once more on a new one.

        Raises `DatabaseUnavailable`, or `UpstreamTimeout` where the statement took too long.
        """
        try:
            return await self._fetch(statement, values)
        except DatabaseUnavailable:
            # After a restart of the server the pool still holds connections that are dead; each dies only when used.
            await self._expire()
            return await self._fetch(statement, values)

    async def _fetch(self, statement: str, values: tuple[object, ...]) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return await connection.fetch(statement, *values)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; errors that mean the server, not the statement, leave as ours."""
        connection = await self._acquired()
        try:
            with _meaning():
                yield connection
        finally:
            await self._release(connection)

    @asynccontextmanager
    async def transaction(self, timeout_s: float = STATEMENT_TIMEOUT_S) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction whose statements may take `timeout_s` seconds each."""
        async with self.connection() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}")
            yield connection

    async def probe(self) -> float:
        """Return the milliseconds of an empty statement; raises `DatabaseUnavailable`."""
        started = time.perf_counter()
        await self.fetch("SELECT 1")
        return (time.perf_counter() - started) * 1000.0

    async def close(self) -> None:
        """End every connection, those in use after they are given back or after a few seconds."""
        if self._pool is None:
            return
        try:
            await asyncio.wait_for(self._pool.close(), CONNECT_TIMEOUT_S)
        except (TimeoutError, *LOST):
            self._pool.terminate()
        finally:
            self._pool = None

    async def _acquired(self) -> Connection:
        # Only getting a connection counts for the breaker: a slow statement does not mean that the server is away.
        try:
            with self._breaker.guard(), _meaning():
                pool = await self._opened()
                connection: Connection = await pool.acquire(timeout=CONNECT_TIMEOUT_S)
                return connection
        except DatabaseUnavailable:
            raise
        except Unavailable as error:
            raise DatabaseUnavailable(error.detail, error.retry_after_s) from None

    async def _release(self, connection: Connection) -> None:
        if self._pool is None:
            return  # closed meanwhile
        with suppress(*LOST):
            await self._pool.release(connection)

    async def _expire(self) -> None:
        if self._pool is not None:
            await self._pool.expire_connections()

    async def _opened(self) -> asyncpg.Pool[asyncpg.Record]:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    **self._arguments,
                    min_size=0,
                    max_size=POOL_SIZE,
                    timeout=CONNECT_TIMEOUT_S,
                    # No `command_timeout`: the server ends a statement itself and the connection stays usable.
                    server_settings={
                        "application_name": "candlecast",
                        "statement_timeout": str(int(STATEMENT_TIMEOUT_S * 1000)),
                    },
                )
            return self._pool


@contextmanager
def _meaning() -> Iterator[None]:
    """Raise what an error of the driver means to us."""
    try:
        yield
    except asyncpg.QueryCanceledError:
        raise UpstreamTimeout("the database took too long for a statement") from None
    except TimeoutError:
        raise DatabaseUnavailable("the database does not answer", RETRY_AFTER_S) from None
    except LOST as error:
        if isinstance(error, ValueError):
            raise  # asyncpg refuses a value with a kind of InterfaceError: our bug, not the server's
        raise DatabaseUnavailable(f"the database is away ({type(error).__name__})", RETRY_AFTER_S) from None
