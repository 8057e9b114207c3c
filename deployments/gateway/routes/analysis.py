"""Analyses: write one, stream one, read the stored ones."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Header, Query, Request
from starlette.responses import Response

from deployments.analysis.models import Analysis, AnalysisEvent
from deployments.common.clock import within
from deployments.common.errors import BadUpstream
from deployments.gateway.bodies import AnalysisBody
from deployments.gateway.models import Scope
from deployments.gateway.parameters import IdPath, SymbolFilterQuery
from deployments.gateway.parts import PartsGiven, ServicesGiven
from deployments.gateway.routes.routing import router
from deployments.gateway.wire.answers import AnalysesAnswer, json_answer
from deployments.gateway.wire.sse import EventStream, ServerEvent, close

read = router("analysis", Scope.READ)

STREAM_TYPE = "text/event-stream"


@read.post("/analyze", response_model=Analysis, responses={200: {"content": {STREAM_TYPE: {}}}})
async def analyze(
    request: Request, body: AnalysisBody, parts: PartsGiven, accept: Annotated[str, Header()] = ""
) -> Response:
    """Write an analysis whose every number is checked; `Accept: text/event-stream` streams it."""
    analyst = parts.services.analyst
    if STREAM_TYPE not in accept.lower():
        return json_answer(await analyst.analyze(body.request()))
    ended = parts.streams.take(request.state.caller.name)  # before the language model begins to write
    try:
        events = await started(analyst.analyze_stream(body.request()), parts.settings.analysis_timeout_s)
    except BaseException:
        ended()
        raise
    return EventStream(events, parts.settings.heartbeat_s, ended)


@read.get("/analyses", response_model=AnalysesAnswer)
async def analyses(
    services: ServicesGiven,
    symbol: SymbolFilterQuery = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> Response:
    """Return stored analyses, newest first."""
    return json_answer({"analyses": await services.analyst.analyses(symbol, limit)})


@read.get("/analyses/{id}", response_model=Analysis)
async def analysis(id: IdPath, services: ServicesGiven) -> Response:
    """Return one stored analysis with its facts, its check and, later, its score."""
    return json_answer(await services.analyst.analysis(id))


async def started(events: AsyncIterator[AnalysisEvent], timeout_s: float) -> AsyncIterator[ServerEvent]:
    """Wait for the first event, so that a refusal is a problem document and not a broken stream."""
    first = await within(timeout_s, anext(events, None), "Analyst")
    if first is None:
        raise BadUpstream("the analysis ended before it began")
    return _told(first, events, timeout_s)


async def _told(
    first: AnalysisEvent, rest: AsyncIterator[AnalysisEvent], timeout_s: float
) -> AsyncIterator[ServerEvent]:
    event: AnalysisEvent | None = first
    try:
        while event is not None:
            yield ServerEvent(event.name, event.data)
            event = await within(timeout_s, anext(rest, None), "Analyst")
    finally:
        await close(rest)
