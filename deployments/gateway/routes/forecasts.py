"""Forecasts and how they fared."""

from typing import Annotated

from fastapi import Depends, Query
from starlette.responses import Response

from deployments.common.errors import CandlecastError
from deployments.forecasting.models import Forecast, ForecastRequest
from deployments.gateway.models import Scope
from deployments.gateway.parameters import AsOf, Horizon, Instant, Levels, SymbolPath, Symbols, levels_of, symbols_of
from deployments.gateway.parts import Parts, PartsGiven, ServicesGiven
from deployments.gateway.routes.routing import router
from deployments.gateway.watch import forecast_sight
from deployments.gateway.wire.answers import (
    AccuracyAnswer,
    ForecastBatchAnswer,
    PastForecastsAnswer,
    batch_body,
    json_answer,
)
from deployments.gateway.wire.encoding import to_json
from deployments.gateway.wire.tags import tag_of_content
from deployments.market_data.models import Interval

read = router("forecasts", Scope.READ)


async def wanted(
    interval: Interval = Interval.H1, horizon: Horizon = 24, level: Levels = "80,90", as_of: AsOf = None
) -> ForecastRequest:
    """Return the forecast that the query asks for, of a symbol yet to be named."""
    return ForecastRequest("", interval, horizon, levels_of(level), as_of)


Wanted = Annotated[ForecastRequest, Depends(wanted)]


@read.get("/forecast/batch", response_model=ForecastBatchAnswer)
async def forecast_batch(parts: PartsGiven, symbols: Symbols, request: Wanted) -> Response:
    """Forecast up to 50 symbols; what one of them lacks stands under `errors`."""
    names, malformed = symbols_of(symbols)
    found = await parts.services.forecaster.forecast_batch(names, request) if names else {}
    results = {name: item for name, item in found.items() if isinstance(item, Forecast)}
    failed = {name: item for name, item in found.items() if isinstance(item, CandlecastError)}
    for forecast in results.values():
        _announce(parts, request, forecast)
    return _tagged(batch_body(results, failed | malformed))


@read.get("/forecast/{symbol}", response_model=Forecast)
async def forecast(symbol: SymbolPath, parts: PartsGiven, request: Wanted) -> Response:
    """Forecast one symbol, with prediction intervals, the model's live skill and every caveat."""
    question = ForecastRequest(symbol, request.interval, request.horizon, request.levels, request.as_of)
    answer = await parts.services.forecaster.forecast(question)
    _announce(parts, request, answer)
    return _tagged(answer)


@read.get("/forecast/{symbol}/history", response_model=PastForecastsAnswer)
async def history(
    symbol: SymbolPath,
    services: ServicesGiven,
    limit: Annotated[int, Query(ge=1, le=500)] = 20,
    since: Instant | None = None,
) -> Response:
    """Return earlier forecasts, newest first, with what followed and their scores."""
    return json_answer({"forecasts": await services.forecaster.history(symbol, limit, since)})


@read.get("/forecast/{symbol}/accuracy", response_model=AccuracyAnswer)
async def accuracy_of_symbol(symbol: SymbolPath, services: ServicesGiven) -> Response:
    """Return the live scores of one symbol's forecasts."""
    return json_answer({"rows": await services.forecaster.accuracy(symbol)})


@read.get("/accuracy", response_model=AccuracyAnswer)
async def accuracy(services: ServicesGiven) -> Response:
    """Return live scores by model, horizon and symbol, with sample sizes."""
    return json_answer({"rows": await services.forecaster.accuracy(None)})


def _tagged(forecasts: object) -> Response:
    body = to_json(forecasts)
    return Response(body, headers={"ETag": tag_of_content(body)}, media_type="application/json")


def _announce(parts: Parts, request: ForecastRequest, forecast: Forecast) -> None:
    """Tell listeners of a forecast about now; one about the past is no news."""
    if request.as_of is None:
        parts.hub.observe(forecast_sight(forecast))
