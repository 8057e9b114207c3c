"""Connections to PostgreSQL: one lazily opened pool, its errors told in our words."""

from __future__ import annotations  # asyncpg's classes take parameters in its stubs only

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, cast

import asyncpg

from deployments.common.errors import DatabaseReadOnly, DatabaseUnavailable, UpstreamTimeout
from deployments.common.settings import AppDatabaseSettings, DatabaseSettings
from deployments.market_data.instants import MICROSECOND
from deployments.market_data.observation import Observe, ObservedConnection, ignore
from deployments.market_data.timescale.presence import Presence

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Arguments = Mapping[str, Any]

APPLICATION = "candlecast"
"""What the server's own list of sessions calls us."""

CONNECT_TIMEOUT_S = 2.0
STATEMENT_TIMEOUT_S = 8.0
ANSWER_S = STATEMENT_TIMEOUT_S + 1.0
"""Longer than the server lets a statement run: whoever has not answered by then is not there."""

SLOW_S = 1.0
"""A statement that a caller gave up on after this long is reason to ask whether the server is there."""

TURN_S = 3.0
RELEASE_S = 1.0
BULK_TIMEOUT_S = 110.0
"""Below the client's deadline for an ingest, so that the server gives up first and says why."""

RETRY_AFTER_S = 2.0
POOL_SIZE = 8
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

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
    return await asyncpg.connect(**session_of(arguments, {}), timeout=CONNECT_TIMEOUT_S)


def session_of(arguments: Arguments, settings: Mapping[str, str]) -> dict[str, Any]:
    """Add our name and `settings` to the arguments of a connection, which may bring settings of their own."""
    given = arguments.get("server_settings", {})
    # In UTC, which a column without a zone is in: the server's own zone would move what we write into it.
    return {**arguments, "server_settings": {"application_name": APPLICATION, "timezone": "UTC", **settings, **given}}


async def read_as_utc(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Have a connection give and take instants of columns without a zone as aware ones, in UTC."""
    await connection.set_type_codec(
        "timestamp",
        schema="pg_catalog",
        encoder=lambda instant: ((instant - _POSTGRES_EPOCH) // MICROSECOND,),
        decoder=lambda told: _POSTGRES_EPOCH + timedelta(microseconds=told[0]),
        format="tuple",
    )


class Database:
    """Run statements on a pool that opens with the first of them and survives restarts of the server.

    `prepare` brings the schema up to date before the first statement, whenever the server is there for it. While the
    server is away every call is refused at once, and one task in the background waits for its return. `observe` is
    told of every statement.
    """

    def __init__(
        self,
        arguments: Arguments,
        prepare: Callable[[Arguments], Awaitable[None]] | None = None,
        name: str = "the database",
        observe: Observe = ignore,
    ) -> None:
        self._arguments = arguments
        self._prepare = prepare
        self._name = name
        self._observe = observe
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._free = asyncio.Semaphore(POOL_SIZE)
        self._presence = Presence(name, self._answers)

    async def open(self) -> None:
        """Prepare the database without running a statement; raises what `prepare` raises, or `DatabaseUnavailable`."""
        with self._noticing():
            await self._opened()

    async def fetch(self, statement: str, *values: object, name: str = "") -> list[asyncpg.Record]:
        """Return the rows of a read; a lost connection is tried once more on a new one.

        `name` says briefly which statement it is, where its verb and table do not. Raises `DatabaseUnavailable`, or
        `UpstreamTimeout` where the statement took too long.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._fetch_twice(statement, values, name)
        except TimeoutError:
            self._presence.suspect()
            raise DatabaseUnavailable(f"{self._name} does not answer", RETRY_AFTER_S) from None
        except asyncio.CancelledError:
            if time.monotonic() - started > SLOW_S:
                self._presence.suspect()
            raise

    async def _fetch_twice(self, statement: str, values: tuple[object, ...], name: str) -> list[asyncpg.Record]:
        async with self._turn():
            try:
                return await self._fetch(statement, values, name)
            except DatabaseUnavailable:
                # After a restart the pool still holds connections that are dead; each dies only when used.
                await self._expire()
                return await self._fetch(statement, values, name)

    async def _fetch(self, statement: str, values: tuple[object, ...], name: str) -> list[asyncpg.Record]:
        async with self._lent() as connection:
            records: list[asyncpg.Record]
            records = await cast("ObservedConnection", connection).fetch(statement, *values, name=name)
            return records

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; errors that mean the server, not the statement, leave as ours."""
        async with self._turn(), self._lent() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self, timeout_s: float = STATEMENT_TIMEOUT_S) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction whose statements may take `timeout_s` seconds each.

        Raises `DatabaseReadOnly` where we may not write.
        """
        async with self.connection() as connection:
            try:
                # Named, for under a stricter default whoever waited for a lock would not see what its holder wrote.
                async with connection.transaction(isolation="read_committed"):
                    await connection.execute(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}")
                    yield connection
            except asyncpg.InsufficientPrivilegeError as error:
                raise DatabaseReadOnly(f"{self._name} may only be read: {error}") from None

    async def probe(self) -> float:
        """Return the milliseconds of an empty statement; raises `DatabaseUnavailable`."""
        started = time.perf_counter()
        await self.fetch("SELECT 1", name="probe")
        return (time.perf_counter() - started) * 1000.0

    async def close(self) -> None:
        """End every connection, those in use after they are given back or after a few seconds."""
        await self._presence.close()
        if self._pool is None:
            return
        try:
            await asyncio.wait_for(self._pool.close(), CONNECT_TIMEOUT_S)
        except (TimeoutError, *LOST):
            self._pool.terminate()
        finally:
            self._pool = None

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        connection = await self._acquired()
        try:
            with _meaning(self._name):
                yield cast("Connection", ObservedConnection(connection, self._observe))
        finally:
            await self._release(connection)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait until a connection is free; a pool in full use does not mean that the server is away."""
        self._presence.check()
        try:
            async with asyncio.timeout(TURN_S):
                await self._free.acquire()
        except TimeoutError:
            raise DatabaseUnavailable(f"every connection to {self._name} is in use", RETRY_AFTER_S) from None
        try:
            yield
        finally:
            self._free.release()

    async def _acquired(self) -> Connection:
        self._presence.check()
        with self._noticing():
            pool = await self._opened()
            connection: Connection = await pool.acquire(timeout=CONNECT_TIMEOUT_S)
            return connection

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        # Only getting a connection tells that the server is away: a statement may be slow for reasons of its own.
        try:
            with _meaning(self._name):
                yield
        except DatabaseUnavailable:
            self._presence.lost()
            raise

    async def _answers(self) -> bool:
        """Ask the server on a connection outside the pool, whose own may all be dead."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await connect(self._arguments)
                try:
                    await connection.execute("SELECT 1")
                finally:
                    connection.terminate()
        except (TimeoutError, asyncpg.PostgresError, *LOST):
            await self._expire()
            return False
        return True

    async def _release(self, connection: Connection) -> None:
        if self._pool is None:
            return  # closed meanwhile
        with suppress(TimeoutError, *LOST):
            await self._pool.release(connection, timeout=RELEASE_S)

    async def _expire(self) -> None:
        if self._pool is not None:
            await self._pool.expire_connections()

    async def _opened(self) -> asyncpg.Pool[asyncpg.Record]:
        async with self._opening:
            self._presence.check()  # whoever waited for the same attempt need not repeat it
            if self._pool is None:
                if self._prepare is not None:
                    await self._prepare(self._arguments)
                self._pool = await asyncpg.create_pool(
                    **session_of(self._arguments, {"statement_timeout": str(int(STATEMENT_TIMEOUT_S * 1000))}),
                    min_size=0,
                    max_size=POOL_SIZE,
                    timeout=CONNECT_TIMEOUT_S,
                    init=read_as_utc,
                    # No `command_timeout`: the server ends a statement itself and the connection stays usable.
                )
            return self._pool


@contextmanager
def _meaning(name: str) -> Iterator[None]:
    """Raise what an error of the driver means to us."""
    try:
        yield
    except asyncpg.QueryCanceledError:
        raise UpstreamTimeout(f"{name} took too long for a statement") from None
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise DatabaseReadOnly(f"{name} may only be read: {error}") from None
    except TimeoutError:
        raise DatabaseUnavailable(f"{name} does not answer", RETRY_AFTER_S) from None
    except asyncpg.DeadlockDetectedError:
        raise DatabaseUnavailable(f"{name} gave up a statement for another that it waited for", RETRY_AFTER_S) from None
    except LOST as error:
        if isinstance(error, ValueError):
            raise  # asyncpg refuses a value with a kind of InterfaceError: our bug, not the server's
        raise DatabaseUnavailable(f"{name} is away ({type(error).__name__})", RETRY_AFTER_S) from None
