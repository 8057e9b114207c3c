"""Windows cut from a panel: what a forecast reads, and what then followed."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.bars import Mask
from deployments.forecasting.series.panel import Panel, Positions
from deployments.forecasting.series.season import Hours


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """One-bar log moves (n, bars - 1), 0 without a bar at both ends.

    `came`, of the same shape, is 1 for each that has both and 0 for the others, None where all have.
    """

    values: FloatArray
    came: FloatArray | None

    def newest(self, count: int) -> "Moves":
        """Return the last `count` moves."""
        return Moves(self.values[:, -count:], None if self.came is None else self.came[:, -count:])


def moves_of(log_closes: FloatArray, known: Mask | None = None) -> Moves:
    """Return the moves between log closes (n, bars), of which those `known` did come; without it all of them."""
    moves = np.diff(log_closes, axis=1)
    if known is None or known.all():
        return Moves(moves, None)
    came = (known[:, 1:] & known[:, :-1]).astype(np.float64)
    return Moves(moves * came, came)


@dataclass(frozen=True, eq=False)
class Past:
    """What a model reads of `n` symbols or instants; the last column is the origin, and that bar is known.

    `log_closes`, `variances`, `known` and `hours` (n, bars) are those of `Bars`, masked on the left where there were
    fewer bars. `coming` (n, steps) holds the hours of the bars ahead, `calendars` (n,) whose hours all of them are.
    """

    log_closes: FloatArray
    variances: FloatArray
    known: Mask
    hours: Hours
    coming: Hours
    calendars: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.log_closes)

    def __getitem__(self, rows: slice) -> "Past":
        return Past(
            self.log_closes[rows],
            self.variances[rows],
            self.known[rows],
            self.hours[rows],
            self.coming[rows],
            self.calendars[rows],
        )

    @cached_property
    def moves(self) -> Moves:
        """The one-bar moves: volatility, baseline and scale of a forecast all start from them."""
        return moves_of(self.log_closes, self.known)

    @property
    def last(self) -> FloatArray:
        """The log close of each origin, (n,)."""
        newest: FloatArray = self.log_closes[:, -1]
        return newest


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """What was read and what followed: `future` (n, horizon) are log closes, `came` (n, horizon) says which did come.

    `future_variances` (n, horizon) are those of the bars ahead.
    """

    past: Past
    future: FloatArray
    future_variances: FloatArray
    came: Mask

    def __len__(self) -> int:
        return len(self.past)

    @property
    def history(self) -> FloatArray:
        """The log closes read, (n, bars)."""
        return self.past.log_closes

    @property
    def moves(self) -> FloatArray:
        """Log moves from the origin to each step ahead, (n, horizon)."""
        return self.future - self.past.last[:, None]


def windows_at(panel: Panel, origins: Positions, history_bars: int, horizon: int) -> Windows:
    """Cut the windows around `origins` in one gather; bars before a symbol's first are masked copies of that one."""
    first = panel.starts_at(origins)[:, None]
    wanted = origins[:, None] + np.arange(1 - history_bars, 1)
    read, ahead = np.maximum(wanted, first), origins[:, None] + np.arange(1, horizon + 1)
    there = wanted >= first
    past = Past(
        panel.log_closes[read],
        np.where(there, panel.variances[read], 0.0),
        there & panel.known[read],
        panel.hours[read],
        panel.hours[ahead],
        panel.calendars_at(origins),
    )
    return Windows(past, panel.log_closes[ahead], panel.variances[ahead], panel.known[ahead])


def spread(origins: Positions, most: int) -> Positions:
    """Return at most `most` origins, evenly spread over all of them, so that every symbol and month has its part."""
    if len(origins) <= most:
        return origins
    return origins[np.linspace(0, len(origins) - 1, most).astype(np.int64)]
