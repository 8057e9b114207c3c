"""Server-sent events: their text, and streams that show signs of life."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeVar

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from deployments.common.errors import CandlecastError
from deployments.common.telemetry import logger
from deployments.gateway.wire.encoding import to_json
from deployments.gateway.wire.problems import problem_of

log = logger(__name__)

T = TypeVar("T")

RETRY_MS = 3_000
HEARTBEAT = b": alive\n\n"
"""A comment that keeps proxies from closing a silent stream."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `data` is anything that has a JSON form."""

    name: str
    data: object
    id: str = ""

    def encode(self) -> bytes:
        """Return the event as the wire has it; JSON has no line breaks, so its data are one line."""
        identity = f"id: {self.id}\n".encode() if self.id else b""
        return b"%bevent: %b\ndata: %b\n\n" % (identity, self.name.encode(), to_json(self.data))


class EventStream(StreamingResponse):
    """Answer with events as they come; a comment fills each silence of `heartbeat_s` seconds.

    `ended` is called once, however the stream ends.
    """

    def __init__(self, events: AsyncIterator[ServerEvent], heartbeat_s: float, ended: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(_wire(events, heartbeat_s), headers=headers, media_type="text/event-stream")
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Not in the generator: one whose listener left before its first event is never started and never ends.
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _wire(events: AsyncIterator[ServerEvent], heartbeat_s: float) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    try:
        async for event in with_silences(events, heartbeat_s):
            yield HEARTBEAT if event is None else event.encode()
    except CandlecastError as error:
        yield ServerEvent("error", problem_of(error)).encode()
    except Exception as error:
        log.error("event stream failed", exc_info=error)
        raise


async def with_silences(items: AsyncIterator[T], every_s: float) -> AsyncIterator[T | None]:
    """Yield the items, and None whenever `every_s` seconds pass without one."""
    iterator = aiter(items)
    following: asyncio.Future[T] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(iterator))
            done, _ = await asyncio.wait({following}, timeout=every_s)
            if not done:
                yield None
                continue
            try:
                item = following.result()
            except StopAsyncIteration:
                return
            following = None
            yield item
    finally:
        if following is not None and not following.done():
            following.cancel()
            await asyncio.wait({following})
        await close(iterator)


async def close(iterator: AsyncIterator[T]) -> None:
    """Let a generator that will not be asked again tidy up now."""
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        await aclose()
