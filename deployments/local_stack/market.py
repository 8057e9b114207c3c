"""Where a stack's candles come from, decided once per home: a file, the demo market, or a market of the user's."""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import httpx

from deployments.local_stack import processes
from deployments.local_stack.errors import StackError
from deployments.local_stack.history import History
from deployments.local_stack.home import OwnedProcess, StackHome
from deployments.local_stack.ports import free_ports
from deployments.local_stack.ray_head import tail
from deployments.market_data.models import Interval

DEMO_TIMEOUT_S = 30.0


class MarketKind(StrEnum):
    FILE = "file"
    DEMO = "demo"
    EXTERNAL = "external"


@dataclass(slots=True)
class Market:
    """The source of a stack's candles; `url` is EasyInsight's, ours in the demo, empty where there is none."""

    kind: MarketKind
    interval: Interval
    url: str = ""

    @classmethod
    def choose(cls, home: StackHome, data: Path | None, history: History) -> "Market":
        """Return this home's market.

        A home that was filled from a file never gets demo candles beside them, and the other way round.
        """
        kind, interval = _wanted(data, history), history.interval
        record = home.root / "market.json"
        if record.exists():
            known = json.loads(record.read_text(encoding="utf-8"))
            remembered = MarketKind(known["kind"])
            if data is None and remembered is not MarketKind.DEMO:
                kind, interval = remembered, Interval(known["interval"])
            elif remembered is MarketKind.DEMO and kind is not MarketKind.DEMO:
                raise StackError(f"{home.root} holds the demo market; give your candles a home of their own (--home)")
        if kind is MarketKind.EXTERNAL and _wanted(None, history) is not MarketKind.EXTERNAL:
            raise StackError(f"{home.root} reads a market of yours: set TIMESCALEDB_HOST or EASYINSIGHT_API_URL again")
        return cls(kind, interval, os.environ.get("EASYINSIGHT_API_URL", ""))

    def remember(self, home: StackHome) -> None:
        """Bind the home to this market, now that its candles are in."""
        record = json.dumps({"kind": self.kind, "interval": self.interval})
        (home.root / "market.json").write_text(record, encoding="utf-8")


def _wanted(data: Path | None, history: History) -> MarketKind:
    if data is not None:
        return MarketKind.FILE
    if os.environ.get("EASYINSIGHT_API_URL") or os.environ.get("TIMESCALEDB_HOST"):
        return MarketKind.EXTERNAL
    return MarketKind.DEMO


def start_demo_market(home: StackHome, remember: Callable[[OwnedProcess], None]) -> str:
    """Start the demo market on a port of its own and return its address once it answers."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    log = home.logs / "demo_market.log"
    command = [sys.executable, "-m", "deployments.local_stack.demo_market", "--port", str(port)]
    process = processes.start("demo market", command, os.environ, log)
    remember(process)
    deadline = time.monotonic() + DEMO_TIMEOUT_S
    while time.monotonic() < deadline and processes.is_alive(process):
        try:
            if httpx.get(f"{url}/api/symbols", timeout=5.0).is_success:
                return url
        except httpx.HTTPError:
            time.sleep(0.1)
    processes.end(process, grace_s=1)
    raise StackError(f"the demo market did not start:\n{tail(log)}")
