"""The search behind the default network and training: one change at a time, on the shared crypto candles.

Each variant is trained without two symbols and scored on those two over the calibration span, which neither training
nor early stopping sees; the test span takes no part. The gain is over the quantiles that volatility alone implies.
`python -m benchmarks._tuning [NAME …]` tries some of the variants; all of them take about an hour on two cores.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from benchmarks._market_files import candles_of, is_there
from deployments.forecasting.judging.evaluation import pinball_losses
from deployments.forecasting.predicting.calibration import Calibration
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.predictor import Predictor, tensors_of
from deployments.forecasting.quantiles import QUANTILES
from deployments.forecasting.series.panel import panel_of, spans_of
from deployments.forecasting.training.fitting import config_of, forecast_all, material_of, scored_windows
from deployments.forecasting.training.loop import TrainingConfig, train
from deployments.market_data.models import Interval

FILE = "crypto_1h.parquet"
SHARES = (0.6, 0.7, 0.8)
HELD_OUT = (slice(6, 8), slice(0, 2))

VARIANTS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}),
    "input 24": ({"input_size": 24}, {}),
    "input 168": ({"input_size": 168}, {}),
    "width 64": ({"width": 64}, {}),
    "width 256": ({"width": 256}, {}),
    "dropout 0.2": ({"dropout": 0.2}, {}),
    "dropout 0.5": ({"dropout": 0.5}, {}),
    "one network": ({}, {"members": 1, "max_steps": 400}),
    "five networks": ({}, {"members": 5, "max_steps": 2_000}),
    "decay 0.3": ({}, {"weight_decay": 0.3}),
    "rate 0.002": ({}, {"learning_rate": 2e-3}),
    "800 steps each": ({}, {"max_steps": 2_400}),
}


def tried(shape: NetworkConfig, config: TrainingConfig) -> tuple[float, float]:
    """Return the gain over volatility alone in percent and the seconds that training took, over both pairs."""
    tables = candles_of(FILE)
    names = sorted(tables)
    losses, seconds = np.zeros(2), 0.0
    for rows in HELD_OUT:
        panel = panel_of({name: tables[name] for name in names if name not in names[rows]}, Interval.H1)
        material = material_of(panel, shape, SHARES)
        started = time.perf_counter()
        trained = train(material, shape, config)
        seconds += time.perf_counter() - started
        identity = Calibration(np.ones((shape.horizon, len(QUANTILES))), 1.0)
        settings = config_of(material, trained, shape, config)
        model = Predictor(tensors_of(trained.members, material.prior, identity), settings)
        unseen = panel_of({name: tables[name] for name in names[rows]}, Interval.H1)
        windows = scored_windows(unseen, spans_of(panel, SHARES).calibration, shape)
        for place, forecaster in enumerate((model.raw_quantiles, model.prior_quantiles)):
            losses[place] += pinball_losses(windows.future, forecast_all(forecaster, windows.past)).mean()
    return float(100 * (1 - losses[0] / losses[1])), seconds


def main() -> None:
    """Print the table."""
    if not is_there(FILE):
        return
    names = [name for name in sys.argv[1:] if name in VARIANTS] or list(VARIANTS)
    print(f"torch threads {torch.get_num_threads()}, calibration span, two pairs held out")
    print(f"{'variant':16}{'gain %':>8}{'seconds':>9}")
    for name in names:
        network, training = VARIANTS[name]
        gain, seconds = tried(NetworkConfig(**network), TrainingConfig(**training))
        print(f"{name:16}{gain:>8.2f}{seconds:>9.0f}", flush=True)


if __name__ == "__main__":
    main()
