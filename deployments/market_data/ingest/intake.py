"""Candles on their way in: judged, their symbols made known, then stored, or only told what that would do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from deployments.common.clock import Clock
from deployments.common.errors import SymbolExists
from deployments.common.telemetry import logger
from deployments.market_data.findings import QuarantinedRow
from deployments.market_data.ingest.admission import admit
from deployments.market_data.models import IngestReport, Interval, ManagedSymbol, SymbolDraft
from deployments.market_data.stores import CandleStore, Catalogue
from deployments.market_data.symbols.directory import SymbolDirectory
from deployments.market_data.symbols.names import guess_draft

log = logger(__name__)

Create = Callable[[SymbolDraft], Awaitable[ManagedSymbol]]


class Intake:
    """Store candles; `create` manages a symbol, `on_stored` is told which rows were stored."""

    def __init__(
        self,
        store: CandleStore,
        catalogue: Catalogue,
        directory: SymbolDirectory,
        create: Create,
        on_stored: Callable[[Interval, pa.Table], None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._directory = directory
        self._create = create
        self._on_stored = on_stored
        self._clock = clock

    async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool) -> IngestReport:
        """Upsert rows with `SYMBOL_CANDLE_SCHEMA`, or with `dry_run` say what that would do; see the service."""
        admission = await asyncio.to_thread(admit, rows, interval, self._clock(), await self._directory.aliases())
        if not dry_run:
            await self._keep_aside(interval, admission.refused)
            for symbol in admission.symbols:
                # Before the rows: cut off in between, a symbol without candles is harmless, the other way round it
                # stays unmanaged for ever.
                await self._manage_unseen(symbol, interval)
        done = await self._store.upsert(interval, admission.good, dry_run)
        if not dry_run:
            self._on_stored(interval, admission.good)
        aside = rows.num_rows - admission.good.num_rows
        return IngestReport(rows.num_rows, done.inserted, done.changed, done.unchanged, aside)

    async def _keep_aside(self, interval: Interval, refused: Mapping[str, Sequence[QuarantinedRow]]) -> None:
        for symbol, rows in refused.items():
            await self._catalogue.quarantine(symbol, interval, rows)

    async def _manage_unseen(self, symbol: str, interval: Interval) -> None:
        if await self._directory.find(symbol) is not None or await self._store.holds(symbol):
            return
        try:
            await self._create(replace(guess_draft(symbol), interval=interval))
            log.info("symbol added by its candles", symbol=symbol, interval=interval.value)
        except SymbolExists:
            return  # another replica was told the same
