"""A database that goes away and comes back, for real, under readers that do not stop."""

import asyncio
import pathlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from deployments.common.errors import CandlecastError, DatabaseUnavailable, UpstreamTimeout
from deployments.common.settings import AppDatabaseSettings, DatabaseSettings, StackSettings
from deployments.market_data.assembly import assemble, import_symbols
from deployments.market_data.client import READ_TIMEOUT_S
from deployments.market_data.migrations.runner import migrate
from deployments.market_data.models import (
    SYMBOL_CANDLE_SCHEMA,
    CandleQuery,
    Candles,
    Interval,
    Source,
    SymbolFilter,
)
from deployments.market_data.query_log import QueryLog
from deployments.market_data.service import MarketDataService
from deployments.market_data.symbols.file import write_symbols
from deployments.market_data.symbols.names import guess_draft
from deployments.market_data.timescale.candles import TimescaleStore
from deployments.market_data.timescale.catalogue import PostgresCatalogue
from deployments.market_data.timescale.pool import APPLICATION, Database, arguments_of, connect
from tests.fakes.market_data import walk_table
from tests.fakes.market_stores import FakeBackup
from tests.fakes.own_server import OwnServer
from tests.fakes.query_log import MemoryQueryLog

pytestmark = pytest.mark.db

HOUR = timedelta(hours=1)
NAMES = ("BTCUSD", "ETHUSD", "SOLUSD")
QUERY = CandleQuery("", limit=40)


NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
"""A clock that stands: with the machine's own another bar is due whenever the hour turns in the midst of a run."""

TABLES = {name: walk_table(datetime(2026, 3, 2, 12, tzinfo=UTC), 48, seed=seed) for seed, name in enumerate(NAMES)}
"""Hours of two days, the newest of which has just closed."""


def named(symbol: str, table: pa.Table) -> pa.Table:
    return table.add_column(0, "symbol", pa.array([symbol] * table.num_rows)).cast(SYMBOL_CANDLE_SCHEMA)


@asynccontextmanager
async def service_on(settings: DatabaseSettings, backup: FakeBackup | None) -> AsyncIterator[MarketDataService]:
    """A service on a real database that holds the candles of every name, each read once."""
    await migrate(arguments_of(settings))
    service = MarketDataService(
        TimescaleStore(Database(arguments_of(settings))),
        PostgresCatalogue(Database(arguments_of(settings))),
        backup,
        clock=lambda: NOW,
        queries=QueryLog(MemoryQueryLog()),
    )
    for name, table in TABLES.items():
        await service.ingest(Interval.H1, named(name, table))
    await service.candles_batch(NAMES, QUERY)
    try:
        yield service
    finally:
        await service.close()


@dataclass
class Readers:
    """Read all the time, each read within the deadline of `MarketDataClient`, and note where from."""

    service: MarketDataService
    seen: list[Source] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self, count: int = 12) -> AsyncIterator["Readers"]:
        tasks = [asyncio.create_task(self._run(NAMES[n % len(NAMES)])) for n in range(count)]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert self.wrong == []

    async def until(self, sources: set[Source]) -> None:
        """Wait until the newest reads of all readers come from these sources only."""
        del self.seen[:]
        await until(lambda: len(self.seen) >= 24 and set(self.seen[-24:]) <= sources)

    async def _run(self, name: str) -> None:
        while True:
            try:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    answer = await self.service.candles(CandleQuery(name, limit=QUERY.limit))
            except (CandlecastError, TimeoutError) as error:
                self.wrong.append(f"{name}: {error!r}")
                continue
            self._judge(name, answer)
            await asyncio.sleep(0.01)  # a hot read never gives way, and the others want to run

    def _judge(self, name: str, answer: Candles) -> None:
        self.seen.append(answer.source)
        if not answer.table.equals(TABLES[name].slice(48 - 40)):
            self.wrong.append(f"{name}: other candles from {answer.source}")
        if answer.stale != (answer.source is Source.CACHE):
            self.wrong.append(f"{name}: {answer.source} says stale={answer.stale}")


async def until(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look every few milliseconds whether something has happened."""
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110  what is looked at has no event
            await asyncio.sleep(0.02)


async def test_database_stopped_under_load_is_stood_in_for_by_easyinsight_until_it_is_back(
    own_server: OwnServer, own_database: DatabaseSettings
) -> None:
    async with service_on(own_database, FakeBackup(TABLES)) as service, Readers(service).running() as readers:
        for _ in range(2):
            await readers.until({Source.DATABASE})
            await own_server.stop()
            await readers.until({Source.EASYINSIGHT})
            await own_server.start()
        await readers.until({Source.DATABASE})


async def test_database_stopped_under_load_without_a_backup_is_answered_from_memory_marked_stale(
    own_server: OwnServer, own_database: DatabaseSettings
) -> None:
    async with service_on(own_database, None) as service, Readers(service).running() as readers:
        await readers.until({Source.DATABASE})
        await own_server.stop()
        await readers.until({Source.CACHE})
        with pytest.raises(DatabaseUnavailable):
            await service.candles(CandleQuery("NEVERREAD"))
        with pytest.raises(DatabaseUnavailable):
            await service.candles_after(Interval.H4, datetime(2020, 1, 1, tzinfo=UTC), "", 10)
        await own_server.start()
        await readers.until({Source.DATABASE})


async def test_every_connection_cut_again_and_again_fails_no_read(
    own_server: OwnServer, own_database: DatabaseSettings
) -> None:
    async with service_on(own_database, None) as service, Readers(service).running() as readers:
        admin = await connect(arguments_of(own_server.settings))
        for _ in range(5):
            await readers.until({Source.DATABASE})
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", own_database.database
            )
        await readers.until({Source.DATABASE})
        await admin.close()


async def test_service_that_starts_without_a_database_answers_and_completes_itself_when_it_is_there(
    own_server: OwnServer, own_database: DatabaseSettings, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "symbols.json"
    write_symbols(path, [guess_draft("EURUSD"), guess_draft("BTCUSD")])
    await own_server.stop()
    service = await assemble(StackSettings(), own_database, AppDatabaseSettings(), "")
    importing = asyncio.create_task(import_symbols(service, path, lambda _: asyncio.sleep(0.05)))
    try:
        with pytest.raises(DatabaseUnavailable):
            await service.candles(CandleQuery("BTCUSD"))
        assert [one.status for one in (await service.health()).dependencies] == ["down", "absent"]
        await own_server.start()
        assert await asyncio.wait_for(importing, 60) == 2
        assert [one.symbol for one in (await service.managed_symbols(SymbolFilter())).symbols] == ["BTCUSD", "EURUSD"]
        done = await service.ingest(Interval.H1, named("BTCUSD", TABLES["BTCUSD"]))
        assert done.inserted == 48
        assert (await service.candles(CandleQuery("BTCUSD", limit=5))).source is Source.DATABASE
    finally:
        await service.close()


async def test_server_that_takes_connections_and_says_nothing_is_found_out_once(tmp_path: pathlib.Path) -> None:
    connections = 0

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(1_024):
            pass
        writer.close()

    silent = await asyncio.start_unix_server(swallow, tmp_path / ".s.PGSQL.5432")
    database = Database(arguments_of(DatabaseSettings(host=str(tmp_path))))
    try:
        with pytest.raises(DatabaseUnavailable):
            await database.fetch("SELECT 1")
        tried = connections
        for _ in range(100):
            with pytest.raises(DatabaseUnavailable):
                await database.fetch("SELECT 1")
        assert connections < tried + 10  # its own looks now and then, not one for each of the hundred
    finally:
        await database.close()
        silent.close()


async def test_slow_statement_is_ended_by_the_server_and_its_connection_serves_on(
    own_database: DatabaseSettings,
) -> None:
    arguments = {**arguments_of(own_database), "server_settings": {"statement_timeout": "100"}}
    database = Database(arguments)
    with pytest.raises(UpstreamTimeout):
        await database.fetch("SELECT pg_sleep(60)")
    ((name,),) = await database.fetch("SHOW application_name")
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()"
    ((connections,),) = await database.fetch(ours, APPLICATION)
    assert (name, connections) == (APPLICATION, 1)
    await database.close()
