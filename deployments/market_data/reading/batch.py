"""Candles of many symbols in one answer."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from deployments.common.clock import Clock
from deployments.common.errors import CandlecastError, InvalidRequest
from deployments.market_data.calendars.windows import Window, window_of
from deployments.market_data.models import CandleQuery, Candles
from deployments.market_data.reading.reader import CandleReader, FailedWarming
from deployments.market_data.symbols.directory import Listing, SymbolDirectory

BATCH_SYMBOLS = 50

BATCH_ROWS = 500_000
"""Candles that all symbols of an answer may have together: 24 MB of columns."""

_AT_ONCE = 8


class BatchReader:
    """Read what many symbols have in common once, then give each symbol the answer that it would get alone."""

    def __init__(self, directory: SymbolDirectory, reader: CandleReader, clock: Clock) -> None:
        self._directory = directory
        self._reader = reader
        self._clock = clock

    async def read(self, symbols: Sequence[str], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        """Return for each symbol, as spelled by the caller, its candles or the error in their place.

        Raises `InvalidRequest` where symbols or candles are too many.
        """
        if len(symbols) > BATCH_SYMBOLS:
            raise _invalid(f"may be at most {BATCH_SYMBOLS}")
        began_at = time.monotonic()
        names = tuple(dict.fromkeys(symbols))
        listings = dict(zip(names, await asyncio.gather(*map(self._listing, names)), strict=True))
        known = {name: listing for name, listing in listings.items() if isinstance(listing, Listing)}
        failed = await self._reader.warm(query.interval, self._windows(list(known.values()), query), began_at)
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> Candles | CandlecastError:
            listing = listings[name]
            if not isinstance(listing, Listing):
                return listing
            async with free:
                return await self._read(listing, query, failed)

        return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))

    async def _listing(self, name: str) -> Listing | CandlecastError:
        try:
            return await self._directory.listing(name)
        except CandlecastError as error:
            return error

    async def _read(
        self, listing: Listing, query: CandleQuery, failed: FailedWarming | None
    ) -> Candles | CandlecastError:
        try:
            return await self._reader.read(listing, replace(query, symbol=listing.symbol), failed)
        except CandlecastError as error:
            return error

    def _windows(self, listings: Sequence[Listing], query: CandleQuery) -> list[tuple[Listing, Window]]:
        """Return each symbol's window; a query that is wrong for all symbols is told by each of them."""
        now = self._clock()
        try:
            windows = [(listing, window_of(query, listing.calendar, now)) for listing in listings]
        except InvalidRequest:
            return []
        rows = sum(window.at_most(listing.calendar) for listing, window in windows)
        if rows > BATCH_ROWS:
            raise _invalid(
                f"ask for {rows:,} candles together, more than {BATCH_ROWS:,}: name fewer, or a shorter window"
            )
        return windows


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest(f"symbols {reason}", (("symbols", reason),))
