"""Checks on candles: pure functions on columns, each check with a stable id.

Some checks refuse a row, which is then kept aside with the reason and never served; the others only report, because
a gap, a jump or a flat stretch may be what the market really did.
"""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deployments.market_data.calendars import Calendar
from deployments.market_data.instants import MICROSECOND, Times, times_of, to_datetime, to_numpy, width
from deployments.market_data.models import Gap, Interval, QuarantinedRow

REFUSING = {
    "not_finite": "a price or the volume is missing or not a number",
    "non_positive": "a price is zero or below, or the volume is below zero",
    "high_low": "the high is below, or the low above, another price of the bar",
    "future_time": "the bar opens in the future",
}
"""Ids of the checks that keep a row out of every answer, with what they say; the first that hits names the row."""

REPORTING = ("gap", "duplicate", "out_of_order", "unfinished", "jump", "flat_line")

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far a source's clock may run ahead of ours."""

JUMP_SIGMAS = 12.0
"""Hourly crypto returns reach 10 times their weekly deviation about 12 times in 24,000 bars, all of them real."""

FLAT_BARS = 12
"""Equal closes in a row; the longest real run in the shared crypto candles is 5."""

_JUMP_MEMORY = 168
_PRICES = ("open", "high", "low", "close")
_ROUNDING = 1e-9

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def screen(table: pa.Table, now: datetime) -> tuple[pa.Table, tuple[QuarantinedRow, ...]]:
    """Split candles of one symbol into those to serve and those to keep aside, in the order given."""
    masks = refused(table, now)
    bad = np.logical_or.reduce(list(masks.values()))
    if not bad.any():
        return table, ()
    aside = tuple(_quarantined(table, int(row), masks) for row in np.flatnonzero(bad))
    return table.filter(pa.array(~bad)), aside


def refused(table: pa.Table, now: datetime) -> dict[str, Mask]:
    """Return for each refusing check which rows it hits."""
    open_, high, low, close = (_floats(table, name) for name in _PRICES)
    volume = _floats(table, "volume")
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    slack = np.abs(high) * _ROUNDING
    finite = np.isfinite(open_ + high + low + close + volume)
    return {
        "not_finite": ~finite,
        "non_positive": finite & ((np.minimum(bottom, np.minimum(low, high)) <= 0) | (volume < 0)),
        "high_low": finite & ((high + slack < top) | (low - slack > bottom) | (high < low)),
        "future_time": times_of(table) > to_numpy(now + CLOCK_TOLERANCE),
    }


def report(
    table: pa.Table, interval: Interval, calendar: Calendar, now: datetime
) -> tuple[dict[str, int], tuple[Gap, ...]]:
    """Count per reporting check the rows it hits, and return the gaps; the table is as a source told it.

    `gap` counts missing bars, `jump` returns beyond `JUMP_SIGMAS`, `flat_line` bars inside long runs of one close.
    """
    told = times_of(table)
    steps = np.diff(told)
    zero = np.timedelta64(0, "us")
    order = np.argsort(told, kind="stable")
    found = gaps(np.unique(told), interval, calendar)
    close = _floats(table, "close")[order]
    counts = {
        "gap": sum(gap.bars for gap in found),
        "duplicate": len(told) - len(np.unique(told)),
        "out_of_order": int((steps < zero).sum()),
        "unfinished": int((told + width(interval.delta) > to_numpy(now)).sum()),
        "jump": count_jumps(close),
        "flat_line": count_flat(close),
    }
    return counts, found


def gaps(times: Times, interval: Interval, calendar: Calendar) -> tuple[Gap, ...]:
    """Return the stretches between the first and the last bar in which the calendar expects bars that are missing."""
    if len(times) < 2:
        return ()
    due = calendar.expected(interval, to_datetime(times[0]), to_datetime(times[-1]) + MICROSECOND)
    if 2 * np.isin(times, due).sum() < len(times):
        return ()  # the source starts its bars elsewhere, such as hours on the hour for stocks: nothing to compare
    missing = np.flatnonzero(~np.isin(due, times))
    runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1) if len(missing) else []
    kept = [run for run in runs if not _is_soft(run, due, interval, calendar)]
    return tuple(Gap(to_datetime(due[run[0]]), to_datetime(due[run[-1]]), len(run)) for run in kept)


def _is_soft(run: NDArray[np.intp], due: Times, interval: Interval, calendar: Calendar) -> bool:
    """Tell a session that opened late or closed early within the calendar's tolerance from a gap."""
    if len(run) * interval.delta > calendar.soft_edge:
        return False
    step = width(interval.delta)
    before, after = run[0] - 1, run[-1] + 1
    opens_late = before < 0 or due[run[0]] - due[before] > step
    closes_early = after >= len(due) or due[after] - due[run[-1]] > step
    return bool(opens_late or closes_early)


def count_jumps(close: Floats) -> int:
    """Count log returns larger than `JUMP_SIGMAS` deviations of the week of bars before them."""
    with np.errstate(all="ignore"):
        returns = np.diff(np.log(close))
    returns = np.where(np.isfinite(returns), returns, 0.0)
    if len(returns) <= _JUMP_MEMORY:
        return 0
    squares = np.concatenate([[0.0], np.cumsum(returns**2)])
    deviation = np.sqrt((squares[_JUMP_MEMORY:-1] - squares[: -_JUMP_MEMORY - 1]) / _JUMP_MEMORY)
    return int((np.abs(returns[_JUMP_MEMORY:]) > np.maximum(JUMP_SIGMAS * deviation, 1e-6)).sum())


def count_flat(close: Floats) -> int:
    """Count the bars that lie in runs of at least `FLAT_BARS` equal closes."""
    if not len(close):
        return 0
    starts = np.flatnonzero(np.concatenate([[True], close[1:] != close[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(close)]]))
    return int(lengths[lengths >= FLAT_BARS].sum())


def _quarantined(table: pa.Table, row: int, masks: dict[str, Mask]) -> QuarantinedRow:
    check = next(name for name, mask in masks.items() if mask[row])
    values = {name: table[name][row].as_py() for name in (*_PRICES, "volume")}
    return QuarantinedRow(time=table["time"][row].as_py(), check=check, reason=REFUSING[check], **values)


def _floats(table: pa.Table, name: str) -> Floats:
    values: Floats = table[name].combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values
