"""The candles that a stack starts with or is given later: from files, or from the market's own past."""

import asyncio
from collections.abc import Sequence
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
from deployments.market_data.easyinsight.source import EasyInsightSource
from deployments.market_data.ingest.filling import Wish, total_of
from deployments.market_data.ingest.history import by_symbol, import_history
from deployments.market_data.ingest.importing import (
    ImportProgress,
    OnProgress,
    import_table,
    interval_of,
    preview,
    read_file,
)
from deployments.market_data.models import IngestReport, Interval

HISTORY = timedelta(days=540)
SOURCE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class History:
    """What to bring in: `table` with `SYMBOL_CANDLE_SCHEMA` from a file, or nothing but the market's own past."""

    table: pa.Table | None
    interval: Interval

    @classmethod
    def open(cls, data: Path | None, interval: Interval | None = None) -> "History":
        """Read and check the file before anything starts; raises `StackError` naming file, row and column."""
        if data is None:
            return cls(None, Interval.H1)
        try:
            table = read_file(data)
            return cls(table, interval_of(table, interval))
        except CandlecastError as error:
            raise StackError(str(error)) from error

    def bring_in(self, market_url: str, steps: Steps) -> None:
        """Put the candles into MarketData by handle; idempotent, and one that was cut off goes on where it ended."""
        if self.table is not None:
            with steps.step("History", f"{self.table.num_rows:,} candles") as step:
                report = asyncio.run(self._from_file(step))
                step.update(1, 1, summary(report))
        elif market_url:
            with steps.step("History", market_url) as step:
                report = asyncio.run(self._from_market(market_url, step))
                step.update(1, 1, summary(report))

    def preview(self, steps: Steps) -> None:
        """Say for each symbol what bringing in the file would change; changes nothing."""
        client = MarketDataClient(deployment_handle("MarketData"))
        for line in by_symbol(asyncio.run(preview(self.table, self.interval, client))):
            steps.note(line)

    async def _from_file(self, step: Step) -> IngestReport:
        client = MarketDataClient(deployment_handle("MarketData"))
        return await import_table(self.table, self.interval, client, shown_on(step))

    async def _from_market(self, url: str, step: Step) -> IngestReport:
        client = MarketDataClient(deployment_handle("MarketData"))
        source = EasyInsightSource(url, SOURCE_TIMEOUT_S)
        try:
            symbols = await manage_all(source, client)
            now = utc_now()
            wish = Wish(self.interval, now, now - HISTORY)
            return total_of((await import_history(source, client, symbols, wish, shown_on(step))).values())
        finally:
            await source.aclose()


def bring_in_history(url: str, symbols: Sequence[str], wish: Wish, steps: Steps) -> None:
    """Fill the history of symbols, of every enabled one where none is named, and say for each what that did.

    Raises `StackError` where the stack reads no market.
    """
    if not url:
        raise StackError("this stack reads no market: set EASYINSIGHT_API_URL before `candlecast up`")

    async def run(step: Step) -> dict[str, IngestReport]:
        client = MarketDataClient(deployment_handle("MarketData"))
        source = EasyInsightSource(url, SOURCE_TIMEOUT_S)
        try:
            return await import_history(source, client, symbols, wish, shown_on(step))
        finally:
            await source.aclose()

    with steps.step("History", url) as step:
        reports = asyncio.run(run(step))
        step.update(1, 1, summary(total_of(reports.values())))
    for line in by_symbol(reports):
        steps.note(line)


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
