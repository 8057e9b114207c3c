"""The event stream."""

from typing import Annotated

from fastapi import Header, Request
from starlette.responses import Response, StreamingResponse

from deployments.gateway.models import Scope
from deployments.gateway.parts import PartsGiven, stream_of
from deployments.gateway.routes.routing import router

read = router("events", Scope.READ)


@read.get("/events", response_class=StreamingResponse)
async def events(
    request: Request, parts: PartsGiven, last_event_id: Annotated[str, Header(max_length=64)] = ""
) -> Response:
    """Stream `candle`, `forecast`, `sync`, `training`, `model` and `health` as they change.

    `Last-Event-ID` resumes within the last five minutes.
    """
    return stream_of(request, parts.hub.listen(last_event_id))
