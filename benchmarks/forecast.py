"""One forecast: from bars to quantiles in this process, beside `NeuralForecast.predict`, and over HTTP in our graph.

Ours is the whole way of a request once its bars are read: features, forward pass of every member, calibration, and the
baseline that is issued along. The peer gets one window of the same length a series as a frame, and answers one network.
`--no-http` leaves the graph out.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from benchmarks._load import measure
from benchmarks._measured_graph import FIXED
from benchmarks._measured_stack import SYMBOL, MeasuredStack, running_stack, stack_home, write_candles
from deployments.forecasting.bars import bars_of
from deployments.forecasting.fitting import Fitted, fit
from deployments.forecasting.history import History
from deployments.forecasting.ladder import Task, predict
from deployments.forecasting.models import Decision, ModelCard, ModelStatus
from deployments.forecasting.network import NetworkConfig
from deployments.forecasting.panel import Panel, panel_of
from deployments.forecasting.registry import Registry
from deployments.forecasting.scale import HISTORY_BARS
from deployments.forecasting.shelf import Choice, LoadedModel
from deployments.forecasting.training import TrainingConfig
from deployments.market_data.models import CANDLE_SCHEMA, Interval

BATCHES = (1, 32, 256)
REPEATS = 20
SECONDS = 10.0
CONNECTIONS = (1, 8, 32)
STEPS = 90
"""Enough for a model that answers; how well does not matter here."""

P50_GOAL_MS = 5.0


def median_ms(work: Callable[[], object]) -> float:
    """Return the median time of `work` in ms after one warm-up."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def walk_panel(symbols: int = 4, bars: int = 3_000) -> tuple[Panel, dict[str, pd.DataFrame]]:
    """Return random candles as a panel and as frames."""
    tables = {}
    for number in range(symbols):
        random = np.random.default_rng(number)
        close = 100 * np.exp(np.cumsum(random.normal(0, 0.005, bars)))
        opened = np.concatenate([[100.0], close[:-1]])
        times = pd.date_range("2024-01-01", periods=bars, freq="h", tz="UTC")
        columns = {"time": times, "open": opened, "high": np.maximum(opened, close) * 1.001, "close": close}
        frame = pd.DataFrame(columns | {"low": np.minimum(opened, close) * 0.999, "volume": 1.0})
        tables[f"S{number}USD"] = frame
    return panel_of({name: as_arrow(frame) for name, frame in tables.items()}, Interval.H1), tables


def as_arrow(frame: pd.DataFrame) -> pa.Table:
    """Return candles as market data sends them."""
    return pa.Table.from_pandas(frame[CANDLE_SCHEMA.names], schema=CANDLE_SCHEMA, preserve_index=False)


def tasks_of(frame: pd.DataFrame, loaded: LoadedModel, count: int) -> list[Task]:
    """Return as many forecasts to make, each of another stretch of the same candles."""
    tasks = []
    for number in range(count):
        table = as_arrow(frame.iloc[number : number + HISTORY_BARS])
        last = table["time"][-1].as_py()
        bars = bars_of(table, "24/7", Interval.H1)
        history = History("S0USD", Interval.H1, "24/7", bars, last, last, False, 0)
        tasks.append(Task(Choice(loaded), history, loaded.card.horizon))
    return tasks


def library_ms(frame: pd.DataFrame, shape: NetworkConfig, count: int) -> float:
    """Return the time of the library's own predict on as many windows as a frame."""
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MQLoss
    from neuralforecast.models import NHITS

    size = shape.input_size
    rows = [
        pd.DataFrame({"unique_id": number, "ds": frame["time"].dt.tz_localize(None), "y": frame["close"]})[
            number : number + size
        ]
        for number in range(count)
    ]
    windows = pd.concat(rows)
    model = NHITS(
        h=shape.horizon, input_size=size, loss=MQLoss(level=[80, 90]), max_steps=1, accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
    )  # fmt: skip
    library = NeuralForecast(models=[model], freq="h")
    whole = pd.DataFrame({"unique_id": 0, "ds": frame["time"].dt.tz_localize(None), "y": frame["close"]})
    library.fit(whole[: 4 * size], val_size=0)
    return median_ms(lambda: library.predict(windows))


def in_process(fitted: Fitted, card: ModelCard, frame: pd.DataFrame) -> None:
    """Print the times of both in this process."""
    loaded = LoadedModel(card, fitted.predictor())
    shape = NetworkConfig.from_dict(fitted.config["network"])
    members = fitted.config["training"]["members"]
    reading = f"{members} networks reading {shape.input_size} of {HISTORY_BARS} bars"
    print(f"torch threads {torch.get_num_threads()}, {reading}")
    print(f"{'series':>8}{'ours ms':>10}{'series/s':>10}{'predict ms':>12}{'ratio':>8}")
    for count in BATCHES:
        tasks = tasks_of(frame, loaded, count)
        ours = median_ms(lambda tasks=tasks: predict(tasks))  # type: ignore[misc]
        theirs = library_ms(frame, shape, count)
        print(f"{count:>8}{ours:>10.2f}{1000 * count / ours:>10.0f}{theirs:>12.2f}{theirs / ours:>8.1f}", flush=True)


def over_http(folder: Path, fitted: Fitted, card: ModelCard) -> None:
    """Print throughput and latency of the route, warm, beside fixed bytes of the same size."""
    registry = Registry(folder / "home" / "models")
    version = registry.publish(fitted.tensors, card).version
    registry.promote(version, Decision(version, "promote", "to be measured", card.trained_at))
    data = write_candles(folder)
    print(f"{'':<26}{'conns':>6}{'per s':>10}{'p50 ms':>10}{'p99 ms':>10}{'kB':>9}")
    for profile in ("loopback", "performance"):
        with running_stack(folder, profile, data) as stack:
            measure_profile(profile, stack)


def measure_profile(profile: str, stack: MeasuredStack) -> None:
    """Print one profile's lines, and the distance that has a goal."""
    headers = stack.headers | {"Accept-Encoding": "identity"}
    p50, size = {}, 0
    for name in ("forecast", "fixed bytes"):
        path = f"/api/v1/forecast/{SYMBOL}" if name == "forecast" else f"{FIXED}{size}"
        for connections in CONNECTIONS:
            load = measure(stack.url + path, connections, SECONDS, headers)
            p50[name, connections], size = load.p50_ms, load.body_bytes
            figures = f"{load.per_s:>10.0f}{load.p50_ms:>10.2f}{load.p99_ms:>10.2f}{load.body_bytes / 1000:>9.1f}"
            print(f"{f'{profile}, {name}':<26}{connections:>6}{figures}", flush=True)
    beyond = p50["forecast", 1] - p50["fixed bytes", 1]
    print(f"{profile} p50 at one connection: {beyond:.2f} ms beyond fixed bytes (goal at most {P50_GOAL_MS:g})")


def card_of(fitted: Fitted, panel: Panel) -> ModelCard:
    """Return the card of a version that is published for its speed alone."""
    now = datetime.now(UTC)
    shape = NetworkConfig.from_dict(fitted.config["network"])
    card = ModelCard(
        version="", interval=Interval.H1, horizon=shape.horizon, input_size=shape.input_size,
        status=ModelStatus.CANDIDATE, trained_at=now, data_start=panel.data_start, data_end=panel.data_end,
        symbols=panel.symbols, metrics={}, config=fitted.config, decision=None, sha256="",
    )  # fmt: skip
    return replace(card, data_sha256=panel.fingerprint)


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.forecast")
    options.add_argument("--no-http", action="store_true", help="leave the running graph out")
    warnings.simplefilter("ignore")
    panel, frames = walk_panel()
    fitted = fit(panel, NetworkConfig(), TrainingConfig(max_steps=STEPS))
    card = card_of(fitted, panel)
    in_process(fitted, card, frames["S0USD"])
    if not options.parse_known_args()[0].no_http:
        with stack_home() as folder:
            over_http(folder, fitted, card)


if __name__ == "__main__":
    main()
