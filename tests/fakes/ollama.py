"""A small Ollama: the native chat API on a loopback port, well or badly behaved as told."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL = "llama3.1:8b"
DIGEST = "sha256:0123456789abcdef"
GOOD = {"summary": "The price is described by the fact sheet.", "details": ["Nothing is invented."], "risks": []}


class Mode(StrEnum):
    """How the server behaves."""

    GOOD = "good"
    SLOW = "slow"
    ERROR = "error"
    OVERLOADED = "overloaded"
    HTML = "html"
    CUT_PROMPT = "cut prompt"
    HALF_JSON = "half json"
    ENDLESS = "endless"
    BROKEN_OFF = "broken off"


class FakeOllama:
    """Serve `answers` in turn, the last one again and again; `requests` keeps what was asked. Use as a context."""

    def __init__(self, mode: Mode = Mode.GOOD, answers: tuple[dict[str, Any], ...] = (GOOD,)) -> None:
        self.mode = mode
        self.answers = answers
        self.requests: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = 0
        self._released = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        routes = [
            Route("/api/chat", self._chat, methods=["POST"]),
            Route("/api/tags", self._tags),
            Route("/api/show", self._show, methods=["POST"]),
            Route("/api/version", lambda request: JSONResponse({"version": "0.20.0"})),
        ]
        config = uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()

    async def _tags(self, request: Request) -> Response:
        if self.mode is Mode.ERROR:
            return JSONResponse({"error": "out of memory"}, status_code=500)
        return JSONResponse({"models": [{"name": MODEL, "model": MODEL, "digest": DIGEST, "size": 1}]})

    async def _show(self, request: Request) -> Response:
        return JSONResponse({"modelfile": "", "details": {}, "model_info": {}})

    async def _chat(self, request: Request) -> Response:
        asked = await request.json()
        self.requests.append(asked)
        if asked["model"] != MODEL:
            return JSONResponse({"error": f"model '{asked['model']}' not found"}, status_code=404)
        if self.mode is Mode.ERROR:
            return JSONResponse({"error": "out of memory"}, status_code=500)
        if self.mode is Mode.OVERLOADED:
            return JSONResponse({"error": "server busy"}, status_code=503)
        if self.mode is Mode.HTML:
            return HTMLResponse("<html>Sign in to the network</html>")
        return StreamingResponse(self._lines(asked), media_type="application/x-ndjson")

    async def _lines(self, asked: dict[str, Any]) -> AsyncIterator[bytes]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            async for line in self._answer(asked):
                yield json.dumps({"model": MODEL, "created_at": "2026-01-01T00:00:00Z", **line}).encode() + b"\n"
        finally:
            self.at_once -= 1

    async def _answer(self, asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        text = json.dumps(self.answers[min(len(self.requests), len(self.answers)) - 1], ensure_ascii=False)
        if self.mode in {Mode.HALF_JSON, Mode.BROKEN_OFF}:
            text = text[: len(text) // 2]
        for start in range(0, len(text), 7):
            yield {"message": {"role": "assistant", "content": text[start : start + 7]}, "done": False}
        if self.mode is Mode.SLOW:
            await asyncio.to_thread(self._released.wait, 30)
        if self.mode is not Mode.BROKEN_OFF:
            yield self._end(asked, len(text))

    def _end(self, asked: dict[str, Any], characters: int) -> dict[str, Any]:
        read = sum(len(message["content"]) for message in asked["messages"]) // 4
        return {
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": "length" if self.mode is Mode.ENDLESS else "stop",
            "prompt_eval_count": read // 3 if self.mode is Mode.CUT_PROMPT else read,
            "eval_count": characters // 4,
        }
