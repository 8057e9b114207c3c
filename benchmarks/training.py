"""Training per step beside `NeuralForecast.fit`: the same architecture, windows, steps and loss, in one process.

Both read eight series of 24,000 bars, draw 512 windows a step, standardise each by its own mean and deviation, and
minimise the same pinball loss. The time of a step is the difference between a short and a long run, so that neither
pays for its start. Both networks are then scored by one function on the same windows after the training bars. Last
comes our own recipe, whole, on candles: `precision` and `compiled` variants of its step, and the time to a model.
"""

import logging
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch

from benchmarks._plain_lesson import PlainLesson, forecast
from benchmarks._synthetic import candle_tables
from deployments.forecasting.judging.evaluation import pinball_losses
from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.panel import Panel, Positions, panel_of
from deployments.forecasting.training.fitting import finished, material_of
from deployments.forecasting.training.lesson import Material
from deployments.forecasting.training.loop import TrainingConfig, train
from deployments.forecasting.training.state import Trained
from deployments.market_data.models import Interval

SERIES, BARS = 8, 24_000
TRAINED_BARS = 20_000
SHORT, LONG, REPEATS = 10, 110, 3
SHAPE = NetworkConfig(input_size=168, regimes=0, width=256, pooling=(8, 4, 1), dropout=0.0)
CONFIG = TrainingConfig(max_steps=LONG, members=1, check_every=10_000, patience=10_000)


def per_step_ms(run: Callable[[int], Trained]) -> float:
    """Return the time of one step in ms: long runs less short ones, the median of a few, after one to warm up."""
    run(SHORT)
    differences = []
    for _ in range(REPEATS):
        short, long = (_seconds(run, steps) for steps in (SHORT, LONG))
        differences.append(1_000 * (long - short) / (LONG - SHORT))
    return statistics.median(differences)


def _seconds(run: Callable[[int], Trained], steps: int) -> float:
    started = time.perf_counter()
    run(steps)
    return time.perf_counter() - started


def ours(precision: str, panel: Panel, steps: int) -> Trained:
    """Train with our loop on closes alone."""
    lesson = PlainLesson(
        panel.log_closes, origins(panel, 0, TRAINED_BARS), origins(panel, TRAINED_BARS, BARS, 997), SHAPE.input_size
    )
    return train(lesson, SHAPE, replace(CONFIG, max_steps=steps, precision=precision))


def theirs(panel: Panel, steps: int) -> Trained:
    """Train with `NeuralForecast.fit`, and return its weights."""
    from neuralforecast import NeuralForecast
    from neuralforecast.models import NHITS

    arguments = {**network.arguments(SHAPE), "scaler_type": "standard", "stat_exog_list": None}
    model = NHITS(
        **arguments, max_steps=steps, windows_batch_size=CONFIG.batch, batch_size=SERIES, learning_rate=1e-3,
        random_seed=1, enable_checkpointing=False, optimizer=torch.optim.AdamW,
        optimizer_kwargs={"weight_decay": CONFIG.weight_decay}, gradient_clip_val=CONFIG.clip,
    )  # fmt: skip
    library = NeuralForecast([model], freq="h")
    library.fit(frame_of(panel), val_size=0)
    weights = network.weights_of(library.models[0])
    return Trained((weights,), steps, steps, 0.0, 0.0)


def frame_of(panel: Panel) -> pd.DataFrame:
    """Return the bars to train on as the library wants them."""
    parts = []
    for number, start in enumerate(panel.offsets[:-1]):
        rows = slice(start, start + TRAINED_BARS)
        parts.append(
            pd.DataFrame({"unique_id": number, "ds": panel.times[rows], "y": panel.log_closes[rows].astype(np.float32)})
        )
    return pd.concat(parts)


def origins(panel: Panel, start: int, end: int, stride: int = 1) -> Positions:
    """Return where windows end whose bars ahead lie in [start, end) of each series."""
    single = np.arange(max(start, SHAPE.input_size) - 1, end - SHAPE.horizon, stride)
    return np.concatenate([single + offset for offset in panel.offsets[:-1]])


def validation_loss(panel: Panel, trained: Trained) -> float:
    """Return the pinball loss in log price on bars after those trained on, in thousandths."""
    rows = origins(panel, TRAINED_BARS, BARS, 29)
    read = panel.log_closes[rows[:, None] + np.arange(1 - SHAPE.input_size, 1)]
    actual: FloatArray = panel.log_closes[rows[:, None] + np.arange(1, SHAPE.horizon + 1)]
    return float(1_000 * pinball_losses(actual, forecast(trained, SHAPE, read, SHAPE.input_size)).mean())


def recipe(panel: Panel) -> None:
    """Print what a step of the recipe itself costs, by variant, and how long a model takes from candles to artefact."""
    shape = NetworkConfig()
    started = time.perf_counter()
    material = material_of(panel, shape)
    prepared = time.perf_counter() - started
    for name, config in {
        "float32": CONFIG,
        "bfloat16": replace(CONFIG, precision="bfloat16"),
        "compiled": replace(CONFIG, compiled=True),
    }.items():
        print(f"recipe, {name:10}{per_step_ms(partial(_steps, material, shape, config)):>8.1f} ms a step")
    started = time.perf_counter()
    config = TrainingConfig()
    trained = train(material, shape, config)
    finished(material, trained, shape, config)
    whole = prepared + time.perf_counter() - started
    print(f"candles to artefact {whole:.0f} s for {panel.bars:,} bars, {trained.steps} steps of {config.max_steps}")


def _steps(material: Material, shape: NetworkConfig, config: TrainingConfig, steps: int) -> Trained:
    return train(material, shape, replace(config, max_steps=steps))


def main() -> None:
    """Print both."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")
    for name in (
        "lightning.fabric.utilities.seed",
        "lightning_fabric.utilities.seed",
        "pytorch_lightning.utilities.rank_zero",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
    panel = panel_of(candle_tables(SERIES, BARS), Interval.H1)
    print(f"torch threads {torch.get_num_threads()}, {SERIES} series of {BARS:,} bars, {CONFIG.batch} windows a step")
    print(f"{'':16}{'ms a step':>10}{'validation loss x 1000':>24}")
    trainers: dict[str, Callable[[Panel, int], Trained]] = {
        "ours, float32": partial(ours, "float32"),
        "ours, bfloat16": partial(ours, "bfloat16"),
        "NeuralForecast": theirs,
    }
    figures = {}
    for name, trainer in trainers.items():
        figures[name] = per_step_ms(partial(trainer, panel))
        print(f"{name:16}{figures[name]:>10.1f}{validation_loss(panel, trainer(panel, LONG)):>24.4f}")
    peer = figures.pop("NeuralForecast")
    print("ratios: " + ", ".join(f"{name} {peer / each:.1f}" for name, each in figures.items()))
    recipe(panel)


if __name__ == "__main__":
    main()
