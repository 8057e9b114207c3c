"""A complete answer in every form that a client may want it in, each form made once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deployments.gateway.wire.representation import MIN_BYTES, chosen_codec, compressed, matches, tag_of

RawHeaders = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class _Form:
    status: int
    headers: RawHeaders
    body: bytes


class Prepared:
    """Hold a body of `rows` rows; send it whole, compressed as the client likes, or as a 304.

    Its entity tag is that of the body unless `tag` is given.
    """

    def __init__(self, body: bytes, media_type: str, headers: Mapping[str, str], rows: int, tag: str = "") -> None:
        self._body = body
        self._media_type = media_type
        self._headers = dict(headers)
        self._headers["ETag"] = self.tag = tag or tag_of(body)
        self.rows = rows
        self._unchanged = _Form(304, self._dressed(b"", {}), b"")
        varies = {"Vary": ", ".join(filter(None, [self._headers.get("Vary"), "Accept-Encoding"]))}
        self._varies = varies
        self._plain = _Form(200, self._dressed(body, varies), body)
        self._packed: dict[str, asyncio.Task[_Form]] = {}

    @property
    def size(self) -> int:
        """Return the bytes that this may come to hold: the body, and compressed together as much again."""
        return 2 * len(self._body) + 2_000

    async def send(self, request: Headers, send: Send) -> None:
        """Send the form that fits a request."""
        form = await self._form(request)
        # A list of its own for each answer: the layers outside add to it.
        await send({"type": "http.response.start", "status": form.status, "headers": form.headers.copy()})
        await send({"type": "http.response.body", "body": form.body})

    async def _form(self, request: Headers) -> _Form:
        condition = request.get("if-none-match")
        if condition is not None and matches(condition, self.tag):
            return self._unchanged
        codec = chosen_codec(request.get("accept-encoding", ""))
        if codec is None or len(self._body) < MIN_BYTES:
            return self._plain
        if codec not in self._packed:
            self._packed[codec] = asyncio.create_task(self._pack(codec))
        # Shielded: the others who wait for it must not suffer from one that leaves.
        return await asyncio.shield(self._packed[codec])

    async def _pack(self, codec: str) -> _Form:
        body = await compressed(codec, self._body)
        return _Form(200, self._dressed(body, self._varies | {"Content-Encoding": codec}), body)

    def _dressed(self, body: bytes, more: dict[str, str]) -> RawHeaders:
        """Return what Starlette makes of the headers, the type and the length."""
        headers = MutableHeaders(raw=Response(body, 200, self._headers | more, self._media_type).raw_headers)
        if not body:
            del headers["content-length"]
        return headers.raw


class PreparedResponse(Response):
    """What a route returns to have a prepared answer sent."""

    def __init__(self, prepared: Prepared) -> None:
        super().__init__()
        self._prepared = prepared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._prepared.send(Headers(scope=scope), send)
