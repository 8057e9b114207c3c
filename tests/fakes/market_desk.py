"""A market data service over memory, its parts in reach and its clock in the test's hand."""

from datetime import UTC, datetime

from deployments.market_data.query_log import QueryLog
from deployments.market_data.service import MarketDataService
from deployments.market_data.stores import BackupSource
from tests.fakes.market_stores import FakeBackup, MemoryCandleStore, MemoryCatalogue
from tests.fakes.query_log import MemoryQueryLog

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
"""A Wednesday, half past twelve."""


class Desk:
    """An empty desk."""

    def __init__(self) -> None:
        self.now = NOW
        self.store = MemoryCandleStore()
        self.catalogue = MemoryCatalogue()
        self.backup = FakeBackup({})
        self.seconds = 1_000.0
        self.service = self.with_backup(self.backup)

    def with_backup(self, backup: BackupSource) -> MarketDataService:
        """Return a service over the same stores that falls back on another source."""
        return MarketDataService(
            self.store,
            self.catalogue,
            backup,
            "db.example",
            lambda: self.now,
            lambda: self.seconds,
            queries=QueryLog(MemoryQueryLog()),
        )

    def lose_database(self) -> None:
        """Let every call to the database fail from now on, and nothing read before count as fresh."""
        self.store.is_away = self.catalogue.is_away = True
        self.seconds += 10.0
