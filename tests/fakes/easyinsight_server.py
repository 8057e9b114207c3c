"""EasyInsight as a real HTTP server on loopback, in every mood a server can have."""

import asyncio
import gzip
from enum import StrEnum
from types import TracebackType
from typing import Self

import orjson

TIMES = ("2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z", "2024-01-01T02:00:00Z")
HUGE_BYTES = 100 * 2**20


class Mood(StrEnum):
    """How the server answers."""

    WELL = "well"
    SILENT = "silent"
    DRIP = "drip"
    ERROR_500 = "error 500"
    HTML = "html"
    HALF_JSON = "half json"
    REDIRECT = "redirect"
    WRONG_INTERVAL = "wrong interval"
    SHORTER_BARS = "shorter bars"
    DUPLICATES = "duplicates"
    NAN_STRINGS = "nan strings"
    HUGE = "huge"
    GZIP_BOMB = "gzip bomb"
    NO_HTTP = "no http"
    HANGS_UP = "hangs up"
    CUT_SHORT = "cut short"
    BROKEN_GZIP = "broken gzip"


class EasyInsightServer:
    """Serve three hourly candles of any symbol while the mood allows; the list of symbols has a mood of its own."""

    def __init__(self, mood: Mood = Mood.WELL, list_mood: Mood = Mood.WELL) -> None:
        self.mood = mood
        self.list_mood = list_mood
        self.url = ""
        self._server: asyncio.Server | None = None
        self._ending = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._ending.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            is_list = request.split(b" ", 2)[1].startswith(b"/api/symbols")
            await self._answer(writer, self.list_mood if is_list else self.mood, is_list)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has given up
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, mood: Mood, is_list: bool) -> None:
        if mood is Mood.SILENT:
            await self._ending.wait()
        elif mood is Mood.DRIP:
            await self._drip(writer)
        elif mood is Mood.HUGE:
            await self._huge(writer)
        elif mood is Mood.GZIP_BOMB:
            writer.write(_response(b"200 OK", gzip.compress(bytes(HUGE_BYTES // 4), 1), _GZIP))
            await writer.drain()
        elif mood in _RAW:
            writer.write(_RAW[mood])
            await writer.drain()
        else:
            writer.write(_response(b"200 OK", _list() if is_list else _candles(mood)))
            await writer.drain()

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        """Send a byte now and then, so that no single read is slow."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self._ending.is_set():
            writer.write(b" ")
            await writer.drain()
            try:
                async with asyncio.timeout(0.02):
                    await self._ending.wait()
            except TimeoutError:
                continue

    async def _huge(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE_BYTES)
        for _ in range(HUGE_BYTES >> 20):
            writer.write(b" " * 2**20)
            await writer.drain()


def _candles(mood: Mood) -> bytes:
    candle = {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0}
    times, interval = TIMES, "1h"
    if mood is Mood.NAN_STRINGS:
        candle["close"] = "NaN"  # type: ignore[assignment]
    elif mood is Mood.DUPLICATES:
        times = (TIMES[0], TIMES[0], TIMES[1])
    elif mood is Mood.WRONG_INTERVAL:
        interval = "5m"
    elif mood is Mood.SHORTER_BARS:
        times = (TIMES[0], "2024-01-01T00:05:00Z", "2024-01-01T00:10:00Z")
    return orjson.dumps({"interval": interval, "candles": [candle | {"time": time} for time in times]})


def _list() -> bytes:
    return orjson.dumps({"symbols": [{"symbol": "BTCUSD"}]})


def _response(status: bytes, body: bytes, headers: bytes = b"") -> bytes:
    head = b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: %d\r\n" % len(body)
    return head + headers + b"\r\n" + body


_GZIP = b"Content-Encoding: gzip\r\n"
_RAW = {
    Mood.ERROR_500: _response(b"500 Internal Server Error", b"Traceback (most recent call last)"),
    Mood.HTML: _response(b"200 OK", b"<html><body>Please log in</body></html>"),
    Mood.HALF_JSON: _response(b"200 OK", b'{"candles": [{"time": "2024-01-01T00:00:00Z", "op'),
    Mood.REDIRECT: _response(b"302 Found", b"", b"Location: http://127.0.0.1:1/elsewhere\r\n"),
    Mood.NO_HTTP: b"SSH-2.0-OpenSSH_9.6\r\n",
    Mood.HANGS_UP: b"",
    Mood.CUT_SHORT: b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"candles": [',
    Mood.BROKEN_GZIP: _response(b"200 OK", b"abcd", _GZIP),
}
