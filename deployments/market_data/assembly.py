"""Put the real parts of market data together."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from deployments.common.errors import DatabaseUnavailable, InvalidRequest, UpstreamTimeout
from deployments.common.settings import (
    AppDatabaseSettings,
    DatabaseSettings,
    EasyInsightSettings,
    QueryLogSettings,
    StackSettings,
)
from deployments.common.telemetry import logger
from deployments.market_data.easyinsight.source import EasyInsightSource
from deployments.market_data.migrations.runner import migrate
from deployments.market_data.models import SymbolFilter
from deployments.market_data.observation import Observation, Observe, ignore
from deployments.market_data.query_log import QueryLog
from deployments.market_data.service import MarketDataService
from deployments.market_data.symbols.file import read_symbols
from deployments.market_data.timescale.candles import TimescaleStore
from deployments.market_data.timescale.catalogue import PostgresCatalogue
from deployments.market_data.timescale.log import PostgresQueryLog
from deployments.market_data.timescale.pool import RETRY_AFTER_S, Database, app_arguments_of, arguments_of
from deployments.market_data.timescale.presence import Pause

log = logger(__name__)

T = TypeVar("T")

START_S = 5.0
"""How long the start waits for the import; a database that is away must not hold up what EasyInsight can answer."""

_OURS = "the database of our own tables"


async def assemble(
    stack: StackSettings,
    database: DatabaseSettings,
    app_database: AppDatabaseSettings,
    easyinsight_url: str,
    query_log: QueryLogSettings | None = None,
    meter: Observe = ignore,
) -> MarketDataService:
    """Return market data on the real databases, their schema brought up to date as soon as there is a server.

    `meter` is told of every SQL statement. Raises `InvalidRequest` where a public stack has a weak password, and
    `DatabaseReadOnly` where our own tables have no place.
    """
    refuse_weak_password(stack, database)
    ours = app_arguments_of(app_database, database)
    kept = query_log or QueryLogSettings()
    queries = QueryLog(PostgresQueryLog(Database(ours, migrate, _OURS)), kept.max_rows, kept.max_days)

    def observe(seen: Observation) -> None:
        queries.note(seen)
        meter(seen)

    own = Database(ours, migrate, _OURS, observe)
    try:
        await own.open()
    except DatabaseUnavailable as error:
        log.warning("starting without the database", reason=error.detail)
    return MarketDataService(
        TimescaleStore(Database(arguments_of(database), name="the candle database", observe=observe)),
        PostgresCatalogue(own),
        EasyInsightSource(easyinsight_url, EasyInsightSettings.read().timeout_s) if easyinsight_url else None,
        database.host,
        queries=queries,
    )


def refuse_weak_password(stack: StackSettings, database: DatabaseSettings) -> None:
    """Raise `InvalidRequest` where a stack that others reach has a password that everybody tries first."""
    # A unix socket is guarded by its folder, and the embedded server listens nowhere else.
    if stack.candlecast_public and database.has_weak_password and not database.host.startswith("/"):
        reason = "is empty or well known, and CANDLECAST_PUBLIC is on"
        raise InvalidRequest(f"TIMESCALEDB_PASSWORD {reason}", (("TIMESCALEDB_PASSWORD", reason),))


async def import_symbols(service: MarketDataService, path: Path, pause: Pause = asyncio.sleep) -> int:
    """Add the symbols of a `symbols.json`, if there is one and none is managed yet; return how many came in.

    Waits for a database that is away. All come in at once and once only: what somebody deletes stays deleted, and a
    start that is cut off leaves none behind that would keep a later one from bringing the others.
    """
    if not await asyncio.to_thread(path.exists):
        return 0
    if (await _patiently(lambda: service.managed_symbols(SymbolFilter(limit=1)), pause)).symbols:
        return 0
    drafts = await asyncio.to_thread(read_symbols, path)
    added = await _patiently(lambda: service.create_first_symbols(drafts), pause) if drafts else 0
    log.info("symbols imported", symbols=added)
    return added


async def start_import(service: MarketDataService, path: Path) -> "asyncio.Task[int]":
    """Import the symbols before the first request where the database is there, else in the background.

    Raises `InvalidRequest` where the file is wrong.
    """
    importing = asyncio.create_task(import_symbols(service, path))
    await asyncio.wait([importing], timeout=START_S)
    if importing.done():
        importing.result()
    return importing


async def _patiently(ask: Callable[[], Awaitable[T]], pause: Pause) -> T:
    while True:
        try:
            return await ask()
        except (DatabaseUnavailable, UpstreamTimeout):
            await pause(RETRY_AFTER_S)
