"""One forward pass of ours beside `NeuralForecast.predict`, the same network shape, in one process."""

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from deployments.forecasting.network import NetworkConfig, build, forward

BATCHES = (1, 32, 256)
REPEATS = 20


def median_ms(work: Callable[[], object]) -> float:
    """Return the median time of `work` in ms after one warm-up."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def library_ms(windows: np.ndarray, horizon: int) -> float:
    """Return the time of the library's own predict on the same windows as a frame."""
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MQLoss
    from neuralforecast.models import NHITS

    count, size = windows.shape
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(count), size),
            "ds": np.tile(pd.date_range("2024-01-01", periods=size, freq="h"), count),
            "y": windows.ravel(),
        }
    )
    model = NHITS(
        h=horizon, input_size=size, loss=MQLoss(level=[80, 90]), max_steps=1, accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
    )  # fmt: skip
    library = NeuralForecast(models=[model], freq="h")
    library.fit(frame[frame["unique_id"] < 2].pipe(doubled, size), val_size=0)
    return median_ms(lambda: library.predict(frame))


def doubled(frame: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return series long enough to be fitted: each followed by itself."""
    later = frame.assign(ds=frame["ds"] + pd.Timedelta(hours=size))
    return pd.concat([frame, later]).sort_values(["unique_id", "ds"])


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    config = NetworkConfig()
    module = build(config).eval()
    random = np.random.default_rng(1)
    print(f"torch threads {torch.get_num_threads()}, input {config.input_size}, horizon {config.horizon}")
    print(f"{'series':>8}{'ours ms':>10}{'predict ms':>12}{'ratio':>8}")
    for count in BATCHES:
        windows = random.normal(size=(count, config.input_size)).cumsum(axis=1)
        inputs = torch.as_tensor(windows, dtype=torch.float32)
        regimes = torch.zeros(count, config.regimes)
        with torch.inference_mode():
            ours = median_ms(lambda inputs=inputs, regimes=regimes: forward(module, inputs, regimes))  # type: ignore[misc]
        theirs = library_ms(windows, config.horizon)
        print(f"{count:>8}{ours:>10.2f}{theirs:>12.2f}{theirs / ours:>8.1f}")
