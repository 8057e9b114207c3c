"""The HTTP application, built from services and settings alone."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError
from deployments.gateway.access.body_limit import BodyLimit
from deployments.gateway.access.callers import Access
from deployments.gateway.boundary import Boundary
from deployments.gateway.meter import Meter, NoMeter
from deployments.gateway.parts import Cluster, Parts, SingleProcess, build_parts
from deployments.gateway.routes import (
    analysis,
    candles,
    events,
    forecasts,
    health,
    knowledge,
    models,
    pages,
    symbols,
    training,
)
from deployments.gateway.services import Services
from deployments.gateway.settings import GatewaySettings
from deployments.gateway.wire.problems import on_error, on_http_error, on_validation_error
from deployments.gateway.wire.representation import Representation
from deployments.gateway.wire.shortcut import Shortcut

DESCRIPTION = (
    "Forecasts, candles, knowledge and analyses. Times are RFC 3339 in UTC; a candle's time is its opening. "
    "Errors are problem documents, explained at [/docs/problems](/docs/problems)."
)


def create_app(
    services: Services,
    settings: GatewaySettings,
    cluster: Cluster | None = None,
    clock: Clock = utc_now,
    meter: Meter | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """Return the application; keys and the session secret live in `settings.home / "auth"`."""
    parts = build_parts(services, settings, cluster or SingleProcess(), clock, meter or NoMeter(), monotonic)
    app = FastAPI(
        title="Candlecast",
        description=DESCRIPTION,
        version=settings.version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(parts),
    )
    app.state.parts = parts
    _add_layers(app, parts)
    _add_routes(app)
    return app


def _lifespan(parts: Parts) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await parts.hub.close()
        await parts.queries.flush()

    return lifespan


def _add_layers(app: FastAPI, parts: Parts) -> None:
    """Add the layers around the routes; the one added last is the outermost."""
    app.add_exception_handler(CandlecastError, on_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_middleware(Representation)
    app.add_middleware(Shortcut)
    app.add_middleware(BodyLimit, max_bytes=parts.settings.max_body_bytes)
    app.add_middleware(Access, keys=parts.keys, sessions=parts.sessions, limiter=parts.limiter)
    app.add_middleware(
        Boundary,
        queries=parts.queries,
        clock=parts.clock,
        server_adds_request_id=parts.settings.server_adds_request_id,
        carry=parts.cluster.carry,
        meter=parts.meter,
    )


def _add_routes(app: FastAPI) -> None:
    """Add the routes; fixed paths come before those with a parameter in the same place."""
    for routes in (
        health.open_routes,
        health.read,
        health.operate,
        symbols.read,
        symbols.operate,
        candles.read,
        forecasts.read,
        models.admin,
        models.read,
        training.read,
        training.operate,
        knowledge.read,
        knowledge.operate,
        analysis.read,
        events.read,
        pages.read,
        pages.admin,
        pages.pages,
    ):
        app.include_router(routes)
