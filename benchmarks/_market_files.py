"""The shared market data that the benchmarks read, where it is."""

import pathlib

import pandas as pd
import pyarrow as pa

from deployments.market_data.models import CANDLE_SCHEMA

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


def is_there(name: str) -> bool:
    """Tell whether a file is there; say so where it is not."""
    if (FOLDER / name).exists():
        return True
    print(f"skipped: ../shared/data/{name} is not here")
    return False


def candles_of(name: str) -> dict[str, pa.Table]:
    """Return each symbol's candles (`CANDLE_SCHEMA`) from one file."""
    frame = pd.read_parquet(FOLDER / name)
    return {
        str(symbol): pa.Table.from_pandas(rows[CANDLE_SCHEMA.names], schema=CANDLE_SCHEMA, preserve_index=False)
        for symbol, rows in frame.groupby("symbol")
    }
