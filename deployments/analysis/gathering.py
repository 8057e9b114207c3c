"""Ask every source for what an analysis needs, all at once; only candles are indispensable."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from deployments.analysis.findings import Findings
from deployments.analysis.models import AnalysisRequest
from deployments.common.errors import CandlecastError
from deployments.common.telemetry import logger
from deployments.forecasting.models import Forecast, ForecastRequest
from deployments.knowledge.models import AnalogueQuery, Analogues, SearchAnswer, SearchQuery
from deployments.market_data.findings import QualityReport
from deployments.market_data.models import MAX_CANDLES, CandleQuery, Candles, Interval, LatestCandle

log = logger(__name__)
T = TypeVar("T")

LOOKBACK = timedelta(days=35)
"""Covers the window of 30 days with a long weekend before it."""
_LOOKBACK_BARS = 240
"""Covers the longest indicator and its warm-up for long bars, market holidays included."""
PASSAGES = 5


class MarketData(Protocol):
    """Market data as an analysis reads them."""

    async def candles(self, query: CandleQuery) -> Candles: ...

    async def latest(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> LatestCandle: ...

    async def quality(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> QualityReport: ...


class Forecaster(Protocol):
    """Forecasts as an analysis reads them."""

    async def forecast(self, request: ForecastRequest) -> Forecast: ...


class Knowledge(Protocol):
    """Knowledge as an analysis reads it."""

    async def search(self, query: SearchQuery) -> SearchAnswer: ...

    async def analogues(self, query: AnalogueQuery) -> Analogues: ...


class Gatherer:
    """Gather the findings behind one analysis from the three contexts before this one."""

    def __init__(self, market_data: MarketData, forecaster: Forecaster, knowledge: Knowledge) -> None:
        self._market_data = market_data
        self._forecaster = forecaster
        self._knowledge = knowledge

    async def gather(self, request: AnalysisRequest) -> Findings:
        """Return what the sources say, and for each that failed the reason.

        Raises what reading the candles raises: `UnknownSymbol`, `NoCandles`, `Unavailable`, `UpstreamTimeout`.
        """
        missing: dict[str, str] = {}
        symbol, interval, as_of = request.symbol, request.interval, request.as_of
        others = asyncio.gather(
            _or_reason("latest", lambda: self._market_data.latest(symbol, interval, as_of), missing),
            _or_reason("quality", lambda: self._market_data.quality(symbol, interval, as_of), missing),
            _or_reason("forecast", lambda: self._forecaster.forecast(_forecast_request(request)), missing),
            _or_reason("analogues", lambda: self._knowledge.analogues(_analogue_query(request)), missing),
            _or_reason("passages", lambda: self._knowledge.search(_search_query(request)), missing),
        )
        try:
            candles = await self._market_data.candles(_candle_query(request))
            latest, quality, forecast, analogues, search = await others
        except BaseException:
            others.cancel()
            # Waited for, so that no cancelled call outlives the one that asked for it.
            await asyncio.wait([others])
            with suppress(asyncio.CancelledError):
                others.result()
            raise
        return Findings(candles, latest, quality, forecast, analogues, search, missing)

    async def candles(self, query: CandleQuery) -> Candles:
        """Return candles, for scoring later what was said."""
        return await self._market_data.candles(query)


def _candle_query(request: AnalysisRequest) -> CandleQuery:
    # The newest bars, not a window before now: data that ended long ago are explained too, and called stale.
    bars = min(max(LOOKBACK // request.interval.delta, _LOOKBACK_BARS), MAX_CANDLES)
    return CandleQuery(request.symbol, request.interval, limit=bars, as_of=request.as_of)


def _forecast_request(request: AnalysisRequest) -> ForecastRequest:
    return ForecastRequest(request.symbol, request.interval, request.horizon, as_of=request.as_of)


def _analogue_query(request: AnalysisRequest) -> AnalogueQuery:
    return AnalogueQuery(request.symbol, request.interval, horizon=request.horizon, as_of=request.as_of)


def _search_query(request: AnalysisRequest) -> SearchQuery:
    question = request.question.strip() or f"{request.symbol} largest recent moves and volatility"
    return SearchQuery(question, symbol=request.symbol, k=PASSAGES, as_of=request.as_of)


async def _or_reason(source: str, ask: Callable[[], Awaitable[T]], missing: dict[str, str]) -> T | None:
    """Ask for what an analysis can do without; nothing is asked before this runs."""
    try:
        return await ask()
    except CandlecastError as error:
        missing[source] = str(error)
    except Exception as error:  # a bug elsewhere costs a paragraph here, not the analysis
        log.error("source failed", exc_info=error, source=source)
        missing[source] = "internal error"
    return None
