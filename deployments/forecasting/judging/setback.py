"""Where a model is worse than the baseline, so that the baseline serves there instead. Pure functions only.

A model that is better on the whole may still be worse on one symbol. Wherever that is significant the baseline serves:
from the test span on, and wherever live forecasts show it later. Those are looked at every few minutes for as long as
the model serves, by a rule made for that (`watching.py`, docs/decisions/0013 and 0016).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.forecasting.judging.comparison import compare
from deployments.forecasting.judging.evaluation import PairedLosses
from deployments.forecasting.judging.watching import is_worse, spent
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import to_numpy
from deployments.market_data.models import Interval

TEST_ERROR_RATE = 0.05
"""Chance of setting a model back on a symbol of the test span where it is as good as the baseline: it costs nothing."""

LIVE_ERROR_RATE = 0.01
"""The same for live forecasts, over the whole life of a version: whenever, and however often, they are looked at.

By simulation, of hourly forecasts of 24 steps whose losses overlap and come in waves, over 90 days looked at daily: a
tie is called lost in 1.1 % of cases. A lag of one standard deviation of the loss differences is noticed within 30 days
in 95 %, after 11 days as a rule; one of half of that in 47 %, in 81 % within 90 days; one of a quarter in 16 %. Of a
stock, which is open a fifth of the time, within 90 days 0.7 % of ties, 86 %, 32 % and 6 % of such lags.
"""

LEAST_PERIOD = timedelta(days=30)
PERIOD_HORIZONS = 30
"""A period lasts so many horizons of open market, and `LEAST_PERIOD` at least: what was good for months must not hide
what is bad now.

Each is judged by itself, with its part of the error rate. What is lost in one stays with the baseline to the end of the
next; a model that is set back issues nothing, so after that it gets another try.
"""

_ANY_YEAR = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 12, 30, tzinfo=UTC))
"""Fifty-two weeks that every calendar knows, holidays included."""

Mask = npt.NDArray[np.bool_]

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
    """Losses of a version's live forecasts of `horizon` bars, and of the baseline's issued with them, by symbol.

    `periods` says how long a period lasts for each symbol; one that it does not name is taken to trade at all times.
    """

    own: PairedLosses
    baseline: PairedLosses
    interval: Interval
    horizon: int
    periods: Mapping[str, timedelta] = field(default_factory=dict)

    def period(self, symbol: str) -> timedelta:
        """Return how long a period of this symbol lasts."""
        return self.periods.get(symbol) or period_of(self.interval, self.horizon)


def period_of(interval: Interval, horizon: int, calendar: str = "24/7") -> timedelta:
    """Return how long a period lasts in which live forecasts of a market are judged together; fixed once and for all.

    Horizons are counted in bars that the market is open for: thirty of 24 hours are a month of a coin, and five of a
    stock, which trades seven hours on five days of the week.
    """
    return max(LEAST_PERIOD, PERIOD_HORIZONS * horizon * _between_bars(interval, calendar))


@cache
def _between_bars(interval: Interval, calendar: str) -> timedelta:
    """Return how far apart bars open on average, closed hours included."""
    due = calendar_named(calendar).expected(interval, *_ANY_YEAR)
    return (_ANY_YEAR[1] - _ANY_YEAR[0]) / len(due) if len(due) else interval.delta


def live_setback(losses: LiveLosses, since: datetime, now: datetime) -> Setback:
    """Return where a version lost to the baseline in this period or the one before; they are counted from `since`."""
    symbols = losses.own.symbols
    if symbols is None or not len(symbols):
        return Setback()
    life = _Life(losses, since, now)
    lengths = {str(symbol): losses.period(str(symbol)) for symbol in np.unique(symbols)}
    lost = [symbol for symbol, length in lengths.items() if life.is_lost(symbols == symbol, length, MIN_OF_SYMBOL)]
    # One symbol alone must not speak for all others.
    rest = ~np.isin(symbols, lost)
    others = rest if rest.any() else ~rest
    # Together they are seen whenever one of them trades: the busiest market sets the pace. Also one that was silent for
    # two periods, or those that were set back would wait for the slowest before they get another try.
    pace = min([*lengths.values(), *losses.periods.values()])
    return Setback(tuple(lost), life.is_lost(others, pace, MIN_OF_ALL))


@dataclass(frozen=True, slots=True, eq=False)
class _Life:
    """The live losses of a version that serves since an instant, as they stand now."""

    losses: LiveLosses
    since: datetime
    now: datetime

    def is_lost(self, rows: Mask, length: timedelta, least: int) -> bool:
        """Tell whether the chosen rows lost in the present period of this length or in the one before."""
        # A forecast may start from a bar that opened before its model was there.
        passed = (self.losses.own.origins - to_numpy(self.since)) // np.timedelta64(length)
        periods, present = np.maximum(passed, 0), max((self.now - self.since) // length, 0)
        return any(
            self._is_lost_in(rows & (periods == period), period, least)
            for period in range(max(present - 1, 0), present + 1)
        )

    def _is_lost_in(self, rows: Mask, period: int, least: int) -> bool:
        own, baseline = _of(self.losses.own, rows), _of(self.losses.baseline, rows)
        enough = np.count_nonzero(rows) >= least
        return bool(enough) and is_worse(own, baseline, self.losses.horizon, spent(LIVE_ERROR_RATE, period))


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
