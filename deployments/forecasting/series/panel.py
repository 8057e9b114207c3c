"""Many symbols' bars as contiguous arrays, and their split by time."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deployments.common.errors import TooLittleHistory
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.bars import Mask, bars_of
from deployments.forecasting.series.season import Hours
from deployments.market_data.instants import Times, to_datetime
from deployments.market_data.models import Interval
from deployments.market_data.symbols.names import guess_draft

Positions = npt.NDArray[np.int64]

SHARES = (0.7, 0.8, 0.9)
"""Where the training, validation and calibration spans end, as shares of all bars; the rest is the test span."""

MIN_WINDOWS = 64
"""Windows that each span needs before anything measured on it means anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Many symbols, each on its own calendar's bars, so a weekend is no hole and an outage is masked.

    `log_closes`, `variances`, `known`, `hours` (see `Bars`) and `times` (UTC, bar opening, `datetime64[us]`) hold one
    symbol after the other; symbol `s` trades by `calendars[s]` and owns positions `offsets[s]` to `offsets[s + 1]`.
    """

    symbols: tuple[str, ...]
    calendars: tuple[str, ...]
    interval: Interval
    log_closes: FloatArray
    variances: FloatArray
    known: Mask
    hours: Hours
    times: Times
    offsets: Positions

    @property
    def bars(self) -> int:
        """How many bars really came, over all symbols."""
        return int(self.known.sum())

    @property
    def data_start(self) -> datetime:
        """The opening instant of the first bar of any symbol."""
        return to_datetime(self.times.min())

    @property
    def data_end(self) -> datetime:
        """The close of the last bar of any symbol: nothing later has been seen."""
        return to_datetime(self.times.max()) + self.interval.delta

    def symbols_at(self, positions: Positions) -> npt.NDArray[np.str_]:
        """Return whose bars lie at these positions."""
        return np.array(self.symbols, dtype=np.str_)[self._places(positions)]

    def calendars_at(self, positions: Positions) -> npt.NDArray[np.str_]:
        """Return whose calendar the bars at these positions follow."""
        return np.array(self.calendars, dtype=np.str_)[self._places(positions)]

    def starts_at(self, positions: Positions) -> Positions:
        """Return where the symbol of each position begins."""
        return self.offsets[self._places(positions)]

    def _places(self, positions: Positions) -> npt.NDArray[np.intp]:
        return np.searchsorted(self.offsets, positions, side="right") - 1

    @property
    def fingerprint(self) -> str:
        """The sha256 of symbols, times, closes and ranges, so that a model names the data that made it."""
        digest = hashlib.sha256("\0".join((self.interval, *self.symbols, *self.calendars)).encode())
        for array in (self.offsets, self.times.view(np.int64), self.log_closes, self.variances, self.known):
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


def panel_of(
    tables: Mapping[str, pa.Table],
    interval: Interval,
    calendars: Mapping[str, str] | None = None,
    incomplete: Mapping[str, Sequence[datetime]] | None = None,
) -> Panel:
    """Build a panel from each symbol's candles (`CANDLE_SCHEMA`); symbols without a bar are left out.

    A symbol that `calendars` does not name trades by the calendar that its name suggests. `incomplete` names bars that
    are not to be trusted (see `bars_of`). Raises `TooLittleHistory`
    when nothing is left, `BadUpstream` for rows that no model may see.
    """
    symbols = tuple(sorted(symbol for symbol, table in tables.items() if table.num_rows))
    if not symbols:
        raise TooLittleHistory("There is no candle to train on", 0, 1)
    named = tuple((calendars or {}).get(symbol) or guess_draft(symbol).calendar for symbol in symbols)
    series = [
        bars_of(tables[symbol], calendar, interval, symbol, (incomplete or {}).get(symbol, ()))
        for symbol, calendar in zip(symbols, named, strict=True)
    ]
    return Panel(
        symbols,
        named,
        interval,
        np.concatenate([bars.log_closes for bars in series]),
        np.concatenate([bars.variances for bars in series]),
        np.concatenate([bars.known for bars in series]),
        np.concatenate([bars.hours for bars in series]),
        np.concatenate([bars.times for bars in series]),
        np.cumsum([0, *(len(bars) for bars in series)], dtype=np.int64),
    )


def spans_of(panel: Panel, shares: tuple[float, float, float] = SHARES) -> Spans:
    """Cut the panel's time axis at common instants, so that no symbol's test bars stand beside another's training."""
    ordered = np.sort(panel.times)
    marks = [int(len(ordered) * share) for share in shares]
    cuts = [ordered[0], *ordered[marks], ordered[-1] + np.timedelta64(1, "us")]
    return Spans(*(Span(start, end) for start, end in pairwise(cuts)))


def origins_in(panel: Panel, span: Span, history_bars: int, horizon: int, stride: int = 1) -> Positions:
    """Return the positions of the last bar read, for every window whose `horizon` bars ahead all lie in `span`.

    The first `horizon` bars of a span that follows another are skipped (the embargo), every window has at least
    `history_bars` bars of its own symbol to read, and its last bar did come.
    """
    found = [
        np.arange(*_origin_range(panel, symbol, span, history_bars, horizon), stride, dtype=np.int64)
        for symbol in range(len(panel.symbols))
    ]
    positions = np.concatenate(found)
    return positions[panel.known[positions]]


def _origin_range(panel: Panel, symbol: int, span: Span, history_bars: int, horizon: int) -> tuple[int, int]:
    first, last = int(panel.offsets[symbol]), int(panel.offsets[symbol + 1])
    low, high = first + np.searchsorted(panel.times[first:last], [span.start, span.end])
    embargo = horizon if low > first else 0
    return max(int(low) - 1 + embargo, first + history_bars - 1), int(high) - horizon
