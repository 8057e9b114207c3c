"""Which symbols there are: managed ones by every name they have, and those that only the database knows."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from deployments.common.errors import DatabaseUnavailable, UnknownSymbol, UpstreamTimeout
from deployments.market_data.calendars.calendar import Calendar, calendar_named
from deployments.market_data.models import ManagedSymbol
from deployments.market_data.symbols.names import canonical, guess_draft, keys_of

BELIEVED_S = 1.0
"""How long the list is believed: a change made through another replica shows after this long."""

PATIENCE_S = 2.0
"""How long a read waits for the list before it goes on with what memory knows of the symbol."""


class SymbolList(Protocol):
    """Where managed symbols are kept."""

    async def symbols(self) -> tuple[ManagedSymbol, ...]: ...


class HeldSymbols(Protocol):
    """Who knows whether there are candles of a symbol."""

    async def holds(self, symbol: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Listing:
    """What a read needs to know of a symbol; `managed` is None for one that only has candles."""

    symbol: str
    calendar: Calendar
    managed: ManagedSymbol | None


class SymbolDirectory:
    """Find symbols by name or alias, from a list at most a second old."""

    def __init__(
        self, catalogue: SymbolList, store: HeldSymbols, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalogue = catalogue
        self._store = store
        self._monotonic = monotonic
        self._symbols: tuple[ManagedSymbol, ...] = ()
        self._by_key: Mapping[str, ManagedSymbol] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def managed(self) -> tuple[ManagedSymbol, ...]:
        """Return every managed symbol, ascending; raises `DatabaseUnavailable`."""
        await self._refresh()
        return self._symbols

    async def find(self, name: str) -> ManagedSymbol | None:
        """Return the managed symbol of a name or an alias."""
        await self._refresh()
        return self._by_key.get(canonical(name))

    async def aliases(self) -> Mapping[str, str]:
        """Return the managed symbol of every canonical name that is an alias; raises `DatabaseUnavailable`."""
        await self._refresh()
        return {key: symbol.symbol for key, symbol in self._by_key.items() if key != symbol.symbol}

    async def listing(self, name: str) -> Listing:
        """Return what is known of a symbol, while the database is away from memory or, failing that, by its name.

        Raises `UnknownSymbol` where it is neither managed nor in the database.
        """
        symbol = canonical(name)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._refresh()
                if symbol not in self._by_key and not await self._store.holds(symbol):
                    raise UnknownSymbol(f"{symbol} is neither managed nor in the database")
        except (DatabaseUnavailable, UpstreamTimeout, TimeoutError):
            pass  # the read that follows says so, or another source answers it
        managed = self._by_key.get(symbol)
        if managed is not None:
            return Listing(managed.symbol, calendar_named(managed.calendar), managed)
        return Listing(symbol, calendar_named(guess_draft(symbol).calendar), None)

    def expire(self) -> None:
        """Have the list read again before it is next used."""
        self._read_at = float("-inf")

    async def _refresh(self) -> None:
        async with self._reading:
            now = self._monotonic()
            if now - self._read_at <= BELIEVED_S:
                return
            self._symbols = await self._catalogue.symbols()
            self._by_key = {key: symbol for symbol in self._symbols for key in keys_of(symbol)}
            self._read_at = now
