"""What an answer looks like on the wire: entity tags, 304 and compression."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable

import zstandard
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_BYTES = 1_000
"""Below this compression saves less than a packet."""
THREAD_BYTES = 64_000
"""Above this compressing takes more than about a millisecond and leaves the event loop."""

COMPRESSIBLE = ("text/", "application/json", "application/problem+json", "application/vnd.apache.arrow", "image/svg")
STREAMED = "text/event-stream"


def _zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(body)


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=5, mtime=0)


CODECS: dict[str, Callable[[bytes], bytes]] = {"zstd": _zstd, "gzip": _gzip}
"""By preference where a client likes several equally."""


class Representation:
    """Tag complete answers by their content, answer 304 where the client has it, and compress the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = _Held(scope["method"], Headers(scope=scope), send)
        await self._app(scope, receive, send)


class _Held:
    """Hold an answer back until it is complete; event streams and partial content pass through."""

    def __init__(self, method: str, request: Headers, send: Send) -> None:
        self._method = method
        self._request = request
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not _passes_through(message):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start, bytes(self._body))
        else:
            await self._send(message)

    async def _finish(self, start: Message, body: bytes) -> None:
        headers = MutableHeaders(scope=start)
        if self._method == "GET" and start["status"] == 200:
            if "etag" not in headers:
                headers["ETag"] = tag_of(body)
            if matches(self._request.get("if-none-match", ""), headers["ETag"]):
                start["status"], body = 304, b""
        if body:
            body = await self._encoded(headers, body)
        if start["status"] == 304:
            del headers["content-length"]
        else:
            headers["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})

    async def _encoded(self, headers: MutableHeaders, body: bytes) -> bytes:
        content = headers.get("content-type", "")
        if not content.startswith(COMPRESSIBLE) and "javascript" not in content:
            return body
        if "accept-encoding" not in headers.get("vary", "").lower():
            headers.add_vary_header("Accept-Encoding")
        codec = chosen_codec(self._request.get("accept-encoding", ""))
        if codec is None or len(body) < MIN_BYTES or "content-encoding" in headers:
            return body
        headers["Content-Encoding"] = codec
        return await compressed(codec, body)


async def compressed(codec: str, body: bytes) -> bytes:
    """Return a body in one of `CODECS`, a long one from a thread."""
    encode = CODECS[codec]
    return await asyncio.to_thread(encode, body) if len(body) > THREAD_BYTES else encode(body)


def tag_of(body: bytes) -> str:
    """Return the entity tag of a body: weak, because it names the content and not its compression."""
    return f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def chosen_codec(accepted: str) -> str | None:
    """Return the coding that an `Accept-Encoding` header likes best among ours, or None for none."""
    likes: dict[str, float] = {}
    for item in accepted.lower().split(","):
        name, _, parameters = item.strip().partition(";")
        likes[name.strip()] = quality_of(parameters)
    rated = [(likes.get(name, likes.get("*", 0.0)), name) for name in CODECS]
    best = max(rated, key=lambda pair: pair[0])
    return best[1] if best[0] > 0 else None


def matches(condition: str, tag: str) -> bool:
    """Tell whether an `If-None-Match` header names a tag, by weak comparison."""
    names = {name.strip().removeprefix("W/") for name in condition.split(",")}
    return bool(condition) and ("*" in names or tag.removeprefix("W/") in names)


def quality_of(parameters: str) -> float:
    """Return how much a client likes what these parameters follow, `q=0.5` as 0.5: 1 where they do not say."""
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _passes_through(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return start["status"] in {204, 206, 304} or headers.get("content-type", "").startswith(STREAMED)
