"""The feed: carry new closed bars from EasyInsight into the database, over and over."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import pyarrow as pa

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, UnknownSymbol
from deployments.common.telemetry import logger
from deployments.market_data.ingest.importing import (
    NOTHING,
    CandleSink,
    HistorySource,
    add,
    closed_rows,
    import_table,
    pages,
)
from deployments.market_data.models import (
    SYMBOL_CANDLE_SCHEMA,
    Coverage,
    IngestReport,
    Interval,
    ManagedSymbol,
    SymbolFilter,
    SymbolPage,
    SymbolStatus,
)

log = logger(__name__)

OVERLAP_BARS = 3
"""Bars read again each time: sources correct their newest bars once late trades are in."""

DEEP_BARS = 500
DEEP_S = 3_600.0
"""How many bars are read again each hour, and once a feed starts: late bars and corrections further back."""

FIRST_FILL = timedelta(days=90)
"""History fetched for a managed symbol that has none."""

SeriesKey = tuple[str, Interval]
CONCURRENCY = 4
LONGEST_PAUSE_S = 300.0


class FeedMarket(CandleSink, Protocol):
    """What the feed asks of market data."""

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage: ...

    async def coverage(self, symbol: str, interval: Interval, with_gaps: bool = False) -> Coverage: ...


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """What the feed did last: `missing` symbols are not listed by the source, `failing` ones could not be read.

    `last_error` is the first of the last poll; `last_success` the last poll that brought an answer for any symbol.
    """

    polls: int = 0
    symbols: int = 0
    last_poll: datetime | None = None
    last_success: datetime | None = None
    last_error: str = ""
    missing: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    last_report: IngestReport = NOTHING
    total: IngestReport = NOTHING


class Feed:
    """Poll `source` for new bars of the enabled managed symbols of `market` and upsert those that are closed."""

    def __init__(self, source: HistorySource, market: FeedMarket, clock: Clock = utc_now) -> None:
        self._source = source
        self._market = market
        self._clock = clock
        self._status = FeedStatus()
        self._stored_until: dict[SeriesKey, datetime] = {}
        self._deeply_read: dict[SeriesKey, datetime] = {}

    def status(self) -> FeedStatus:
        """Return what the feed did last."""
        return self._status

    async def poll_once(self) -> IngestReport:
        """Carry over what is new and return what that did.

        A symbol that fails does not hold up the others and is named in the status; an error is raised where all fail.
        """
        now = self._clock()
        symbols = await self._enabled_symbols()
        gate = asyncio.Semaphore(CONCURRENCY)
        answers = await asyncio.gather(*(self._fetch(symbol, now, gate) for symbol in symbols), return_exceptions=True)
        tables: dict[Interval, list[pa.Table]] = {}
        for symbol, answer in zip(symbols, answers, strict=True):
            if isinstance(answer, pa.Table) and answer.num_rows:
                tables.setdefault(symbol.interval, []).append(answer)
        report = await self._store(tables)
        self._note(now, symbols, answers, report)
        return report

    async def run(self, interval_s: float, stop: asyncio.Event) -> None:
        """Poll every `interval_s` seconds until `stop` is set; after errors less and less often.

        Errors end neither the loop nor the feed; the log has one line when trouble starts, changes or is over.
        """
        trouble, failures = "", 0
        while not stop.is_set():
            error = await self._poll_quietly()
            failures = failures + 1 if error else 0
            kind = type(error).__name__ if error else ""
            if kind != trouble:
                _log_change(error)
                trouble = kind
            await _pause(pause_s(interval_s, failures), stop)

    async def _poll_quietly(self) -> Exception | None:
        try:
            await self.poll_once()
        except Exception as error:
            # Not only errors of ours: a feed that ends over a surprise goes unnoticed until the data are stale.
            self._status = replace(self._status, last_poll=self._clock(), last_error=str(error) or type(error).__name__)
            # After trouble the database says again where to go on, and what was read may not have been stored.
            self._stored_until.clear()
            self._deeply_read.clear()
            return error
        return None

    async def _enabled_symbols(self) -> list[ManagedSymbol]:
        wanted = SymbolFilter(status=SymbolStatus.ACTIVE, limit=500)
        page = await self._market.managed_symbols(wanted)
        symbols = list(page.symbols)
        while page.next_cursor is not None:
            page = await self._market.managed_symbols(replace(wanted, cursor=page.next_cursor))
            symbols += page.symbols
        return [symbol for symbol in symbols if symbol.enabled]

    async def _fetch(self, symbol: ManagedSymbol, now: datetime, gate: asyncio.Semaphore) -> pa.Table:
        """Return a symbol's closed bars from its last stored one on, a few older ones included."""
        key = (symbol.symbol, symbol.interval)
        async with gate:
            is_deep = self._is_deep_due(key, now)
            parts = [
                closed_rows(symbol.symbol, await self._source.candles(*key, *page), symbol.interval, now)
                for page in pages(await self._start(key, now, is_deep), now, symbol.interval)
            ]
        if is_deep:
            self._deeply_read[key] = now
        return pa.concat_tables([SYMBOL_CANDLE_SCHEMA.empty_table(), *parts])

    def _is_deep_due(self, key: SeriesKey, now: datetime) -> bool:
        before = self._deeply_read.get(key)
        return before is None or abs((now - before).total_seconds()) >= DEEP_S  # the clock may have been set back

    async def _start(self, key: SeriesKey, now: datetime, is_deep: bool) -> datetime:
        """Return where to read from: before the last stored bar, or the beginning of the first fill."""
        if key not in self._stored_until:
            newest = (await self._market.coverage(*key)).last_time
            if newest is None:
                return now - FIRST_FILL
            self._stored_until[key] = newest
        overlap = DEEP_BARS if is_deep else OVERLAP_BARS
        return self._stored_until[key] - (overlap - 1) * key[1].delta

    async def _store(self, tables: dict[Interval, list[pa.Table]]) -> IngestReport:
        report = NOTHING
        for interval, parts in tables.items():
            table = pa.concat_tables(parts).sort_by([("time", "ascending"), ("symbol", "ascending")])
            # One after the other: the next poll goes on from the newest stored bar and takes all before it for stored.
            report = add(report, await import_table(table, interval, self._market, in_flight=1))
            for row in table.group_by("symbol").aggregate([("time", "max")]).to_pylist():
                self._stored_until[row["symbol"], interval] = row["time_max"]
        return report

    def _note(
        self,
        now: datetime,
        symbols: Sequence[ManagedSymbol],
        answers: Sequence[pa.Table | BaseException],
        report: IngestReport,
    ) -> None:
        """Remember the poll; where no symbol at all was answered, raise the first error."""
        answered = dict(zip((symbol.symbol for symbol in symbols), answers, strict=True))
        missing = tuple(name for name, answer in answered.items() if isinstance(answer, UnknownSymbol))
        errors = {n: a for n, a in answered.items() if isinstance(a, BaseException) and n not in missing}
        first = next(iter(errors.values()), None)
        nothing_came = first is not None and len(errors) + len(missing) == len(symbols)
        self._log_symbols(missing, tuple(errors), first)
        self._status = FeedStatus(
            polls=self._status.polls + 1,
            symbols=len(symbols),
            last_poll=now,
            last_success=self._status.last_success if nothing_came else now,
            last_error=str(first) if first else "",
            missing=missing,
            failing=tuple(errors),
            last_report=report,
            total=add(self._status.total, report),
        )
        if first is not None and nothing_came:
            raise first

    def _log_symbols(self, missing: tuple[str, ...], failing: tuple[str, ...], error: BaseException | None) -> None:
        if missing != self._status.missing:
            log.info("symbols that easyinsight does not list", symbols=",".join(missing) or "none")
        if failing != self._status.failing:
            log.warning("symbols that cannot be fed", symbols=",".join(failing) or "none", reason=str(error or ""))


def pause_s(interval_s: float, failures: int) -> float:
    """Return the seconds until the next poll: the interval, doubled by each failure up to five minutes."""
    return min(interval_s * 2.0 ** min(failures, 10), max(LONGEST_PAUSE_S, interval_s))


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def _log_change(error: Exception | None) -> None:
    if error is None:
        log.info("feed works again")
    elif isinstance(error, CandlecastError):
        log.warning("feed cannot go on for now", reason=str(error))
    else:
        log.error("feed hit a bug", exc_info=error)
