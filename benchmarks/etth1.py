"""The training loop on ETTh1, horizon 96, beside the published NHITS table: mean squared and absolute error.

The usual protocol: 12, 4 and 4 months to train, validate and test, every column standardised by its training mean and
deviation, each forecast from its own past alone, every window of the test months scored, all seven columns averaged.
The network answers the median alone, which is all that is scored: chosen on the validation months.
"""

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from benchmarks._market_files import FOLDER, is_there
from benchmarks._plain_lesson import PlainLesson, forecast
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.panel import Positions
from deployments.forecasting.training.loop import Hooks, TrainingConfig, train

FILE = "ETTh1.parquet"
PUBLISHED = (0.378, 0.393)
DAY = 24
MONTH = 30 * DAY
TRAIN, VALIDATION, TEST = 12 * MONTH, 16 * MONTH, 20 * MONTH

SHAPE = NetworkConfig(
    input_size=480,
    horizon=96,
    regimes=0,
    width=256,
    pooling=(8, 4, 1),
    downsampling=(24, 12, 1),
    dropout=0.3,
    quantiles=(0.5,),
)
CONFIG = TrainingConfig(
    max_steps=6_000, members=5, batch=128, learning_rate=3e-4, weight_decay=0.05, check_every=50, patience=8
)
VALIDATION_STRIDE = 8


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


def errors(seed: int = 1) -> tuple[float, float]:
    """Train, forecast the test months, and return mean squared and mean absolute error of the median."""
    data = table()
    values = data.values.ravel()
    lesson = PlainLesson(values, data.origins(0, TRAIN), data.origins(TRAIN, VALIDATION, VALIDATION_STRIDE), DAY)
    config = TrainingConfig(**{**CONFIG.as_dict(), "seed": seed})
    trained = train(lesson, SHAPE, config, hooks=Hooks(on_progress=_say))
    origins = data.origins(VALIDATION, TEST)
    read = values[origins[:, None] + np.arange(1 - SHAPE.input_size, 1)]
    actual = values[origins[:, None] + np.arange(1, SHAPE.horizon + 1)]
    missed = forecast(trained, SHAPE, read, DAY)[..., 0] - actual
    return float((missed**2).mean()), float(np.abs(missed).mean())


def _say(step: int, train_loss: float, validation_loss: float) -> None:
    if step % 500 == 0:
        print(f"  step {step}: training {train_loss:.4f}, validation {validation_loss:.4f}")


def main() -> None:
    """Print the table."""
    if not is_there(FILE):
        return
    started = time.perf_counter()
    squared, absolute = errors()
    print(f"torch threads {torch.get_num_threads()}, {time.perf_counter() - started:.0f} s")
    print(f"{'':12}{'MSE':>8}{'MAE':>8}")
    print(f"{'ours':12}{squared:>8.3f}{absolute:>8.3f}")
    print(f"{'published':12}{PUBLISHED[0]:>8.3f}{PUBLISHED[1]:>8.3f}")


if __name__ == "__main__":
    main()
