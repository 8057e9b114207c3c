"""The demo market: a small server in EasyInsight's own shape, so that the default run takes the real path.

`python -m deployments.local_stack.demo_market --port 8899` listens on 127.0.0.1 only.
"""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, InvalidRequest
from deployments.local_stack.demo_bars import INTERVALS, Bars, DemoHistory
from deployments.local_stack.demo_symbols import DemoSymbol
from deployments.market_data.models import MAX_CANDLES, Interval

DEFAULT_WINDOW = timedelta(days=30)
MAX_BARS = MAX_CANDLES
"""Bars of one answer, the most that we ask for at once."""


class Json(Response):
    """Answer JSON as bytes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class DemoMarketApi:
    """Answer the routes from a history, by a clock."""

    def __init__(self, history: DemoHistory, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def symbols(self, _request: Request) -> Response:
        """List the symbols."""
        return Json({"symbols": [listing(symbol) for symbol in self._history.symbols.values()]})

    async def ohlcv(self, request: Request) -> Response:
        """Answer one symbol's bars in [start, end), the forming one included."""
        now = self._clock()
        interval, start, end = window(dict(request.query_params), now)
        symbol = request.path_params["symbol"].upper()
        bars = self._history.bars(symbol, interval, start, min(end, now + timedelta(microseconds=1)), now)
        return Json({"symbol": symbol, "interval": interval.value, "candles": candles(bars)})

    async def health(self, _request: Request) -> Response:
        """Say that the history is ready."""
        return Json({"status": "ok"})


def window(parameters: dict[str, str], now: datetime) -> tuple[Interval, datetime, datetime]:
    """Return interval, start and end as asked; raises `InvalidRequest` naming the parameter."""
    interval = _interval(parameters.get("interval", Interval.H1.value))
    end = _time("end", parameters["end"]) if "end" in parameters else now
    start = _time("start", parameters["start"]) if "start" in parameters else end - DEFAULT_WINDOW
    if start >= end:
        raise InvalidRequest("start must lie before end", (("start", "not before end"),))
    if (min(end, now) - start) / interval.delta > MAX_BARS:
        raise InvalidRequest(f"a window holds at most {MAX_BARS} bars", (("start", "window too long"),))
    return interval, start, end


def _interval(value: str) -> Interval:
    offered = {interval.value: interval for interval in INTERVALS}
    if value not in offered:
        raise InvalidRequest(f"interval must be one of {', '.join(offered)}", (("interval", f"not offered: {value}"),))
    return offered[value]


def _time(name: str, value: str) -> datetime:
    try:
        # An unescaped plus sign of an offset arrives as a space.
        time = datetime.fromisoformat(value.replace(" ", "+") if "T" in value else value)
    except ValueError:
        raise InvalidRequest(f"{name} must be an ISO 8601 time", ((name, f"unreadable: {value}"),)) from None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def listing(symbol: DemoSymbol) -> dict[str, str]:
    """Return a symbol as the list shows it."""
    draft = symbol.draft
    return {
        "symbol": draft.symbol,
        "category": draft.category.value,
        "exchange": draft.exchange,
        "base_currency": draft.base_currency,
        "quote_currency": draft.quote_currency,
        "calendar": draft.calendar,
        "lot_size": str(draft.lot_size),
        "price_increment": str(draft.price_increment),
        "size_increment": str(draft.size_increment),
    }


def candles(bars: Bars) -> list[dict[str, Any]]:
    """Return bars as JSON rows, times in ISO 8601 with a Z."""
    times = np.char.add(np.datetime_as_string(bars.time, unit="s"), "Z").tolist()
    columns = (times, *(getattr(bars, name).tolist() for name in Bars.__slots__[1:]))
    return [dict(zip(Bars.__slots__, row, strict=True)) for row in zip(*columns, strict=True)]


async def problem(_request: Request, error: Exception) -> Response:
    """Answer an error of ours as JSON with its status."""
    if not isinstance(error, CandlecastError):
        raise error
    fields = dict(error.fields) if isinstance(error, InvalidRequest) else {}
    return Json({"detail": str(error), "fields": fields}, status_code=error.status)


def create_app(history: DemoHistory, clock: Clock = utc_now) -> Starlette:
    """Return the demo market as an ASGI application."""
    api = DemoMarketApi(history, clock)
    routes = [
        Route("/api/symbols", api.symbols),
        Route("/api/ohlcv/{symbol}", api.ohlcv),
        Route("/health", api.health),
    ]
    return Starlette(routes=routes, exception_handlers={CandlecastError: problem})


def main() -> None:
    """Serve the demo market until told to stop."""
    parser = argparse.ArgumentParser(prog="demo_market", description="Invented candles in EasyInsight's shape.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=int, default=540)
    arguments = parser.parse_args()
    history = DemoHistory(arguments.seed, arguments.days, utc_now())
    uvicorn.run(create_app(history), host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
