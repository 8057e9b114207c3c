"""A whole stack in a temporary folder, started by its own command line and ended whatever happens."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from deployments.local_stack.config import SERVE_CONFIG, read_config
from deployments.local_stack.home import StackHome
from deployments.local_stack.ports import free_ports
from deployments.local_stack.postgres import DATABASE, USER, EmbeddedPostgres
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA

ROOT = Path(__file__).resolve().parents[1]
SYMBOL = "BTCUSDT"
DAYS = 100
UP_S, QUIET_S, CALM_S = 300.0, 120.0, 15.0


@dataclass(frozen=True, slots=True)
class MeasuredStack:
    """A running stack: its address and the header that opens it."""

    url: str
    headers: dict[str, str]


@contextmanager
def stack_home() -> Iterator[Path]:
    """Yield a short temporary folder; unix sockets live below it."""
    folder = Path(tempfile.mkdtemp(prefix="cc-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_candles(folder: Path) -> Path:
    """Write hourly candles of one symbol up to now, with as many digits as real ones have."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    bars = DAYS * 24
    random = np.random.default_rng(7)
    close = np.round(60_000 * np.exp(np.cumsum(random.normal(0, 0.005, bars))), 2)
    opened = np.concatenate([[60_000.0], close[:-1]])
    high = np.round(np.maximum(opened, close) * 1.001, 2)
    low = np.round(np.minimum(opened, close) * 0.999, 2)
    columns = [
        [SYMBOL] * bars, [end - timedelta(hours=bars - n) for n in range(bars)],
        opened, high, low, close, np.round(random.uniform(10, 2_000, bars), 5),
    ]  # fmt: skip
    table = pa.table([pa.array(each) for each in columns], names=SYMBOL_CANDLE_SCHEMA.names)
    path = folder / "candles.parquet"
    pq.write_table(table.cast(SYMBOL_CANDLE_SCHEMA), path)
    return path


@contextmanager
def running_stack(folder: Path, profile: str, data: Path) -> Iterator[MeasuredStack]:
    """Start the measured graph without a model, wait until it is quiet, and take it down at the end."""
    (port,) = free_ports(1)
    config = read_config(SERVE_CONFIG)
    (application,) = config["applications"]
    application["import_path"] = "benchmarks._measured_graph:build"
    application["args"] |= {"rate_per_s": 1e9, "rate_burst": 1_000_000_000}
    file = folder / "serve_config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    options = ["--detach", "--no-train", "--port", str(port), "--profile", profile, "--config", str(file)]
    try:
        candlecast(folder, "up", *options, "--data", str(data))
        key = (folder / "home" / "admin.key").read_text(encoding="utf-8").strip()
        stack = MeasuredStack(f"http://127.0.0.1:{port}", {"X-API-Key": key})
        await_quiet(stack)
        yield stack
    finally:
        candlecast(folder, "down")


def candlecast(folder: Path, command: str, *arguments: str, sync: bool = False) -> str:
    """Run our own command on the folder's home, by default without the knowledge sync; raises with what it said."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAG_SYNC_ENABLED": str(sync).lower()}
    line = [sys.executable, "-m", "deployments.cli", command, "--home", str(folder / "home"), *arguments]
    done = subprocess.run(  # noqa: S603  (our own command)
        line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=UP_S, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout


def await_quiet(stack: MeasuredStack) -> None:
    """Return when the stack has imported everything and its sync rests."""
    with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=30.0) as client:
        deadline = time.monotonic() + QUIET_S
        while time.monotonic() < deadline:
            count = client.get(f"/api/v1/data/{SYMBOL}?limit=5000").json().get("count", 0)
            # New candles ask for a cycle even where none is due; with many symbols it takes minutes.
            if count >= DAYS * 24 - 1 and not client.post("/api/v1/sync/stop").json().get("busy"):
                time.sleep(CALM_S)  # what a start sets in motion comes to rest
                return
            time.sleep(0.5)
    raise TimeoutError("the stack did not come to rest")


@contextmanager
def database_alone(folder: Path) -> Iterator[str]:
    """Start the stack's database, with what the stack left in it, and yield its address for asyncpg."""
    postgres = EmbeddedPostgres(StackHome(folder / "home"))
    try:
        services = postgres.start()
        yield f"postgresql://{USER}@/{DATABASE}?host={services['TIMESCALEDB_HOST']}&port={services['TIMESCALEDB_PORT']}"
    finally:
        postgres.stop()


@contextmanager
def running_peer(module: str, dsn: str) -> Iterator[str]:
    """Serve a peer's app with uvicorn in a process of its own, and yield its address."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", f"{module}:app", "--port", str(port), "--no-access-log"]
    environment = os.environ | {"PEER_DSN": dsn, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(  # noqa: S603  (our own module)
        [*command, "--log-level", "warning"], cwd=ROOT, env=environment
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_answer(f"{url}/data/{SYMBOL}", process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def _await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, timeout=5.0).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{url} does not answer")
