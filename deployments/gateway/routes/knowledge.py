"""Retrieval, analogues and the sync."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from deployments.gateway.models import Scope
from deployments.gateway.parameters import AsOf, Horizon, Instant, SymbolFilterQuery, SymbolPath
from deployments.gateway.parts import ServicesGiven
from deployments.gateway.routes.routing import router
from deployments.gateway.wire.answers import json_answer
from deployments.gateway.wire.tags import tag_of_sync
from deployments.knowledge.models import AnalogueQuery, Analogues, PassageKind, SearchAnswer, SearchQuery, SyncStatus
from deployments.market_data.models import Interval

read = router("knowledge", Scope.READ)
operate = router("knowledge", Scope.OPERATE)


@read.get("/knowledge/search", response_model=SearchAnswer)
async def search(
    services: ServicesGiven,
    q: Annotated[str, Query(min_length=1, max_length=1_000)],
    symbol: SymbolFilterQuery = None,
    start: Instant | None = None,
    end: Instant | None = None,
    kind: PassageKind | None = None,
    k: Annotated[int, Query(ge=1, le=100)] = 5,
    as_of: AsOf = None,
) -> Response:
    """Return the passages nearest to a question."""
    return json_answer(await services.knowledge.search(SearchQuery(q, symbol, start, end, kind, k, as_of)))


@read.get("/analogues/{symbol}", response_model=Analogues)
async def analogues(
    symbol: SymbolPath,
    services: ServicesGiven,
    interval: Interval = Interval.H1,
    window: Annotated[int, Query(ge=8, le=500, description="Bars compared")] = 48,
    horizon: Horizon = 24,
    k: Annotated[int, Query(ge=1, le=100)] = 10,
    as_of: AsOf = None,
) -> Response:
    """Return past windows of the same shape, what followed them, and what follows any bar."""
    return json_answer(await services.knowledge.analogues(AnalogueQuery(symbol, interval, window, horizon, k, as_of)))


@read.get("/sync/status", response_model=SyncStatus)
async def sync_status(services: ServicesGiven) -> Response:
    """Return where the sync stands."""
    status = await services.knowledge.sync_status()
    return json_answer(status, headers={"ETag": tag_of_sync(status)})


@operate.post("/sync/start", status_code=202, response_model=SyncStatus)
async def start_sync(services: ServicesGiven) -> Response:
    """Let the sync run periodically."""
    return json_answer(await services.knowledge.start_sync(), 202)


@operate.post("/sync/stop", status_code=202, response_model=SyncStatus)
async def stop_sync(services: ServicesGiven) -> Response:
    """Stop the periodic sync after the batch under way."""
    return json_answer(await services.knowledge.stop_sync(), 202)


@operate.post("/sync/trigger", status_code=202, response_model=SyncStatus)
async def trigger_sync(services: ServicesGiven) -> Response:
    """Run a cycle now, or join the one that runs."""
    return json_answer(await services.knowledge.trigger_sync(), 202)
