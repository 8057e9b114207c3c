"""Synthetic candles whose volatility comes in waves, as many symbols as asked for."""

import numpy as np
import pyarrow as pa

from deployments.market_data.models import CANDLE_SCHEMA

START = np.datetime64("2021-01-01T00:00:00", "us")
STEPS_A_BAR = 6
PERSISTENCE = 0.97


def candle_tables(symbols: int, bars: int, seed: int = 1) -> dict[str, pa.Table]:
    """Return hourly candles (`CANDLE_SCHEMA`) of `symbols` symbols."""
    generator = np.random.default_rng(seed)
    times = START + np.arange(bars) * np.timedelta64(1, "h")
    return {f"SYN{number:05d}USD": _table(times, generator) for number in range(symbols)}


def _table(times: np.ndarray, generator: np.random.Generator) -> pa.Table:
    volatility = 0.004 * np.exp(0.2 * _waves(len(times), generator)) / np.sqrt(STEPS_A_BAR)
    moves = generator.standard_t(5, (len(times), STEPS_A_BAR)) * volatility[:, None]
    path = np.log(100.0) + np.cumsum(moves.ravel()).reshape(moves.shape)
    opens = np.concatenate([[np.log(100.0)], path[:-1, -1]])
    inside = np.concatenate([opens[:, None], path], axis=1)
    columns = {
        "time": pa.array(times).cast(CANDLE_SCHEMA.field("time").type),
        "open": np.exp(opens),
        "high": np.exp(inside.max(axis=1)),
        "low": np.exp(inside.min(axis=1)),
        "close": np.exp(path[:, -1]),
        "volume": generator.lognormal(3.0, 1.0, len(times)),
    }
    return pa.table(columns, schema=CANDLE_SCHEMA)


def _waves(bars: int, generator: np.random.Generator) -> np.ndarray:
    from scipy.signal import lfilter

    waves: np.ndarray = lfilter([1.0], [1.0, -PERSISTENCE], generator.normal(size=bars))
    return waves
