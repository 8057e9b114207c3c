"""Where a model is worse than the baseline, so that the baseline serves there instead. Pure functions only.

A model that is better on the whole may still be worse on one symbol. Wherever that is significant the baseline serves:
from the test span on, and wherever live forecasts show it later. Those are looked at every few minutes for as long as
the model serves, by a rule made for that (`watching.py`, docs/decisions/0013).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from deployments.forecasting.judging.comparison import compare
from deployments.forecasting.judging.evaluation import PairedLosses
from deployments.forecasting.judging.watching import is_worse, spent
from deployments.market_data.instants import to_numpy
from deployments.market_data.models import Interval

TEST_ERROR_RATE = 0.05
"""Chance of setting a model back on a symbol of the test span where it is as good as the baseline: it costs nothing."""

LIVE_ERROR_RATE = 0.01
"""The same for live forecasts, over the whole life of a version: whenever, and however often, they are looked at.

By simulation, of hourly forecasts of 24 steps whose losses overlap and come in waves, over 90 days looked at daily: a
tie is called lost in 1.1 % of cases. A lag of one standard deviation of the loss differences is noticed within 30 days
in 95 %, after 11 days as a rule; one of half of that in 47 %, in 81 % within 90 days; one of a quarter in 16 %.
"""

LEAST_PERIOD = timedelta(days=30)
PERIOD_HORIZONS = 30
"""A period lasts so many horizons, and `LEAST_PERIOD` at least: what was good for months must not hide what is bad now.

Each is judged by itself, with its part of the error rate. What is lost in one stays with the baseline to the end of the
next; a model that is set back issues nothing, so after that it gets another try.
"""

MIN_OF_SYMBOL = 100
"""Resolved forecasts of one symbol below which a loss there may be luck."""

MIN_OF_ALL = 200
"""Resolved forecasts of all symbols below which a loss on the whole may be luck."""


@dataclass(frozen=True, slots=True)
class Setback:
    """Where a model's live forecasts lost to the baseline: on each of `symbols`, or on the others too, `everywhere`."""

    symbols: tuple[str, ...] = ()
    everywhere: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold and `from_dict` takes."""
        return {"symbols": list(self.symbols), "everywhere": self.everywhere}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Setback":
        """Raises `ValueError` for what `as_dict` never returns."""
        symbols, everywhere = fields["symbols"], fields["everywhere"]
        if not isinstance(symbols, list) or not isinstance(everywhere, bool):
            raise ValueError("a setback names a list of symbols and says whether it is everywhere")
        return cls(tuple(map(str, symbols)), everywhere)

    def reason(self, symbol: str) -> str:
        """Return why the model does not serve a symbol, empty where it does."""
        if self.everywhere:
            return "the model's live forecasts were significantly worse than the baseline's"
        if symbol in self.symbols:
            return f"the model's live forecasts of {symbol} were significantly worse than the baseline's"
        return ""


@dataclass(frozen=True, slots=True, eq=False)
class LiveLosses:
    """Losses of a version's live forecasts of `horizon` bars, and of the baseline's issued with them, by symbol."""

    own: PairedLosses
    baseline: PairedLosses
    interval: Interval
    horizon: int


def period_of(interval: Interval, horizon: int) -> timedelta:
    """Return how long a period lasts in which live forecasts are judged together."""
    return max(LEAST_PERIOD, PERIOD_HORIZONS * horizon * interval.delta)


def live_setback(losses: LiveLosses, since: datetime, now: datetime) -> Setback:
    """Return where a version lost to the baseline in this period or the one before; they are counted from `since`."""
    length = np.timedelta64(period_of(losses.interval, losses.horizon))
    # A forecast may start from a bar that opened before its model was there.
    periods = np.maximum((losses.own.origins - to_numpy(since)) // length, 0)
    present = max(int((to_numpy(now) - to_numpy(since)) // length), 0)
    found = [_lost_in(losses, periods == period, period) for period in range(max(present - 1, 0), present + 1)]
    symbols = sorted({symbol for each in found for symbol in each.symbols})
    return Setback(tuple(symbols), any(each.everywhere for each in found))


def _lost_in(losses: LiveLosses, rows: Any, period: int) -> Setback:
    own, baseline, error_rate = _of(losses.own, rows), _of(losses.baseline, rows), spent(LIVE_ERROR_RATE, period)
    symbols = np.array([], dtype=np.str_) if own.symbols is None else own.symbols
    lost = [
        str(symbol)
        for symbol, count in zip(*np.unique(symbols, return_counts=True), strict=True)
        if count >= MIN_OF_SYMBOL
        and is_worse(_of(own, symbols == symbol), _of(baseline, symbols == symbol), losses.horizon, error_rate)
    ]
    # One symbol alone must not speak for all others.
    rest = ~np.isin(symbols, lost)
    others = rest if rest.any() else ~rest
    enough = others.sum() >= MIN_OF_ALL
    everywhere = enough and is_worse(_of(own, others), _of(baseline, others), losses.horizon, error_rate)
    return Setback(tuple(lost), bool(everywhere))


def losing_symbols(
    own: PairedLosses, baseline: PairedLosses, horizon: int, error_rate: float = TEST_ERROR_RATE
) -> tuple[str, ...]:
    """Return the symbols, sorted, whose forecasts were significantly worse than the baseline's.

    Both are scored on the same windows of a span that is looked at once. A symbol with too few to tell is left out.
    """
    if own.symbols is None:
        return ()
    lost = []
    for symbol in np.unique(own.symbols):
        rows = own.symbols == symbol
        if compare(_of(own, rows), _of(baseline, rows), horizon).p_worse < error_rate:
            lost.append(str(symbol))
    return tuple(lost)


def _of(paired: PairedLosses, rows: Any) -> PairedLosses:
    symbols = None if paired.symbols is None else paired.symbols[rows]
    return PairedLosses(paired.origins[rows], paired.losses[rows], symbols)
