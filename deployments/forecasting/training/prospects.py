"""What can be known of a training before a job starts: that its symbols exist, and that their bars may be enough."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from deployments.common.errors import CandlecastError, NoCandles, TooLittleHistory, UnknownSymbol
from deployments.common.telemetry import logger
from deployments.forecasting.models import TrainingRequest
from deployments.forecasting.series.bars import LEAST_PRESENT
from deployments.forecasting.series.panel import MIN_WINDOWS
from deployments.forecasting.training.data import NO_SYMBOL, enabled_symbols
from deployments.market_data.models import CandleQuery, Candles, Interval, SymbolFilter, SymbolPage

log = logger(__name__)

SYMBOLS_AT_ONCE = 50

WITHIN_S = 8.0
"""Time for market data to answer; what it does not say by then is no reason to refuse."""

_SHORTEST_SPAN = 10
"""One in so many bars lies in each of the last three spans (`panel.SHARES`)."""

Answers = dict[str, Candles | CandlecastError]


class MarketData(Protocol):
    """Whoever knows the symbols and their candles."""

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage: ...

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> Answers: ...


async def check_prospects(market: MarketData, request: TrainingRequest, within_s: float = WITHIN_S) -> None:
    """Refuse a training that cannot come to anything; says nothing where market data does not answer.

    Raises `UnknownSymbol` naming every symbol that nobody knows, and `TooLittleHistory` where all bars together are too
    few for the shortest span. Enough bars are no promise: how they lie in time is seen only with all of them.
    """
    try:
        async with asyncio.timeout(within_s):
            await _check(market, request)
    except (UnknownSymbol, TooLittleHistory):
        raise
    except (CandlecastError, TimeoutError) as error:
        log.warning("training not looked at before it starts", reason=type(error).__name__)


def least_bars(horizon: int, symbols: int) -> int:
    """Return how many bars of all symbols no training can do without.

    The test span, a tenth of them, has to hold `MIN_WINDOWS` windows. A horizon before it is embargoed and another one
    lies behind the last origin; of symbols that share their instants one cut may take a bar each.
    """
    return _SHORTEST_SPAN * max(MIN_WINDOWS + 2 * horizon - 2 - symbols, 1)


def most_bars(interval: Interval, lookback_days: int | None, symbols: int) -> float:
    """Return how many bars a lookback can hold at most, infinity without one."""
    return (
        float("inf") if lookback_days is None else (86_400 * lookback_days / interval.delta.total_seconds()) * symbols
    )


async def _check(market: MarketData, request: TrainingRequest) -> None:
    symbols = request.symbols or await enabled_symbols(market)
    if not symbols:
        raise TooLittleHistory(NO_SYMBOL, 0, 1)
    need, most = least_bars(request.horizon, len(symbols)), most_bars(request.interval, request.lookback_days, 1)
    unknown, have = [], 0.0
    for start in range(0, len(symbols), SYMBOLS_AT_ONCE):
        if have >= need and not request.symbols:
            return  # every enabled symbol is known
        # Counting ends with enough: of the other symbols one bar says that they are there.
        limit = 1 if have >= need else int(min(need, max(most, 1)))
        answers = await market.candles_batch(
            tuple(symbols[start : start + SYMBOLS_AT_ONCE]), CandleQuery("", request.interval, limit=limit)
        )
        unknown += [symbol for symbol, answer in answers.items() if isinstance(answer, UnknownSymbol)]
        have += sum(_bars(answer) for answer in answers.values())
    if unknown:
        raise UnknownSymbol(f"neither managed nor in the database: {', '.join(unknown)}")
    _check_bars(request, symbols, have, need)


def _bars(answer: Candles | CandlecastError) -> float:
    if isinstance(answer, CandlecastError):
        # Of a symbol that could not be read nobody knows how many it has.
        return 0.0 if isinstance(answer, NoCandles | UnknownSymbol) else float("inf")
    # Missing bars have their place in a span as well.
    return float(answer.table.num_rows) / LEAST_PRESENT


def _check_bars(request: TrainingRequest, symbols: Sequence[str], have: float, need: int) -> None:
    if have >= need:
        return
    bars = round(have * LEAST_PRESENT)
    days = f" of the last {request.lookback_days} days" if request.lookback_days else ""
    raise TooLittleHistory(
        f"{len(symbols)} symbols have {bars:,} {request.interval} bars{days} together; to forecast {request.horizon} "
        f"steps at least {need:,} are needed",
        bars,
        need,
    )
