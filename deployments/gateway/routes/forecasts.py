"""Forecasts and how they fared."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Query, Request
from starlette.responses import Response

from deployments.forecasting.models import Forecast, ForecastRequest, HistoryRequest
from deployments.gateway.models import Scope
from deployments.gateway.parameters import AsOf, Horizon, Instant, Levels, SymbolPath, Symbols, levels_of
from deployments.gateway.parts import PartsGiven, ServicesGiven
from deployments.gateway.routes.routing import router
from deployments.gateway.wire.answers import (
    AccuracyAnswer,
    ForecastBatchAnswer,
    PastForecastsAnswer,
    json_answer,
)
from deployments.gateway.wire.forecast_answers import WantedForecasts
from deployments.gateway.wire.shortcut import kept_response
from deployments.market_data.models import Interval

read = router("forecasts", Scope.READ)


async def asked(
    interval: Interval = Interval.H1, horizon: Horizon = 24, level: Levels = "80,90", as_of: AsOf = None
) -> ForecastRequest:
    """Return the forecast that the query asks for, of a symbol yet to be named."""
    return ForecastRequest("", interval, horizon, levels_of(level), as_of)


Asked = Annotated[ForecastRequest, Depends(asked)]


@read.get("/forecast/batch", response_model=ForecastBatchAnswer)
async def forecast_batch(request: Request, parts: PartsGiven, symbols: Symbols, asked: Asked) -> Response:
    """Forecast up to 50 symbols; what one of them lacks stands under `errors`."""
    return await kept_response(request, parts.forecasts, WantedForecasts(asked, symbols))


@read.get("/forecast/{symbol}", response_model=Forecast)
async def forecast(request: Request, symbol: SymbolPath, parts: PartsGiven, asked: Asked) -> Response:
    """Forecast one symbol, with prediction intervals, the model's live skill and every caveat."""
    return await kept_response(request, parts.forecasts, WantedForecasts(replace(asked, symbol=symbol)))


@read.get("/forecast/{symbol}/history", response_model=PastForecastsAnswer)
async def history(
    symbol: SymbolPath,
    services: ServicesGiven,
    limit: Annotated[int, Query(ge=1, le=500)] = 20,
    since: Instant | None = None,
    interval: Interval | None = None,
    horizon: Horizon | None = None,
) -> Response:
    """Return earlier forecasts, newest first, with what followed and their scores; of one series where it is named."""
    wanted = HistoryRequest(symbol, limit, since, interval, horizon)
    return json_answer({"forecasts": await services.forecaster.history(wanted)})


@read.get("/forecast/{symbol}/accuracy", response_model=AccuracyAnswer)
async def accuracy_of_symbol(symbol: SymbolPath, services: ServicesGiven) -> Response:
    """Return the live scores of one symbol's forecasts."""
    return json_answer({"rows": await services.forecaster.accuracy(symbol)})


@read.get("/accuracy", response_model=AccuracyAnswer)
async def accuracy(services: ServicesGiven) -> Response:
    """Return live scores by model, horizon and symbol, with sample sizes."""
    return json_answer({"rows": await services.forecaster.accuracy(None)})
