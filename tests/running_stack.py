"""A whole Candlecast on this machine, started by its own command line, for the tests that need the real thing."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from deployments.local_stack import processes
from deployments.local_stack.home import StackHome
from deployments.local_stack.ports import free_ports
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA

ROOT = Path(__file__).resolve().parents[1]
SYMBOLS = ("BTCUSD", "ETHUSD", "SOLUSD")
BARS = 1_400
END = datetime(2024, 3, 1, tzinfo=UTC)
"""The data end in the past, so everything that reads them has to say so."""
UP_TIMEOUT_S = 480


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A started stack: its home, its address, its admin key, and the candles it was given."""

    home: Path
    port: int
    candles: pa.Table
    data: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return (self.home / "admin.key").read_text(encoding="utf-8").strip()

    def api(self) -> httpx.Client:
        """Return a client with the admin key."""
        return httpx.Client(base_url=self.url, headers={"X-API-Key": self.key}, timeout=60.0)

    def up(self) -> None:
        """Start the stack in the background; the same again after an end."""
        self.command("up", "--detach", "--no-train", "--port", str(self.port), "--data", str(self.data))

    def command(self, *arguments: str) -> str:
        """Run `candlecast` on this home and return what it printed."""
        command = [sys.executable, "-m", "deployments.cli", arguments[0], "--home", str(self.home), *arguments[1:]]
        return self.run(command, os.environ | {"RAG_SYNC_LOOKBACK_DAYS": "5"})

    def run(self, command: list[str], environment: Mapping[str, str]) -> str:
        """Run a program in the project's folder and return what it printed."""
        answer = subprocess.run(
            command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, timeout=UP_TIMEOUT_S, check=False
        )
        log = self.home / "logs" / "stack.log"
        assert answer.returncode == 0, answer.stdout + answer.stderr + (log.read_text() if log.exists() else "")
        return answer.stdout

    def environment(self) -> dict[str, str]:
        """Return the environment of a shell after `eval "$(candlecast env)"`."""
        lines = self.command("env").splitlines()
        exports = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        return os.environ | {name: value.strip("'") for name, value in exports.items()}

    def status(self) -> dict[str, Any]:
        """Return `candlecast status --json`."""
        found: dict[str, Any] = json.loads(self.command("status", "--json"))
        return found

    def kill(self) -> list[psutil.Process]:
        """Kill every process of the stack, the keeper and the database first, and return them."""
        state = StackHome(self.home).read_state()
        assert state is not None
        assert state.keeper is not None
        doomed = [psutil.Process(state.keeper.pid)]
        postmaster = self.home / "postgres" / "postmaster.pid"
        doomed.append(psutil.Process(int(postmaster.read_text().splitlines()[0])))
        for process in state.processes:
            doomed += processes.members(process)
        for each in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):  # the end of one may be that of another
                each.kill()
        psutil.wait_procs(doomed, timeout=60)
        return doomed


def processes_of(home: Path) -> list[str]:
    """Return the command lines of whatever runs for the stack on a home."""
    runtime = str(StackHome(home).runtime)
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if (str(home) in line or runtime in line) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found


def prepare_stack(folder: Path) -> RunningStack:
    """Write candles to a file and describe a stack on them; `up` starts it."""
    candles = random_candles()
    data = folder / "candles.parquet"
    pq.write_table(candles, data)
    (port,) = free_ports(1)
    return RunningStack(folder / "home", port, candles, data)


def random_candles() -> pa.Table:
    """Return hourly candles of three symbols whose volatility comes in clusters."""
    times = [END - timedelta(hours=BARS - i) for i in range(BARS)]
    parts = []
    for number, symbol in enumerate(SYMBOLS):
        random = np.random.default_rng(number)
        volatility = 0.004 * np.exp(np.convolve(random.normal(size=BARS + 47), np.ones(48) / 12, "valid"))
        close = 100.0 * 10**number * np.exp(np.cumsum(volatility * random.normal(size=BARS)))
        opened = np.concatenate([[close[0]], close[:-1]])
        high = np.maximum(opened, close) * (1 + volatility / 2)
        low = np.minimum(opened, close) * (1 - volatility / 2)
        columns = [[symbol] * BARS, times, opened, high, low, close, random.uniform(10, 20, BARS)]
        parts.append(pa.table([pa.array(each) for each in columns], names=SYMBOL_CANDLE_SCHEMA.names))
    return pa.concat_tables(parts).cast(SYMBOL_CANDLE_SCHEMA)


def until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return once `condition` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.2)
