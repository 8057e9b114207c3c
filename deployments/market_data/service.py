"""Market data as one plain object: symbols, candles, quality, ingest and the query log."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import pyarrow as pa

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, InvalidRequest, NoCandles, UnknownSymbol
from deployments.common.telemetry import logger
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.findings import QualityReport
from deployments.market_data.health import state_of
from deployments.market_data.ingest.intake import Intake
from deployments.market_data.instants import MICROSECOND
from deployments.market_data.models import (
    MAX_CANDLES,
    CandleQuery,
    Candles,
    Coverage,
    DependencyHealth,
    DiscoveredSymbol,
    IngestReport,
    Interval,
    LatestCandle,
    ManagedSymbol,
    MarketDataHealth,
    QueryLogEntry,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)
from deployments.market_data.quality.checks import gaps
from deployments.market_data.quality.report import Aside, quality_report
from deployments.market_data.query_log import QueryFilter, QueryLog
from deployments.market_data.reading.batch import BatchReader
from deployments.market_data.reading.cache import CandleCache
from deployments.market_data.reading.generation import generation_of
from deployments.market_data.reading.keyset import sound_after
from deployments.market_data.reading.reader import CandleReader
from deployments.market_data.stores import BackupSource, CandleStore, Catalogue
from deployments.market_data.symbols.directory import SymbolDirectory
from deployments.market_data.symbols.discovery import merge
from deployments.market_data.symbols.names import canonical, guess_draft, validated

log = logger(__name__)

PAGE_SYMBOLS = 1_000
LOG_ENTRIES = 1_000
_DISCOVERY_S = 30.0


class MarketDataService:
    """Answer as `MarketDataClient` promises, from a store, a catalogue and an optional backup source."""

    def __init__(
        self,
        store: CandleStore,
        catalogue: Catalogue,
        backup: BackupSource | None = None,
        database_host: str = "",
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        queries: QueryLog,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._queries = queries
        self._backup = backup
        self._database_host = database_host
        self._clock = clock
        self._monotonic = monotonic
        self._cache = CandleCache(store, clock, monotonic)
        self._directory = SymbolDirectory(catalogue, store, monotonic)
        self._intake = Intake(store, catalogue, self._directory, self.create_symbol, self._cache.changed, clock)
        self._reader = CandleReader(self._cache, backup, clock)
        self._batch = BatchReader(self._directory, self._reader, clock)
        self._discovered: tuple[float, tuple[DiscoveredSymbol, ...]] | None = None

    async def close(self) -> None:
        """End every connection."""
        await self._store.close()
        await self._catalogue.close()
        await self._queries.close()
        if self._backup is not None:
            await self._backup.aclose()

    # Candles

    async def candles(self, query: CandleQuery) -> Candles:
        """Return the candles of one symbol.

        Raises `InvalidRequest`, `UnknownSymbol`, `NoCandles`, or `DatabaseUnavailable` where no source answers.
        """
        return await self._reader.read(await self._directory.listing(query.symbol), query)

    async def changed_candles(self, query: CandleQuery, generation: str) -> Candles | None:
        """Return the candles of one symbol, or None where their generation is still the one given.

        Raises as `candles` does.
        """
        found = await self.candles(query)
        return None if generation_of(found) == generation else found

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        """Return for each symbol, as spelled by the caller, its candles or the error in their place.

        Raises `InvalidRequest` where symbols or candles are too many.
        """
        return await self._batch.read(symbols, query)

    async def latest(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> LatestCandle:
        """Return the newest closed candle, the forming one, and the 24 h change; raises as `candles` does."""
        return await self._reader.latest(await self._directory.listing(symbol), interval, as_of)

    async def candles_after(
        self,
        interval: Interval,
        after_time: datetime,
        after_symbol: str,
        limit: int,
        symbols: tuple[str, ...] = (),
    ) -> pa.Table:
        """Return closed candles of enabled managed symbols after the key, `SYMBOL_CANDLE_SCHEMA`; see the client.

        Fewer than `limit` rows mean that there are no more. Raises `InvalidRequest` or `DatabaseUnavailable`.
        """
        if not 1 <= limit <= MAX_CANDLES:
            raise _invalid("limit", f"must lie between 1 and {MAX_CANDLES:,}")
        now = self._clock()
        end = now - interval.delta + MICROSECOND
        calendars = {symbol.symbol: calendar_named(symbol.calendar) for symbol in await self._enabled(symbols)}
        return await sound_after(self._store, interval, calendars, (after_time, after_symbol), end, limit, now)

    async def _enabled(self, wanted: tuple[str, ...]) -> list[ManagedSymbol]:
        enabled = [symbol for symbol in await self._directory.managed() if symbol.enabled]
        if not wanted:
            return enabled
        narrowed = {canonical(symbol) for symbol in wanted}
        return [symbol for symbol in enabled if symbol.symbol in narrowed]

    async def quality(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> QualityReport:
        """Return what the checks find in the newest candles, with `as_of` in those that were closed then.

        Raises `InvalidRequest`, `UnknownSymbol` or `NoCandles`.
        """
        listing = await self._directory.listing(symbol)
        now = min(as_of or self._clock(), self._clock())
        # Rows from the future are faults to report, but not known at an instant in the past.
        end = now + 10 * interval.delta if as_of is None else now - interval.delta + MICROSECOND
        rows = await self._store.window(listing.symbol, interval, None, end, MAX_CANDLES, listing.calendar)
        before = None if as_of is None else end
        aside = Aside(
            await self._catalogue.quarantined(listing.symbol, interval, before),
            await self._catalogue.quarantine_counts(listing.symbol, interval, before),
        )
        if not rows.num_rows and not aside.rows:
            raise NoCandles(f"{listing.symbol} has no {interval} candles")
        return await asyncio.to_thread(quality_report, listing, interval, rows, aside, now)

    async def coverage(self, symbol: str, interval: Interval, with_gaps: bool = False) -> Coverage:
        """Return what the interval's own table holds of a symbol, the holes in it only where asked for.

        Nothing is an empty answer. Raises `InvalidRequest` or `DatabaseUnavailable`.
        """
        managed = await self._directory.find(symbol)
        name = managed.symbol if managed else canonical(symbol)
        until = self._clock() - interval.delta
        ends = await self._store.ends(name, interval, until)
        if ends is None or not with_gaps:
            return Coverage(name, interval, *(ends or ()))
        calendar = calendar_named((managed or guess_draft(name)).calendar)
        times = await self._store.times(name, interval, until)
        return Coverage(name, interval, *ends, await asyncio.to_thread(gaps, times, interval, calendar))

    async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> IngestReport:
        """Upsert rows with `SYMBOL_CANDLE_SCHEMA`; idempotent.

        Rows under an alias go to its symbol, refused ones aside with the reason; a symbol never seen before becomes a
        managed one. With `dry_run` nothing changes and the report says what would have. Raises `InvalidRequest` or
        `DatabaseUnavailable`.
        """
        return await self._intake.ingest(interval, rows, dry_run)

    # Symbols

    async def discovered_symbols(self) -> tuple[DiscoveredSymbol, ...]:
        """Return what EasyInsight and the database know, at most half a minute old."""
        if self._discovered is None or self._monotonic() - self._discovered[0] > _DISCOVERY_S:
            managed, spans = await self._directory.managed(), await self._store.spans()
            self._discovered = (self._monotonic(), merge(managed, spans, await self._offered()))
        return self._discovered[1]

    async def _offered(self) -> Sequence[DiscoveredSymbol]:
        if self._backup is None:
            return ()
        try:
            return await self._backup.symbols()
        except CandlecastError as error:
            log.warning("EasyInsight lists no symbols", reason=error.detail)
            return ()

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage:
        """Return a page of managed symbols, ascending."""
        if not 1 <= wanted.limit <= PAGE_SYMBOLS:
            raise _invalid("limit", f"must lie between 1 and {PAGE_SYMBOLS:,}")
        if not (wanted.q + wanted.cursor).isprintable():
            raise _invalid("q", "and cursor must be printable")
        return await self._catalogue.page(wanted)

    async def managed_symbol(self, symbol: str) -> ManagedSymbol:
        """Return one managed symbol by its name or an alias; raises `UnknownSymbol`."""
        found = await self._directory.find(symbol)
        if found is None:
            raise UnknownSymbol(f"{canonical(symbol)} is not managed")
        return found

    async def create_symbol(self, draft: SymbolDraft) -> ManagedSymbol:
        """Add a managed symbol; raises `InvalidRequest` or `SymbolExists`."""
        created = await self._catalogue.add(validated(draft), self._clock())
        self._forget_lists()
        return created

    async def create_first_symbols(self, drafts: Sequence[SymbolDraft]) -> int:
        """Add managed symbols that share no name, all or none of them, where none is managed; never a second time.

        Returns how many came in. Raises `InvalidRequest`.
        """
        added = await self._catalogue.add_first([validated(draft) for draft in drafts], self._clock())
        self._forget_lists()
        return added

    async def update_symbol(self, draft: SymbolDraft, seen_updated_at: datetime | None = None) -> ManagedSymbol:
        """Replace a managed symbol; raises `InvalidRequest`, `UnknownSymbol` or `PreconditionFailed`."""
        updated = await self._catalogue.replace(validated(draft), self._clock(), seen_updated_at)
        self._forget_lists()
        return updated

    async def delete_symbol(self, symbol: str, seen_updated_at: datetime | None = None) -> None:
        """Stop managing a symbol; its candles stay. Raises `UnknownSymbol` or `PreconditionFailed`."""
        await self._catalogue.remove(canonical(symbol), seen_updated_at)
        self._forget_lists()

    def _forget_lists(self) -> None:
        self._directory.expire()
        self._discovered = None

    # Health and the query log

    async def health(self) -> MarketDataHealth:
        """Return the state of the database and of EasyInsight; never fails."""
        database = await state_of("timescaledb", self._store)
        backup = await self._backup.probe() if self._backup else DependencyHealth("easyinsight", "absent")
        return MarketDataHealth(self._database_host, (database, backup))

    async def query_log(self, entries: tuple[QueryLogEntry, ...]) -> None:
        """Keep served requests."""
        await self._queries.add(entries)

    async def query_logs(
        self,
        limit: int = 100,
        endpoint: str | None = None,
        min_duration_ms: float | None = None,
        since: datetime | None = None,
    ) -> tuple[QueryLogEntry, ...]:
        """Return served requests, newest first, with the SQL inside each."""
        if not 1 <= limit <= LOG_ENTRIES:
            raise _invalid("limit", f"must lie between 1 and {LOG_ENTRIES:,}")
        if not (endpoint or "").isprintable():
            raise _invalid("endpoint", "must be printable")
        return await self._queries.read(QueryFilter(limit, endpoint or "", min_duration_ms or 0.0, since))


def _invalid(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {reason}", ((field, reason),))
