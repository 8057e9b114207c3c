"""Bars of the demo market, put together from its 5-minute steps as the clock moves."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from deployments.common.errors import UnknownSymbol
from deployments.local_stack.demo_generator import EPOCH, WEEK, Generator, Week
from deployments.local_stack.demo_symbols import STEP, STEPS_PER_WEEK, SYMBOLS, DemoSymbol, Floats
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import Times, to_numpy, width
from deployments.market_data.models import Interval

INTERVALS = (Interval.M5, Interval.M15, Interval.M30, Interval.H1, Interval.H4, Interval.D1)


@dataclass(frozen=True, slots=True)
class Bars:
    """Columns of equal length, ascending by time; the last bar may still be forming."""

    time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


@dataclass(frozen=True, slots=True)
class Steps(Bars):
    """Consecutive 5-minute steps of one symbol, closed hours included."""

    is_open: npt.NDArray[np.bool_]


class DemoHistory:
    """Keep the last `days` of every symbol's steps and go on as time does."""

    def __init__(self, seed: int, days: int, now: datetime, symbols: Sequence[DemoSymbol] = SYMBOLS) -> None:
        self.symbols = {symbol.name: symbol for symbol in symbols}
        self._rows = {symbol.name: row for row, symbol in enumerate(symbols)}
        self._generator = Generator(symbols, seed)
        self._weeks: deque[Week] = deque(maxlen=days // 7 + 2)
        self._days = timedelta(days=days)
        self.advance(now)

    def advance(self, now: datetime) -> None:
        """Generate the weeks up to `now`."""
        while self._generator.next_start <= now:
            self._weeks.append(self._generator.next_week())

    def first_time(self, now: datetime) -> datetime:
        """Return where the history told at `now` starts."""
        return max(EPOCH, now - self._days)

    def bars(self, name: str, interval: Interval, start: datetime, end: datetime, now: datetime) -> Bars:
        """Return the bars of a symbol that open in [start, end) and not after `now`; raises `UnknownSymbol`."""
        if name not in self.symbols:
            raise UnknownSymbol(f"the demo market does not list {name}")
        self.advance(now)
        start = max(start, self.first_time(now))
        symbol = self.symbols[name]
        weeks = [week for week in self._weeks if week.start < end + interval.delta and start < week.start + WEEK]
        if not weeks:
            return _no_bars()
        openings = calendar_named(symbol.draft.calendar).expected(interval, start, end)
        bars = assemble(steps_of(weeks, self._rows[name]), openings, interval, now)
        return rounded(bars, float(symbol.draft.price_increment))


def steps_of(weeks: Sequence[Week], row: int) -> Steps:
    """Return the steps of consecutive weeks of the symbol in that row."""
    return Steps(
        time=to_numpy(weeks[0].start) + np.arange(len(weeks) * STEPS_PER_WEEK) * width(STEP.delta),
        open=np.concatenate([week.path[row, :-1] for week in weeks]),
        high=np.concatenate([week.high[row] for week in weeks]),
        low=np.concatenate([week.low[row] for week in weeks]),
        close=np.concatenate([week.path[row, 1:] for week in weeks]),
        volume=np.concatenate([week.volume[row] for week in weeks]),
        is_open=np.concatenate([week.is_open[row] for week in weeks]),
    )


def assemble(steps: Steps, openings: Times, interval: Interval, now: datetime) -> Bars:
    """Return one bar per opening from the open steps within `interval` of it, none where there are no steps.

    A step still under way at `now` has gone that part of its way, so the last price moves with the clock.
    """
    instant = to_numpy(now)
    bar_of = np.searchsorted(openings, steps.time, side="right") - 1
    inside = (bar_of >= 0) & steps.is_open & (steps.time <= instant)
    inside[inside] = steps.time[inside] < openings[bar_of[inside]] + width(interval.delta)
    chosen = np.flatnonzero(inside)
    firsts = np.flatnonzero(np.diff(bar_of[chosen], prepend=-1))
    if not len(firsts):
        return _no_bars()
    done = np.clip((instant - steps.time[chosen]) / width(STEP.delta), 0.0, 1.0)
    opened = steps.open[chosen]
    return Bars(
        time=openings[bar_of[chosen][firsts]],
        open=opened[firsts],
        high=np.maximum.reduceat(opened * (steps.high[chosen] / opened) ** done, firsts),
        low=np.minimum.reduceat(opened * (steps.low[chosen] / opened) ** done, firsts),
        close=(opened * (steps.close[chosen] / opened) ** done)[np.append(firsts[1:], len(chosen)) - 1],
        volume=np.add.reduceat(steps.volume[chosen] * done, firsts),
    )


def rounded(bars: Bars, price_increment: float) -> Bars:
    """Return the bars with prices on the tick grid and volumes of at most three decimals."""

    def to_tick(prices: Floats) -> Floats:
        on_grid: Floats = np.round(np.round(prices / price_increment) * price_increment, 8)
        return on_grid

    return Bars(
        time=bars.time,
        open=to_tick(bars.open),
        high=to_tick(bars.high),
        low=to_tick(bars.low),
        close=to_tick(bars.close),
        volume=np.round(bars.volume, 3),
    )


def _no_bars() -> Bars:
    nothing = np.array([], dtype=np.float64)
    return Bars(np.array([], dtype="datetime64[us]"), nothing, nothing, nothing, nothing, nothing)
