"""Clients that httpx lacks: for endless answers, whose end its own transport waits for, and for answers that age."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.types import ASGIApp, Message


class Stream:
    """An answer under way."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.started = asyncio.Event()
        self._parts: asyncio.Queue[bytes] = asyncio.Queue()
        self._text = ""

    async def take(self, message: Message) -> None:
        """Receive what the app sends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self.started.set()
        else:
            self._parts.put_nowait(message.get("body", b""))

    async def read_until(self, end: str) -> str:
        """Return the text up to and including `end`."""
        async with asyncio.timeout(20):
            while end not in self._text:
                self._text += (await self._parts.get()).decode()
        found, _, self._text = self._text.partition(end)
        return found + end


@asynccontextmanager
async def streamed(
    app: ASGIApp, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> AsyncIterator[Stream]:
    """Ask the app and yield its answer; leaving disconnects."""
    gone = asyncio.Event()
    requests: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    stream = Stream()
    task = asyncio.create_task(_ask(app, _scope(method, path, headers), receive, stream))
    try:
        async with asyncio.timeout(20):
            await stream.started.wait()
        yield stream
    finally:
        gone.set()
        await asyncio.wait({task}, timeout=20)
        task.cancel()


async def _ask(app: ASGIApp, scope: dict[str, Any], receive: Any, stream: Stream) -> None:
    await app(scope, receive, stream.take)


def _scope(method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("candlecast.test", 80),
    }


class Aged:
    """A client with an admin's key, and the hand on the clock by which answers age."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.seconds = 0.0

    async def told(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and the bytes as they were sent."""
        return await told(self.client, path, headers)


async def told(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers (each told once) and the bytes of an answer as they were sent."""
    async with client.stream("GET", path, headers=headers) as answer:
        body = b"".join([part async for part in answer.aiter_raw()])
    shown = {name: answer.headers.get_list(name) for name in answer.headers}
    assert all(len(values) == 1 for values in shown.values()), shown
    return answer.status_code, {name: values[0] for name, values in shown.items()}, body
