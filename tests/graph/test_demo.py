"""What a newcomer runs: the demo market in the foreground, a first model, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deployments.local_stack.home import StackHome
from deployments.local_stack.ports import free_ports
from deployments.local_stack.stack import end_leftovers
from tests.running_stack import ROOT, processes_of, until

pytestmark = [pytest.mark.ray, pytest.mark.db, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    down = [sys.executable, "-m", "deployments.cli", "down", "--home", str(tmp_path)]
    subprocess.run(down, cwd=ROOT, check=True, capture_output=True)


def test_the_default_run_forecasts_by_nhits_and_ctrl_c_leaves_nothing(home: Path) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with running_demo(home, port) as keeper:
        look_at_it_and_end_it(keeper, home, url)

    assert processes_of(home) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/livez")


@contextmanager
def running_demo(home: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the default run in the foreground of its own process; nothing of it outlives the block."""
    command = [sys.executable, "-m", "deployments.cli", "up", "--home", str(home), "--port", str(port)]
    environment = os.environ | {"RAG_SYNC_LOOKBACK_DAYS": "2"}
    with (home / "output").open("wb") as output:
        keeper = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield keeper
    finally:
        if keeper.poll() is None:
            keeper.send_signal(signal.SIGINT)
        try:
            keeper.wait(timeout=90)
        finally:
            keeper.kill()
            end_leftovers(StackHome(home))


def look_at_it_and_end_it(keeper: "subprocess.Popen[bytes]", home: Path, url: str) -> None:
    def is_up() -> bool:
        assert keeper.poll() is None, (home / "output").read_text()
        return "Candlecast is up" in (home / "output").read_text()

    until(is_up, 400, "the first model")
    key = (home / "admin.key").read_text()
    with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=60.0) as api:
        forecasts = api.get("/api/v1/forecast/batch", params={"symbols": "BTCUSD,EURUSD,AAPL"}).json()["results"]
        candles = api.get("/api/v1/data/BTCUSD", params={"lookback_days": 30}).json()
        health = api.get("/api/v1/health").json()
    assert {each["model"]["name"] for each in forecasts.values()} == {"nhits"}, json.dumps(forecasts)[:2000]
    assert candles["count"] > 700
    assert candles["stale"] is False
    assert health["status"] == "healthy"
    assert len(processes_of(home)) > 3

    keeper.send_signal(signal.SIGINT)
    assert keeper.wait(timeout=90) == 0
