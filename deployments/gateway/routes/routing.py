"""Routers of one scope whose reads are tried twice when a replica dies under them."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from deployments.common.errors import Unavailable
from deployments.common.telemetry import logger
from deployments.gateway.access.callers import requires
from deployments.gateway.models import Scope
from deployments.gateway.wire.answers import ProblemAnswer

log = logger(__name__)

BASE = "/api/v1"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class TwiceRead(APIRoute):
    """A route that repeats a failed GET once.

    A replica that dies answers nothing and Serve does not replay; by the next call its handle knows the others.
    A database or an LLM that is away raises a class of its own and is not asked again.
    """

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_twice(request: Request) -> Response:
            try:
                return await handle(request)
            except Unavailable as error:
                if request.method != "GET" or type(error) is not Unavailable:
                    raise
            log.info("read tried again", path=request.url.path)
            return await handle(request)

        return handle_twice


def router(tag: str, scope: Scope) -> APIRouter:
    """Return a router below `/api/v1` whose routes all need `scope`."""
    return APIRouter(
        prefix=BASE,
        tags=[tag],
        dependencies=[requires(scope)],
        route_class=TwiceRead,
        responses={"4XX": {"model": ProblemAnswer}, "5XX": {"model": ProblemAnswer}},
    )
