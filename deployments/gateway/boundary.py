"""The outermost layer: request ids, security headers, the query log, and what nobody else caught."""

import re
import time
import uuid
from collections.abc import Callable
from datetime import datetime

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.common.clock import Clock
from deployments.common.errors import CandlecastError, InternalError, meaning_of
from deployments.common.telemetry import logger, request_id
from deployments.gateway.meter import Meter
from deployments.gateway.query_log import QueryLog
from deployments.gateway.wire.problems import problem_response
from deployments.market_data.models import QueryLogEntry

log = logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
LOGGED = "/api/"
CLIENT_LEFT = 499
"""What the query log calls a request whose client left before its answer, as nginx does."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SECURITY_HEADERS = {
    # Everything comes from here; the chart library and Swagger UI set inline styles, never inline scripts.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "private, no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SECURITY = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class Boundary:
    """Give each request an id, each answer its headers, and every error that comes this far a problem document."""

    def __init__(
        self,
        app: ASGIApp,
        queries: QueryLog,
        clock: Clock,
        server_adds_request_id: bool,
        carry: Callable[[str], None],
        meter: Meter,
    ) -> None:
        self._app = app
        self._queries = queries
        self._clock = clock
        self._server_adds_request_id = server_adds_request_id
        self._carry = carry
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        shown = Headers(scope=scope).get("x-request-id", "")
        identity = shown if REQUEST_ID.fullmatch(shown) else uuid.uuid4().hex
        if identity != shown:
            self._carry(identity)  # Serve would hand on what the client wrote
        answer = _Answer(send, None if self._server_adds_request_id and identity == shown else identity)
        token = request_id.set(identity)
        began_at, began = self._clock(), time.perf_counter()
        try:
            await self._serve(scope, receive, answer)
        finally:
            # Also where the client left: what it did not wait for is what somebody will look for in the log.
            request_id.reset(token)
            duration_ms = (time.perf_counter() - began) * 1000
            if not answer.streams:
                self._note(scope, began_at, duration_ms, answer.status or CLIENT_LEFT, identity)

    async def _serve(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:
            response = problem_response(_presentable(error))
            if not answer.status:
                await response(scope, receive, answer.send)

    def _note(self, scope: Scope, time: datetime, duration_ms: float, status: int, identity: str) -> None:
        """Measure a request, and log it where its caller is known; strangers write nothing into our database."""
        route, state = route_of(scope), scope.get("state", {})
        # A client may invent methods, and each would be a series of its own.
        method = scope["method"] if scope["method"] in METHODS else "(unknown)"
        self._meter.request(route, method, status, duration_ms)
        if state.get("caller") is None or not scope["path"].startswith(LOGGED):
            return
        rows = state.get("rows", 0)
        self._queries.add(QueryLogEntry(time, route, scope["method"], status, duration_ms, rows, identity))


class _Answer:
    """Dress the start of an answer with headers and remember its status."""

    def __init__(self, send: Send, identity: str | None) -> None:
        self._send = send
        self._identity = identity
        self.status = 0
        self.streams = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"] = list(message["headers"])
            given = dict(headers)
            self.streams = given.get(b"content-type", b"").startswith(b"text/event-stream")
            headers += [header for header in _SECURITY if header[0] not in given]
            if self._identity:
                headers.append((b"x-request-id", self._identity.encode()))
        await self._send(message)


def route_of(scope: Scope) -> str:
    """Return the template of the route that answered, so that logs count routes and not symbols."""
    route = scope.get("route")
    return str(getattr(route, "path", "")) or "(unknown)"


def _presentable(error: Exception) -> CandlecastError:
    meaning = meaning_of(error, "the service")
    if meaning is None:
        log.error("request failed", exc_info=error)
        return InternalError("our fault; the log has the details under this request id")
    return meaning
