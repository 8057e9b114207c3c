"""What a symbol is: its canonical name and calendar, as managed or as guessed from its name."""

from datetime import datetime, timedelta
from typing import Protocol

from deployments.common.clock import Clock
from deployments.common.errors import CandlecastError
from deployments.forecasting.serving.ladder import LeastRecent
from deployments.market_data.models import ManagedSymbol, SymbolDraft
from deployments.market_data.symbols.names import guess_draft

FRESH_FOR = timedelta(minutes=1)
REMEMBERED = 5_000


class SymbolReader(Protocol):
    """Whoever knows the managed symbols."""

    async def managed_symbol(self, symbol: str) -> ManagedSymbol: ...


class Listings:
    """Look symbols up, remembering the answers for a minute."""

    def __init__(self, market: SymbolReader, clock: Clock) -> None:
        self._market = market
        self._clock = clock
        self._known: LeastRecent[str, tuple[datetime, SymbolDraft]] = LeastRecent(REMEMBERED)

    async def listing(self, symbol: str) -> SymbolDraft:
        """Return the symbol by its name or an alias; raises `InvalidRequest` for what is no name at all."""
        now = self._clock()
        held = self._known.get(symbol)
        if held and held[0] > now - FRESH_FOR:
            return held[1]
        listing = await self._read(symbol)
        self._known.put(symbol, (now, listing))
        return listing

    async def _read(self, symbol: str) -> SymbolDraft:
        try:
            return await self._market.managed_symbol(symbol)
        except CandlecastError:
            # Unmanaged, or the catalogue is away while candles still come: a forecast need not fail for its calendar.
            return guess_draft(symbol)
