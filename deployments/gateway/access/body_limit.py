"""A bound on what a request may send, kept also where its length is not announced."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.common.errors import BodyTooLarge


class BodyLimit:
    """Refuse a body above `max_bytes`: at once where `Content-Length` admits to it, else as soon as it is read."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if _announced(Headers(scope=scope)) > self._max_bytes:
                raise BodyTooLarge(f"the body may have {self._max_bytes} bytes")
            receive = _Counted(receive, self._max_bytes)
        await self._app(scope, receive, send)


class _Counted:
    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._left = max_bytes

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                # FastAPI turns anything else that reading raises into a complaint about the body's syntax.
                raise HTTPException(413)
        return message


def _announced(headers: Headers) -> int:
    try:
        return int(headers.get("content-length", "0"))
    except ValueError:  # servers refuse it before we see it; whatever comes is counted
        return 0
