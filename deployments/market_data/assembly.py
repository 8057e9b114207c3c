"""Put the real parts of market data together."""

import asyncio
from pathlib import Path

from deployments.common.errors import InvalidRequest, SymbolExists
from deployments.common.settings import AppDatabaseSettings, DatabaseSettings, EasyInsightSettings, StackSettings
from deployments.common.telemetry import logger
from deployments.market_data.catalogue import PostgresCatalogue
from deployments.market_data.easyinsight import EasyInsightSource
from deployments.market_data.migrations.runner import migrate
from deployments.market_data.models import SymbolFilter
from deployments.market_data.service import MarketDataService
from deployments.market_data.symbols_file import read_symbols
from deployments.market_data.timescale import TimescaleStore
from deployments.market_data.timescale_pool import Database, app_arguments_of, arguments_of

log = logger(__name__)


async def assemble(
    stack: StackSettings,
    database: DatabaseSettings,
    app_database: AppDatabaseSettings,
    easyinsight_url: str,
) -> MarketDataService:
    """Return market data on the real databases, their schema brought up to date.

    Raises `InvalidRequest` where a public stack has a weak password, `DatabaseUnavailable` where there is no server.
    """
    refuse_weak_password(stack, database)
    ours = app_arguments_of(app_database, database)
    await migrate(ours)
    return MarketDataService(
        TimescaleStore(Database(arguments_of(database))),
        PostgresCatalogue(Database(ours)),
        EasyInsightSource(easyinsight_url, EasyInsightSettings.read().timeout_s) if easyinsight_url else None,
        database.host,
    )


def refuse_weak_password(stack: StackSettings, database: DatabaseSettings) -> None:
    """Raise `InvalidRequest` where a stack that others reach has a password that everybody tries first."""
    # A unix socket is guarded by its folder, and the embedded server listens nowhere else.
    if stack.candlecast_public and database.has_weak_password and not database.host.startswith("/"):
        reason = "is empty or well known, and CANDLECAST_PUBLIC is on"
        raise InvalidRequest(f"TIMESCALEDB_PASSWORD {reason}", (("TIMESCALEDB_PASSWORD", reason),))


async def import_symbols(service: MarketDataService, path: Path) -> int:
    """Add the symbols of a `symbols.json`, if there is one and none is managed yet; return how many came in."""
    if not await asyncio.to_thread(path.exists) or (await service.managed_symbols(SymbolFilter(limit=1))).symbols:
        return 0
    added = 0
    for draft in await asyncio.to_thread(read_symbols, path):
        try:
            await service.create_symbol(draft)
            added += 1
        except SymbolExists:
            continue  # another replica imports the same file
    log.info("symbols imported", symbols=added)
    return added
