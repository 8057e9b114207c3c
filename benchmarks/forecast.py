"""One forecast and many: from bars to quantiles in this process, beside `NeuralForecast.predict`, and over HTTP.

Ours is the whole way of a request once its bars are read: features, the networks, calibration, and the baseline that is
issued along, on one thread, which is what Ray gives a replica. The peer gets the same candles as a frame and as many
networks of the same shape; below it, what it takes when it gets only the bars that it reads, and with one network. It
has every processor. Its work is that of our networks alone, whose time is told too. Over HTTP, a forecast asked for
again and one that has to be made are set beside fixed bytes of the same size. `--no-http` leaves the graph out.
"""

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from benchmarks._load import measure
from benchmarks._measured_graph import FIXED
from benchmarks._measured_stack import DAYS, SYMBOL, MeasuredStack, running_stack, stack_home, write_candles
from benchmarks._synthetic import candle_tables
from deployments.forecasting.models import Decision, ModelCard, ModelStatus
from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.ensemble import Ensemble
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.series.panel import Panel, panel_of
from deployments.forecasting.series.scale import HISTORY_BARS
from deployments.forecasting.serving.history import history_of
from deployments.forecasting.serving.ladder import Task, predict
from deployments.forecasting.serving.shelf import Choice, LoadedModel
from deployments.forecasting.training.fitting import Fitted, fit
from deployments.forecasting.training.loop import TrainingConfig
from deployments.market_data.models import Candles, Interval, Source

BATCHES = (1, 32, 256)
REPEATS = 15
LINES = (
    ("asked again", 1, 6.0),
    ("asked again", 8, 6.0),
    ("asked again", 32, 6.0),
    # Short, so that no instant comes twice.
    ("made anew", 1, 4.0),
    ("fixed bytes", 1, 6.0),
    ("fixed bytes", 8, 6.0),
    ("fixed bytes", 32, 6.0),
)
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


def tasks_of(loaded: LoadedModel, count: int) -> list[Task]:
    """Return as many forecasts to make, each of another symbol at the same instant."""
    tasks = []
    for symbol, table in candle_tables(count, HISTORY_BARS).items():
        candles = Candles(symbol, Interval.H1, table, Source.DATABASE, None, stale=False)
        tasks.append(Task(Choice(loaded), history_of(candles, "24/7"), loaded.card.horizon))
    return tasks


class Library:
    """NeuralForecast with networks of our shape, fitted for one step."""

    def __init__(self, shape: NetworkConfig, networks: int) -> None:
        from neuralforecast import NeuralForecast
        from neuralforecast.models import NHITS

        arguments = {**network.arguments(replace(shape, regimes=0)), "stat_exog_list": None}
        self.networks = networks
        models = [NHITS(**arguments, max_steps=1, enable_checkpointing=False) for _ in range(networks)]
        self._library = NeuralForecast(models=models, freq="h")
        self._library.fit(frame_of(1, 4 * (shape.input_size + shape.horizon)), val_size=0)

    def predict_ms(self, frame: pd.DataFrame) -> float:
        """Return the median time of a prediction."""
        return median_ms(lambda: self._library.predict(frame))


def networks_ms(shape: NetworkConfig, members: int, count: int) -> float:
    """Return the median time of the forward pass of all members, which is what the library's predict computes too."""
    plain = replace(shape, regimes=0)
    ensemble = Ensemble([network.build(plain, seed=seed) for seed in range(members)], plain)
    path = torch.randn(count, shape.input_size)
    with torch.inference_mode():
        return median_ms(lambda: ensemble(path, torch.ones_like(path), None))


def frame_of(count: int, bars: int) -> pd.DataFrame:
    """Return the last `bars` of the symbols of `tasks_of` as the library wants them."""
    parts = []
    for symbol, table in candle_tables(count, HISTORY_BARS).items():
        times = table["time"].to_numpy()[-bars:]
        parts.append(pd.DataFrame({"unique_id": symbol, "ds": times, "y": np.log(table["close"].to_numpy()[-bars:])}))
    return pd.concat(parts, ignore_index=True)


def in_process(fitted: Fitted, card: ModelCard) -> None:
    """Print the times of both in this process."""
    loaded = LoadedModel(card, fitted.predictor())
    shape = NetworkConfig.from_dict(fitted.config["network"])
    members = int(fitted.config["training"]["members"])
    peers = {
        f"{members} networks, same frame": (Library(shape, members), HISTORY_BARS),
        f"{members} networks, {shape.input_size} bars": (Library(shape, members), shape.input_size),
        f"1 network, {shape.input_size} bars": (Library(shape, 1), shape.input_size),
    }
    print(f"ours: 1 thread, {members} networks reading {shape.input_size} of {HISTORY_BARS} bars; the peer: ", end="")
    print(f"{torch.get_num_threads()} threads")
    # A baseline that has no part in the answer is not computed for the model, only for what is issued along.
    print(f"the model's weight beside the baseline: {float(fitted.tensors['calibration.blend'][0]):g}")
    for count in BATCHES:
        tasks = tasks_of(loaded, count)
        with threadpool_limits(1):
            ours = median_ms(lambda tasks=tasks: predict(tasks))  # type: ignore[misc]
            networks = networks_ms(shape, members, count)
        print(f"{count:>4} series: ours {ours:.2f} ms, {1000 * count / ours:,.0f} series/s; ", end="")
        print(f"its networks alone {networks:.2f} ms", flush=True)
        for name, (library, bars) in peers.items():
            theirs = library.predict_ms(frame_of(count, bars))
            print(f"{'':>13} predict, {name:<23}{theirs:>8.2f} ms, ratio ", end="")
            alone = f", to the networks alone {theirs / networks:.1f}" if bars == shape.input_size else ""
            print(f"{theirs / ours:.1f}{alone if library.networks == members else ''}", flush=True)


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
    """Print one profile's lines, and the distances that have a goal."""
    headers = stack.headers | {"Accept-Encoding": "identity"}
    again, size = [f"{stack.url}/api/v1/forecast/{SYMBOL}"], 0
    made = [f"{again[0]}?as_of={instant:%Y-%m-%dT%H:00:00Z}" for instant in earlier_hours()]
    p50 = {}
    for name, connections, seconds in LINES:
        fixed = [f"{stack.url}{FIXED}{size}"]
        urls = {"asked again": again, "made anew": made, "fixed bytes": fixed}[name]
        load = measure(urls[0], connections, seconds, headers, urls[1:])
        p50[name, connections], size = load.p50_ms, load.body_bytes
        figures = f"{load.per_s:>10.0f}{load.p50_ms:>10.2f}{load.p99_ms:>10.2f}{load.body_bytes / 1000:>9.1f}"
        print(f"{f'{profile}, {name}':<26}{connections:>6}{figures}", flush=True)
    for name in ("asked again", "made anew"):
        beyond = p50[name, 1] - p50["fixed bytes", 1]
        print(f"{profile} p50 at one connection, {name}: {beyond:.2f} ms beyond fixed bytes (goal {P50_GOAL_MS:g})")


def earlier_hours() -> list[datetime]:
    """Return instants to forecast from: each is another last bar, and has all the history that a model reads."""
    now = datetime.now(UTC)
    return [now - timedelta(hours=hours) for hours in range(2, 24 * DAYS - HISTORY_BARS)]


def card_of(fitted: Fitted, panel: Panel) -> ModelCard:
    """Return the card of a version that is published for its speed alone."""
    # Older than every instant that is forecast from: else no model answers.
    now = datetime.now(UTC) - timedelta(days=DAYS)
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
    logging.disable(logging.WARNING)
    panel = panel_of(candle_tables(4, 3_000), Interval.H1)
    fitted = fit(panel, NetworkConfig(), TrainingConfig(max_steps=STEPS))
    card = card_of(fitted, panel)
    in_process(fitted, card)
    if not options.parse_known_args()[0].no_http:
        with stack_home() as folder:
            over_http(folder, fitted, card)


if __name__ == "__main__":
    main()
