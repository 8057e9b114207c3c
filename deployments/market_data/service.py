"""Market data as one plain object: symbols, candles, quality, ingest and the query log."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import pyarrow as pa

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, InvalidRequest, NoCandles, SymbolExists, UnknownSymbol
from deployments.common.telemetry import logger
from deployments.market_data.admission import admit
from deployments.market_data.cache import CandleCache
from deployments.market_data.directory import SymbolDirectory
from deployments.market_data.discovery import merge
from deployments.market_data.health import state_of
from deployments.market_data.instants import MICROSECOND
from deployments.market_data.keyset import sound_after
from deployments.market_data.models import (
    MAX_CANDLES,
    CandleQuery,
    Candles,
    DependencyHealth,
    DiscoveredSymbol,
    IngestReport,
    Interval,
    LatestCandle,
    ManagedSymbol,
    MarketDataHealth,
    QualityReport,
    QueryLogEntry,
    SymbolDraft,
    SymbolFilter,
    SymbolPage,
)
from deployments.market_data.quality_report import quality_report
from deployments.market_data.reader import CandleReader
from deployments.market_data.stores import BackupSource, CandleStore, Catalogue
from deployments.market_data.symbols import canonical, guess_draft, validated

log = logger(__name__)

BATCH_SYMBOLS = 50
PAGE_SYMBOLS = 1_000
LOG_ENTRIES = 1_000
_BATCH_AT_ONCE = 8
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
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._backup = backup
        self._database_host = database_host
        self._clock = clock
        self._monotonic = monotonic
        self._cache = CandleCache(store, clock, monotonic)
        self._directory = SymbolDirectory(catalogue, store, monotonic)
        self._reader = CandleReader(self._cache, backup, clock)
        self._discovered: tuple[float, tuple[DiscoveredSymbol, ...]] | None = None

    async def close(self) -> None:
        """End every connection."""
        await self._store.close()
        await self._catalogue.close()
        if self._backup is not None:
            await self._backup.aclose()

    # Candles

    async def candles(self, query: CandleQuery) -> Candles:
        """Return the candles of one symbol.

        Raises `InvalidRequest`, `UnknownSymbol`, `NoCandles`, or `DatabaseUnavailable` where no source answers.
        """
        return await self._reader.read(await self._directory.listing(query.symbol), query)

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        """Return for each symbol, as spelled by the caller, its candles or the error in their place."""
        if len(symbols) > BATCH_SYMBOLS:
            raise _invalid("symbols", f"may be at most {BATCH_SYMBOLS}")
        free = asyncio.Semaphore(_BATCH_AT_ONCE)

        async def one(symbol: str) -> Candles | CandlecastError:
            async with free:
                try:
                    return await self.candles(replace(query, symbol=symbol))
                except CandlecastError as error:
                    return error

        names = tuple(dict.fromkeys(symbols))
        return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))

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
        names = await self._enabled(symbols)
        return await sound_after(self._store, interval, names, (after_time, after_symbol), end, limit, now)

    async def _enabled(self, wanted: tuple[str, ...]) -> list[str]:
        enabled = [symbol.symbol for symbol in await self._directory.managed() if symbol.enabled]
        if not wanted:
            return enabled
        narrowed = {canonical(symbol) for symbol in wanted}
        return [symbol for symbol in enabled if symbol in narrowed]

    async def quality(self, symbol: str, interval: Interval) -> QualityReport:
        """Return what the checks find in the newest candles; raises `UnknownSymbol`, `NoCandles`."""
        listing = await self._directory.listing(symbol)
        now = self._clock()
        rows = await self._store.window(listing.symbol, interval, None, now + 10 * interval.delta, MAX_CANDLES)
        aside = await self._catalogue.quarantined(listing.symbol, interval)
        if not rows.num_rows and not aside:
            raise NoCandles(f"{listing.symbol} has no {interval} candles")
        return await asyncio.to_thread(quality_report, listing, interval, rows, aside, now)

    async def ingest(self, interval: Interval, rows: pa.Table) -> IngestReport:
        """Upsert rows with `SYMBOL_CANDLE_SCHEMA`; idempotent.

        Refused rows are kept aside with the reason; a symbol never seen before becomes a managed one. Raises
        `InvalidRequest` or `DatabaseUnavailable`.
        """
        admission = await asyncio.to_thread(admit, rows, self._clock())
        for symbol, refused in admission.refused.items():
            await self._catalogue.quarantine(symbol, interval, refused)
        unseen = [symbol for symbol in admission.symbols if await self._is_unseen(symbol)]
        for symbol in unseen:
            # Before the rows: cut off in between, a symbol without candles is harmless, the other way round it stays
            # unmanaged for ever.
            await self._manage_unseen(symbol, interval)
        done = await self._store.upsert(interval, admission.good)
        self._cache.expire(admission.symbols)
        aside = rows.num_rows - admission.good.num_rows
        return IngestReport(rows.num_rows, done.inserted, done.changed, done.unchanged, aside)

    async def _is_unseen(self, symbol: str) -> bool:
        return await self._directory.find(symbol) is None and not await self._store.holds(symbol)

    async def _manage_unseen(self, symbol: str, interval: Interval) -> None:
        try:
            await self.create_symbol(replace(guess_draft(symbol), interval=interval))
            log.info("symbol added by its candles", symbol=symbol, interval=interval.value)
        except SymbolExists:
            return  # another replica was told the same

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

    async def update_symbol(self, draft: SymbolDraft, seen_updated_at: datetime | None = None) -> ManagedSymbol:
        """Replace a managed symbol; raises `InvalidRequest`, `UnknownSymbol` or `PreconditionFailed`."""
        updated = await self._catalogue.replace(validated(draft), self._clock(), seen_updated_at)
        self._forget_lists()
        return updated

    async def delete_symbol(self, symbol: str) -> None:
        """Stop managing a symbol; its candles stay. Raises `UnknownSymbol`."""
        await self._catalogue.remove(canonical(symbol))
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
        if entries:
            await self._catalogue.log_queries(entries)

    async def query_logs(
        self,
        limit: int = 100,
        endpoint: str | None = None,
        min_duration_ms: float | None = None,
        since: datetime | None = None,
    ) -> tuple[QueryLogEntry, ...]:
        """Return served requests, newest first."""
        if not 1 <= limit <= LOG_ENTRIES:
            raise _invalid("limit", f"must lie between 1 and {LOG_ENTRIES:,}")
        return await self._catalogue.queries(limit, endpoint or "", min_duration_ms or 0.0, since)


def _invalid(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {reason}", ((field, reason),))
