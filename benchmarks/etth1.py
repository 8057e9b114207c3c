"""The training loop on ETTh1, horizon 96, beside the published NHITS table: mean squared and absolute error.

The usual protocol: 12, 4 and 4 months to train, validate and test, every column standardised by its training mean and
deviation, each forecast from its own past alone, every window of the test months scored, all seven columns averaged.
A regression from each window to the hours after it, fitted on the training months, is the prior; our networks learn to
correct it, as those for candles correct what volatility says, and answer the median alone, which is all that is scored.
Both, and the width and decay of the networks, were chosen on the validation months.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from benchmarks._market_files import FOLDER, is_there
from benchmarks._plain_lesson import PlainLesson, forecast, moments
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.panel import Positions
from deployments.forecasting.training.loop import Hooks, TrainingConfig, train
from deployments.forecasting.training.state import Trained

FILE = "ETTh1.parquet"
PUBLISHED = (0.378, 0.393)
DAY = 24
MONTH = 30 * DAY
TRAIN, VALIDATION, TEST = 12 * MONTH, 16 * MONTH, 20 * MONTH

SHAPE = NetworkConfig(
    input_size=480,
    horizon=96,
    regimes=0,
    width=64,
    pooling=(8, 4, 1),
    downsampling=(24, 12, 1),
    dropout=0.3,
    quantiles=(0.5,),
)
CONFIG = TrainingConfig(
    max_steps=10_000, members=5, batch=128, learning_rate=3e-4, weight_decay=0.5, check_every=50, patience=8
)
VALIDATION_STRIDE = 8
RIDGE = 1_000.0


@dataclass(frozen=True, eq=False)
class Table:
    """Standardised columns, (columns, rows)."""

    values: FloatArray

    def origins(self, start: int, end: int, stride: int = 1) -> Positions:
        """Return where in the columns laid end to end windows end whose bars ahead all lie in [start, end)."""
        first = max(start, SHAPE.input_size) - 1
        single = np.arange(first, end - SHAPE.horizon, stride)
        return np.concatenate([single + column * self.values.shape[1] for column in range(len(self.values))])


def table() -> Table:
    """Read and standardise the file."""
    columns = pd.read_parquet(FOLDER / FILE).drop(columns="date").to_numpy(dtype=np.float64).T[:, :TEST]
    known = columns[:, :TRAIN]
    return Table((columns - known.mean(axis=1, keepdims=True)) / known.std(axis=1, keepdims=True))


def linear(data: Table) -> FloatArray:
    """Return the ridge regression from a standardised window to what follows it, (input_size, horizon).

    Fitted on every window of the training months, all columns alike.
    """
    read, follows = windows(data, data.origins(0, TRAIN))
    centre, spread = (each.numpy() for each in moments(torch.from_numpy(read), DAY))
    inputs, targets = (read - centre) / spread, (follows - centre) / spread
    fitted: FloatArray = np.linalg.solve(inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1]), inputs.T @ targets)
    return fitted


def windows(data: Table, origins: Positions) -> tuple[FloatArray, FloatArray]:
    """Return what is read at each origin (n, input_size), and what follows (n, horizon)."""
    values = data.values.ravel()
    read = values[origins[:, None] + np.arange(1 - SHAPE.input_size, 1)]
    return read, values[origins[:, None] + np.arange(1, SHAPE.horizon + 1)]


def trained_on(data: Table, prior: FloatArray, seed: int) -> Trained:
    """Train our networks to correct what the regression says."""
    validation = data.origins(TRAIN, VALIDATION, VALIDATION_STRIDE)
    lesson = PlainLesson(data.values.ravel(), data.origins(0, TRAIN), validation, DAY, prior)
    return train(lesson, SHAPE, replace(CONFIG, seed=seed), hooks=Hooks(on_progress=_say))


def errors(data: Table, prior: FloatArray, trained: Trained | None, start: int, end: int) -> tuple[float, float]:
    """Return mean squared and mean absolute error over the windows of a span, of the prior alone without networks."""
    read, follows = windows(data, data.origins(start, end))
    if trained is None:
        centre, spread = (each.numpy() for each in moments(torch.from_numpy(read), DAY))
        answer = ((read - centre) / spread) @ prior * spread + centre
    else:
        answer = forecast(trained, SHAPE, read, DAY, prior)[..., 0]
    return float(((answer - follows) ** 2).mean()), float(np.abs(answer - follows).mean())


def _say(step: int, train_loss: float, validation_loss: float) -> None:
    if step % 500 == 0:
        print(f"  step {step}: training {train_loss:.4f}, validation {validation_loss:.4f}")


def main(seed: int = 1) -> None:
    """Print the table."""
    if not is_there(FILE):
        return
    started = time.perf_counter()
    data = table()
    prior = linear(data)
    trained = trained_on(data, prior, seed)
    print(f"torch threads {torch.get_num_threads()}, seed {seed}, {time.perf_counter() - started:.0f} s")
    print(f"{'':16}{'validation MSE':>16}{'MAE':>8}{'test MSE':>12}{'MAE':>8}")
    for name, networks in (("regression", None), ("with NHITS", trained)):
        known, (squared, absolute) = (
            errors(data, prior, networks, *span) for span in ((TRAIN, VALIDATION), (VALIDATION, TEST))
        )
        print(f"{name:16}{known[0]:>16.4f}{known[1]:>8.4f}{squared:>12.3f}{absolute:>8.3f}")
    print(f"{'published':40}{PUBLISHED[0]:>12.3f}{PUBLISHED[1]:>8.3f}")


if __name__ == "__main__":
    main()
