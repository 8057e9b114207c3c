"""Health, statistics and the query log."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from deployments.gateway.models import HealthReport, Scope
from deployments.gateway.parameters import Instant
from deployments.gateway.parts import PartsGiven, ServicesGiven
from deployments.gateway.routes.routing import router
from deployments.gateway.stats import system_stats
from deployments.gateway.wire.answers import HealthAnswer, QueryLogsAnswer, fields_of, json_answer

open_routes = APIRouter(tags=["health"])
read = router("health", Scope.READ)
operate = router("health", Scope.OPERATE)


@open_routes.head("/livez", include_in_schema=False)
@open_routes.get("/livez")
async def livez() -> Response:
    """Tell that the gateway's loop turns."""
    return json_answer({"status": "alive"})


@open_routes.head("/health", include_in_schema=False)
@open_routes.get("/health", response_model=HealthAnswer)
async def health(parts: PartsGiven) -> Response:
    """Tell in one word how the graph is."""
    body = fields_of(await parts.board.report())
    del body["entries"]
    return json_answer(body)


@read.get("/health", response_model=HealthReport)
async def health_in_full(parts: PartsGiven) -> Response:
    """Tell how each deployment and dependency is, and why."""
    return json_answer(await parts.board.report())


@read.get("/system/stats")
async def stats(parts: PartsGiven) -> Response:
    """Return counts, queues, replicas, memory, model ages and the sync's lag."""
    return json_answer(await system_stats(parts))


@operate.get("/query-logs", response_model=QueryLogsAnswer)
async def query_logs(
    services: ServicesGiven,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    endpoint: Annotated[str | None, Query(max_length=200)] = None,
    min_duration_ms: Annotated[float | None, Query(ge=0, le=1e9, allow_inf_nan=False)] = None,
    since: Instant | None = None,
) -> Response:
    """Return served requests, newest first, with the SQL inside each where it is known."""
    return json_answer(
        {"entries": await services.market_data.query_logs(limit, endpoint, min_duration_ms, since)},
    )
