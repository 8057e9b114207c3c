"""Our graph, its gateway with one more route: fixed bytes, the limit of what any answer of that size can reach."""

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.app import GraphArgs
from deployments.app import build as build_graph
from deployments.gateway.deployment import Gateway

FIXED = "/fixed/"
"""Followed by the number of bytes."""


class FixedBytes:
    """Answer below `FIXED` before anything else looks at the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._bodies: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(FIXED):
            await self._app(scope, receive, send)
            return
        size = scope["path"].removeprefix(FIXED)
        body = self._bodies.setdefault(size, b"x" * int(size))
        headers = [(b"content-type", b"application/json"), (b"content-length", size.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class MeasuredGateway(Gateway.func_or_class):  # type: ignore[misc, name-defined]  # Serve's decorator hides the class
    """The gateway with fixed bytes in front."""

    def __serve_build_asgi_app__(self) -> FastAPI:
        app: FastAPI = super().__serve_build_asgi_app__()
        app.add_middleware(FixedBytes)
        return app


def build(args: GraphArgs) -> Application:
    """Bind our graph and put the measured gateway in the gateway's place."""
    gateway = build_graph(args)._bound_deployment
    measured = serve.deployment(name="Gateway", max_ongoing_requests=1_000)(MeasuredGateway)
    options = {"ray_actor_options": gateway.ray_actor_options}
    bound: Application = measured.options(**options).bind(*gateway.init_args, **gateway.init_kwargs)
    return bound
