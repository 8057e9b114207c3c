"""Many symbols' closes as one contiguous array, and its split by time."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deployments.common.errors import BadUpstream, TooLittleHistory
from deployments.forecasting.quantiles import FloatArray
from deployments.market_data.instants import Times, times_of, to_datetime
from deployments.market_data.models import Interval

Positions = npt.NDArray[np.int64]

SHARES = (0.7, 0.8, 0.9)
"""Where the training, validation and calibration spans end, as shares of all bars; the rest is the test span."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Log closes of many symbols, each on its own consecutive bars, so a weekend or an outage is no hole.

    `log_closes` and `times` (UTC, bar opening, `datetime64[us]`) hold one symbol after the other; symbol `s` owns
    positions `offsets[s]` to `offsets[s + 1]`.
    """

    symbols: tuple[str, ...]
    interval: Interval
    log_closes: FloatArray
    times: Times
    offsets: Positions

    @property
    def data_start(self) -> datetime:
        """The opening instant of the first bar of any symbol."""
        return to_datetime(self.times.min())

    @property
    def data_end(self) -> datetime:
        """The close of the last bar of any symbol: nothing later has been seen."""
        return to_datetime(self.times.max()) + self.interval.delta

    @property
    def fingerprint(self) -> str:
        """The sha256 of symbols, times and closes, so that a model names the data that made it."""
        digest = hashlib.sha256("\0".join((self.interval, *self.symbols)).encode())
        for array in (self.offsets, self.times.view(np.int64), self.log_closes):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Span:
    """The instants `[start, end)` that the bars to be forecast lie in; what is read before them may be older."""

    start: np.datetime64
    end: np.datetime64


@dataclass(frozen=True, slots=True)
class Spans:
    """Four spans in time order, with the same cuts for every symbol."""

    train: Span
    validation: Span
    calibration: Span
    test: Span


def closes_on_grid(table: pa.Table, symbol: str = "") -> tuple[Times, FloatArray]:
    """Return opening times and log closes of consecutive bars from a table with `CANDLE_SCHEMA`.

    Raises `BadUpstream` where a close has no logarithm or time runs back: such rows should have been quarantined.
    """
    times = times_of(table)
    closes = table["close"].to_numpy().astype(np.float64)
    bad = ~(np.isfinite(closes) & (closes > 0))
    if bad.any():
        raise BadUpstream(f"{symbol} has the close {closes[bad][0]} at {times[bad][0]}")
    if (np.diff(times) <= np.timedelta64(0)).any():
        raise BadUpstream(f"The candles of {symbol} do not ascend in time")
    return times, np.log(closes)


def panel_of(tables: Mapping[str, pa.Table], interval: Interval) -> Panel:
    """Build a panel from each symbol's candles (`CANDLE_SCHEMA`); symbols without a bar are left out.

    Raises `TooLittleHistory` when nothing is left, `BadUpstream` for rows that no model may see.
    """
    symbols = tuple(sorted(symbol for symbol, table in tables.items() if table.num_rows))
    if not symbols:
        raise TooLittleHistory("There is no candle to train on", 0, 1)
    series = [closes_on_grid(tables[symbol], symbol) for symbol in symbols]
    offsets = np.cumsum([0, *(len(times) for times, _ in series)], dtype=np.int64)
    times = np.concatenate([times for times, _ in series])
    return Panel(symbols, interval, np.concatenate([closes for _, closes in series]), times, offsets)


def spans_of(panel: Panel, shares: tuple[float, float, float] = SHARES) -> Spans:
    """Cut the panel's time axis at common instants, so that no symbol's test bars stand beside another's training."""
    ordered = np.sort(panel.times)
    marks = [int(len(ordered) * share) for share in shares]
    cuts = [ordered[0], *ordered[marks], ordered[-1] + np.timedelta64(1, "us")]
    return Spans(*(Span(start, end) for start, end in pairwise(cuts)))


def origins_in(panel: Panel, span: Span, history_bars: int, horizon: int, stride: int = 1) -> Positions:
    """Return the positions of the last bar read, for every window whose `horizon` bars ahead all lie in `span`.

    The first `horizon` bars of a span that follows another are skipped (the embargo), and every window has
    `history_bars` bars of its own symbol to read.
    """
    found = [
        np.arange(*_origin_range(panel, symbol, span, history_bars, horizon), stride, dtype=np.int64)
        for symbol in range(len(panel.symbols))
    ]
    return np.concatenate(found)


def _origin_range(panel: Panel, symbol: int, span: Span, history_bars: int, horizon: int) -> tuple[int, int]:
    first, last = int(panel.offsets[symbol]), int(panel.offsets[symbol + 1])
    low, high = first + np.searchsorted(panel.times[first:last], [span.start, span.end])
    embargo = horizon if low > first else 0
    return max(int(low) - 1 + embargo, first + history_bars - 1), int(high) - horizon
