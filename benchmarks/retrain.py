"""A training job from its request to its end, as a user asks for it over HTTP, beside the same training by itself.

Both read the same eight symbols of 24,000 bars, train with the same seed, calibrate, judge and publish. The process by
itself reads a file instead of asking a service, knows nothing of Ray, and its time begins with the interpreter's.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks._measured_stack import ROOT, SYMBOL, MeasuredStack, running_stack, stack_home
from benchmarks._synthetic import START, candle_tables
from deployments.forecasting.models import TrainingRequest, TrainingState
from deployments.forecasting.training.data import TrainingData
from deployments.forecasting.training.loop import train
from deployments.forecasting.training.run import TrainingJob
from deployments.market_data.models import CANDLE_SCHEMA, SYMBOL_CANDLE_SCHEMA

SYMBOLS, BARS = 8, 24_000
FACTOR, EXTRA_S = 1.15, 20.0
LOOK_EVERY_S = 0.1
PATIENCE_S = 280.0
LAST_STATES = {TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.STOPPED}


def write_market(folder: Path) -> Path:
    """Write synthetic candles that end with the hour before this one; the first symbol is the one awaited."""
    end = np.datetime64(datetime.now(UTC).replace(tzinfo=None), "h")
    late = (end - np.timedelta64(BARS, "h") - START).astype("timedelta64[us]")
    parts = []
    for number, (symbol, table) in enumerate(candle_tables(SYMBOLS, BARS).items()):
        times = pc.add(table["time"], pa.scalar(late))
        moved = table.set_column(0, "time", times.cast(CANDLE_SCHEMA.field("time").type))
        names = pa.array([symbol if number else SYMBOL] * BARS)
        parts.append(moved.add_column(0, "symbol", names).select(SYMBOL_CANDLE_SCHEMA.names))
    path = folder / "market.parquet"
    pq.write_table(pa.concat_tables(parts).cast(SYMBOL_CANDLE_SCHEMA), path)
    return path


def alone(market: Path) -> None:
    """Train in this process on the candles of a file, and publish into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob("alone", TrainingRequest(), Path(folder), _say)
        job.run(lambda: read(market), lambda *task: train(*task), None)


def read(market: Path) -> TrainingData:
    """Return each symbol's candles."""
    table = pq.read_table(market)
    symbols = sorted(pc.unique(table["symbol"]).to_pylist())
    rows = {symbol: table.filter(pc.equal(table["symbol"], symbol)) for symbol in symbols}
    return TrainingData({symbol: each.select(CANDLE_SCHEMA.names) for symbol, each in rows.items()})


def alone_s(market: Path) -> float:
    """Return what it takes in a process of its own, in seconds."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.retrain", "--alone", str(market)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  (our own module)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    _say(done.stdout.strip().splitlines()[-1])
    return time.perf_counter() - started


def job_s(stack: MeasuredStack) -> float:
    """Return the seconds from asking for a training to its last record."""
    with httpx.Client(base_url=f"{stack.url}/api/v1", headers=stack.headers, timeout=60.0) as client:
        started = time.perf_counter()
        run = client.post("/training", json={}).raise_for_status().json()
        phase, since = "", started
        while run["state"] not in LAST_STATES:
            if time.perf_counter() - started > PATIENCE_S:
                raise TimeoutError(f"{run['id']} is still {run['phase']}")
            time.sleep(LOOK_EVERY_S)
            run = client.get(f"/training/{run['id']}").raise_for_status().json()
            if run["phase"] != phase:
                _say(f"  {phase or 'asked for'}: {time.perf_counter() - since:.1f} s")
                phase, since = run["phase"], time.perf_counter()
        took = time.perf_counter() - started
    if run["state"] != TrainingState.SUCCEEDED:
        raise RuntimeError(f"{run['id']} {run['state']}: {run['error']}")
    _say(f"{run['state']} {run['version']}, {run['step']} steps, validation {run['validation_loss']:.5f}")
    return took


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """Print both, and the bound."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.retrain")
    options.add_argument("--alone", type=Path, metavar="FILE", help="only train on the candles of this file")
    market = options.parse_known_args()[0].alone
    if market:
        alone(market)
        return
    with stack_home() as folder:
        market = write_market(folder)
        plain = alone_s(market)
        _say(f"by itself {plain:.1f} s")
        with running_stack(folder, "loopback", market) as stack:
            job = job_s(stack)
    bound = FACTOR * plain + EXTRA_S
    _say(f"as a job  {job:.1f} s, goal at most {FACTOR:g} x {plain:.1f} + {EXTRA_S:g} = {bound:.1f} s")


if __name__ == "__main__":
    main()
