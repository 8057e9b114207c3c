"""Seeded panels whose volatility comes in waves, so that there is something to learn."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.panel import Panel, panel_of
from deployments.market_data.models import Interval
from tests.fakes.market_data import candle_table

START = datetime(2024, 1, 1, tzinfo=UTC)


PERSISTENCE = 0.95


def wavy_closes(bars: int, seed: int = 3) -> FloatArray:
    """Return closes around 100 whose volatility is itself an autoregression, as on real markets."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(0.0, 0.2, bars)
    log_volatility = np.zeros(bars)
    for bar in range(1, bars):
        log_volatility[bar] = PERSISTENCE * log_volatility[bar - 1] + noise[bar]
    closes: FloatArray = 100.0 * np.exp(np.cumsum(generator.standard_t(5, bars) * 0.004 * np.exp(log_volatility)))
    return closes


def wavy_tables(bars: int, symbols: tuple[str, ...] = ("AAAUSD", "BBBUSD")) -> dict[str, pa.Table]:
    """Return hourly candles of each symbol from `START` on."""
    return {symbol: candle_table(START, list(wavy_closes(bars, seed))) for seed, symbol in enumerate(symbols)}


def wavy_panel(bars: int, symbols: tuple[str, ...] = ("AAAUSD", "BBBUSD")) -> Panel:
    """Return the panel of `wavy_tables`."""
    return panel_of(wavy_tables(bars, symbols), Interval.H1)
