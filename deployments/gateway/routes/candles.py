"""Candles and their quality."""

import asyncio
from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from starlette.responses import Response

from deployments.common.errors import CandlecastError
from deployments.gateway.models import Scope
from deployments.gateway.parameters import (
    AsOf,
    CandleLimit,
    Instant,
    LookbackDays,
    SymbolPath,
    Symbols,
    symbols_of,
)
from deployments.gateway.parts import PartsGiven, ServicesGiven
from deployments.gateway.routes.routing import router
from deployments.gateway.wire.answers import CandleBatchAnswer, CandlesAnswer, batch_body, json_answer
from deployments.gateway.wire.candle_answers import WantedCandles
from deployments.gateway.wire.candle_formats import (
    ARROW_TYPE,
    CSV_TYPE,
    JSON_TYPE,
    Layout,
    candles_body,
    chosen_type,
)
from deployments.gateway.wire.encoding import to_json
from deployments.gateway.wire.shortcut import kept_response
from deployments.gateway.wire.tags import tag_of_content
from deployments.market_data.findings import QualityReport
from deployments.market_data.models import CandleQuery, Candles, Interval, LatestCandle

read = router("candles", Scope.READ)


async def window(
    interval: Interval = Interval.H1,
    lookback_days: LookbackDays = None,
    start: Instant | None = None,
    end: Instant | None = None,
    limit: CandleLimit = None,
    as_of: AsOf = None,
    include_open: bool = False,
) -> CandleQuery:
    """Return the window that the query asks for, of a symbol yet to be named."""
    return CandleQuery("", interval, start, end, lookback_days, limit, as_of, include_open)


Window = Annotated[CandleQuery, Depends(window)]
Format = Annotated[Layout, Query(alias="format")]


@read.get("/data/batch", response_model=CandleBatchAnswer)
async def candle_batch(
    request: Request, services: ServicesGiven, symbols: Symbols, query: Window, layout: Format = Layout.ROWS
) -> Response:
    """Return the candles of up to 50 symbols; what one of them lacks stands under `errors`."""
    names, malformed = symbols_of(symbols)
    found = await services.market_data.candles_batch(names, query) if names else {}
    body, tag = await asyncio.to_thread(_batch, request, found, malformed, layout)
    return Response(body, headers={"ETag": tag}, media_type=JSON_TYPE)


@read.get(
    "/data/{symbol}",
    response_model=CandlesAnswer,
    responses={200: {"content": {ARROW_TYPE: {}, CSV_TYPE: {}}}},
)
async def candles(
    request: Request,
    symbol: SymbolPath,
    parts: PartsGiven,
    query: Window,
    layout: Format = Layout.ROWS,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Return candles, ascending: JSON, or an Arrow stream or CSV where `Accept` asks for it."""
    media_type = chosen_type(accept)
    layout = layout if media_type == JSON_TYPE else Layout.ROWS  # the other types have no layouts
    wanted = WantedCandles(replace(query, symbol=symbol), layout, media_type)
    return await kept_response(request, parts.candles, wanted)


@read.get("/data/{symbol}/latest", response_model=LatestCandle)
async def latest(
    symbol: SymbolPath, services: ServicesGiven, interval: Interval = Interval.H1, as_of: AsOf = None
) -> Response:
    """Return the last closed candle, the forming one if any, and the change over 24 hours."""
    return json_answer(await services.market_data.latest(symbol, interval, as_of))


@read.get("/data/{symbol}/quality", response_model=QualityReport)
async def quality(
    symbol: SymbolPath, services: ServicesGiven, interval: Interval = Interval.H1, as_of: AsOf = None
) -> Response:
    """Return what the quality checks found and where, with the quarantined rows; `as_of` in what was closed then."""
    return json_answer(await services.market_data.quality(symbol, interval, as_of))


def _batch(
    request: Request,
    found: dict[str, Candles | CandlecastError],
    malformed: dict[str, CandlecastError],
    layout: Layout,
) -> tuple[bytes, str]:
    results = {name: candles for name, candles in found.items() if isinstance(candles, Candles)}
    failed = {name: error for name, error in found.items() if isinstance(error, CandlecastError)}
    request.state.rows = sum(candles.table.num_rows for candles in results.values())
    bodies = {name: candles_body(item, layout) for name, item in results.items()}
    body = to_json(batch_body(bodies, failed | malformed))
    return body, tag_of_content(body)
