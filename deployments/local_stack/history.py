"""The candles that a stack starts with: a file of the user's, or the market's own past."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from deployments.common.clock import utc_now
from deployments.common.errors import CandlecastError, SymbolExists
from deployments.local_stack.errors import StackError
from deployments.local_stack.progress import Step, Steps
from deployments.local_stack.ray_head import deployment_handle
from deployments.market_data.client import MarketDataClient
from deployments.market_data.easyinsight import EasyInsightSource
from deployments.market_data.importing import (
    ImportProgress,
    OnProgress,
    import_history,
    import_table,
    infer_interval,
    read_file,
)
from deployments.market_data.models import IngestReport, Interval

HISTORY = timedelta(days=540)
SOURCE_TIMEOUT_S = 20.0
OVERLAP_BARS = 3


@dataclass(frozen=True, slots=True)
class History:
    """What to bring in: `table` with `SYMBOL_CANDLE_SCHEMA` from a file, or nothing but the market's own past."""

    table: pa.Table | None
    interval: Interval

    @classmethod
    def open(cls, data: Path | None) -> "History":
        """Read and check the file before anything starts; raises `StackError` naming file, row and column."""
        if data is None:
            return cls(None, Interval.H1)
        try:
            table = read_file(data)
            return cls(table, infer_interval(table))
        except CandlecastError as error:
            raise StackError(str(error)) from error

    def bring_in(self, market_url: str, steps: Steps, is_continued: bool = False) -> None:
        """Put the candles into MarketData by handle; idempotent.

        `is_continued` says that an earlier import from the market came to its end, so that only what is new is read.
        The newest stored bar alone does not: the feed stores recent bars while older ones are still on their way.
        """
        if self.table is not None:
            with steps.step("History", f"{self.table.num_rows:,} candles") as step:
                report = asyncio.run(self._from_file(step))
                step.update(1, 1, summary(report))
        elif market_url:
            with steps.step("History", market_url) as step:
                report = asyncio.run(self._from_market(market_url, step, is_continued))
                step.update(1, 1, summary(report))

    async def _from_file(self, step: Step) -> IngestReport:
        client = MarketDataClient(deployment_handle("MarketData"))
        return await import_table(self.table, self.interval, client, shown_on(step))

    async def _from_market(self, url: str, step: Step, is_continued: bool) -> IngestReport:
        client = MarketDataClient(deployment_handle("MarketData"))
        source = EasyInsightSource(url, SOURCE_TIMEOUT_S)
        try:
            symbols = await manage_all(source, client)
            now = utc_now()
            found = await client.discovered_symbols() if is_continued else ()
            known = {each.symbol: each.last_time for each in found}
            oldest = [known.get(symbol) or now - HISTORY for symbol in symbols]
            start = min(oldest, default=now) - OVERLAP_BARS * self.interval.delta
            return await import_history(source, client, symbols, self.interval, start, now, shown_on(step))
        finally:
            await source.aclose()


async def manage_all(source: EasyInsightSource, client: MarketDataClient) -> tuple[str, ...]:
    """Manage every symbol that the market offers, as it describes them, and return their names."""
    drafts = await source.drafts()
    for draft in drafts:
        try:
            await client.create_symbol(draft)
        except SymbolExists:
            continue
    return tuple(draft.symbol for draft in drafts)


def shown_on(step: Step) -> OnProgress:
    """Return a callback that moves a step's bar with an import."""

    def show(progress: ImportProgress) -> None:
        step.update(progress.done, progress.total, f"{progress.report.received:,} candles")

    return show


def summary(report: IngestReport) -> str:
    """Return one line about an import."""
    parts = [f"{report.received:,} candles", f"{report.inserted:,} new"]
    parts += [f"{report.changed:,} changed"] if report.changed else []
    parts += [f"{report.quarantined:,} quarantined"] if report.quarantined else []
    return ", ".join(parts)
