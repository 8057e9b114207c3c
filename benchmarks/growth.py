"""What a batch forecast costs per symbol as symbols grow from 10 to 10,000: it must not rise.

From candles as market data tells them to quantiles: the grid, the season's hours, the volatility, the network, the
calibration. Reading candles and encoding answers are measured elsewhere. A thousand different series stand in for more.
"""

import time

from threadpoolctl import threadpool_limits

from benchmarks._synthetic import candle_tables
from deployments.forecasting.models import ModelCard, ModelStatus
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.series.panel import panel_of
from deployments.forecasting.series.scale import HISTORY_BARS
from deployments.forecasting.serving.history import history_of
from deployments.forecasting.serving.ladder import Task, predict
from deployments.forecasting.serving.shelf import Choice, LoadedModel
from deployments.forecasting.training.fitting import fit
from deployments.forecasting.training.loop import TrainingConfig
from deployments.market_data.models import Candles, Interval, Source

COUNTS = (10, 100, 1_000, 10_000)
DIFFERENT = 1_000
CHUNK = 256
"""Symbols in one call, as the service takes them."""


def choice() -> Choice:
    """Return a model trained for a few steps: its speed does not depend on its skill."""
    panel = panel_of(candle_tables(2, 4_000), Interval.H1)
    fitted = fit(panel, NetworkConfig(), TrainingConfig(max_steps=30))
    card = ModelCard(
        version="growth", interval=Interval.H1, horizon=24, input_size=fitted.predictor().input_size,
        status=ModelStatus.CHAMPION, trained_at=panel.data_end, data_start=panel.data_start, data_end=panel.data_end,
        symbols=panel.symbols, metrics={}, config=fitted.config, decision=None, sha256="",
    )  # fmt: skip
    return Choice(LoadedModel(card, fitted.predictor()))


def main() -> None:
    """Print the table."""
    # As in a replica, to which Ray gives one thread.
    with threadpool_limits(1):
        measure(choice())


def measure(chosen: Choice) -> None:
    """Forecast more and more symbols."""
    tables = list(candle_tables(DIFFERENT, HISTORY_BARS).items())
    answers = [Candles(symbol, Interval.H1, table, Source.DATABASE, None, stale=False) for symbol, table in tables]
    print(f"{HISTORY_BARS} bars each, {CHUNK} symbols a call")
    print(f"{'symbols':>8}{'seconds':>9}{'ms a symbol':>13}{'reading':>9}{'forecast':>10}{'series/s':>10}")
    predict([Task(chosen, history_of(answers[0], "24/7"), 24)])
    for count in COUNTS:
        reading = forecasting = 0.0
        for start in range(0, count, CHUNK):
            started = time.perf_counter()
            histories = [
                history_of(answers[number % DIFFERENT], "24/7") for number in range(start, min(start + CHUNK, count))
            ]
            read = time.perf_counter()
            predict([Task(chosen, history, 24) for history in histories])
            reading, forecasting = reading + read - started, forecasting + time.perf_counter() - read
        whole = reading + forecasting
        print(
            f"{count:>8,}{whole:>9.2f}{1_000 * whole / count:>13.3f}{1_000 * reading / count:>9.3f}"
            f"{1_000 * forecasting / count:>10.3f}{count / forecasting:>10,.0f}"
        )


if __name__ == "__main__":
    main()
