"""Checks on candles: pure functions on columns, each check with a stable id.

Some checks refuse a row, which is then kept aside with the reason and never served; the others only report, because
a gap, a jump or a flat stretch may be what the market really did.
"""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deployments.market_data.calendars.calendar import Calendar
from deployments.market_data.findings import Finding, QuarantinedRow
from deployments.market_data.instants import MICROSECOND, Times, times_of, to_datetime, to_numpy, width
from deployments.market_data.models import Gap, Interval
from deployments.market_data.quality.sequence import running_back

REFUSING = {
    "not_finite": "a price or the volume is missing or not a number",
    "non_positive": "a price is zero or below, or the volume is below zero",
    "high_low": "the high is below, or the low above, another price of the bar",
    "future_time": "the bar opens in the future",
}
"""Ids of the checks that keep a row out of every answer, with what they say; the first that hits names the row."""

AT_THE_DOOR = {
    "unfinished": "the bar is not closed yet",
    "out_of_order": "the time runs back from the rows before",
    "duplicate": "another row tells the same bar",
}
"""Ids of the checks that rows can only fail on their way in: a table with keys holds no bar twice and has no order."""

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far a source's clock may run ahead of ours."""

JUMP_SIGMAS = 12.0
"""Hourly crypto returns reach 10 times their weekly deviation about 12 times in 24,000 bars, all of them real."""

FLAT_BARS = 12
"""Equal closes in a row; the longest real run in the shared crypto candles is 5."""

_JUMP_MEMORY = 168
_JUMP_LEAST = 24
"""Fewer returns say too little of what is usual."""

_JUMP_ROUNDS = 50
"""Each round finds at least one more of several jumps that hide one another."""

_SAYS = AT_THE_DOOR | {"jump": f"a return beyond {JUMP_SIGMAS:g} times what was usual"}
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
    columns = [_floats(table, name) for name in (*_PRICES, "volume")]
    finite: Mask = np.logical_and.reduce([np.isfinite(column) for column in columns])
    # What is not finite is judged already; zeros in its place keep the arithmetic quiet.
    open_, high, low, close, volume = (np.where(finite, column, 0.0) for column in columns)
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    slack = np.abs(high) * _ROUNDING
    return {
        "not_finite": ~finite,
        "non_positive": finite & ((np.minimum(bottom, np.minimum(low, high)) <= 0) | (volume < 0)),
        "high_low": finite & ((high < top - slack) | (low - slack > bottom) | (high < low)),
        "future_time": times_of(table) > to_numpy(now + CLOCK_TOLERANCE),
    }


def report(
    table: pa.Table, interval: Interval, calendar: Calendar, now: datetime
) -> tuple[dict[str, int], tuple[Gap, ...], tuple[Finding, ...]]:
    """Count per reporting check the rows it hits, and return the gaps and every place.

    The table is as a source told it. `gap` counts missing bars, `jump` returns beyond `JUMP_SIGMAS`,
    `flat_line` bars inside long runs of one close.
    """
    told = times_of(table)
    order = np.argsort(told, kind="stable")
    times, close = told[order], _floats(table, "close")[order]
    codes = np.zeros(len(told), dtype=np.int8)
    rows = {
        "duplicate": times[:-1][np.diff(times) == np.timedelta64(0, "us")],
        "out_of_order": told[running_back(codes, told)],
        "unfinished": times[times + width(interval.delta) > to_numpy(now)],
        "jump": times[jumps(close)],
    }
    findings = [_finding(check, time, _SAYS[check]) for check, hit in rows.items() for time in hit]
    runs = flat_runs(close)
    findings += [_finding("flat_line", times[start], f"{length} equal closes") for start, length in runs]
    missing = gaps(np.unique(told), interval, calendar)
    findings += [Finding("gap", gap.start, f"{gap.bars} missing, the last at {gap.end.isoformat()}") for gap in missing]
    counts = {check: len(hit) for check, hit in rows.items()}
    counts |= {"gap": sum(gap.bars for gap in missing), "flat_line": sum(length for _, length in runs)}
    return counts, missing, tuple(findings)


def _finding(check: str, time: np.datetime64, detail: str) -> Finding:
    return Finding(check, to_datetime(time), detail)


def gaps(times: Times, interval: Interval, calendar: Calendar) -> tuple[Gap, ...]:
    """Return the stretches between the first and the last bar in which the calendar expects bars that are missing."""
    if len(times) < 2:
        return ()
    due = calendar.expected(interval, to_datetime(times[0]), to_datetime(times[-1]) + MICROSECOND)
    if np.array_equal(due, times):
        return ()  # nothing is missing from almost every answer, and to find that out bar by bar takes most of a read
    if 2 * np.isin(times, due).sum() < len(times):
        return ()  # the source starts its bars elsewhere, such as hours on the hour for stocks: nothing to compare
    runs = missing_runs(times, due, interval, calendar)
    return tuple(Gap(to_datetime(due[run[0]]), to_datetime(due[run[-1]]), len(run)) for run in runs)


def missing_runs(times: Times, due: Times, interval: Interval, calendar: Calendar) -> list[NDArray[np.intp]]:
    """Return the places in `due` of bars that `times` lack, run by run, without those that the calendar tolerates."""
    missing = np.flatnonzero(~np.isin(due, times))
    runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1) if len(missing) else []
    return [run for run in runs if not _is_soft(run, due, interval, calendar)]


def _is_soft(run: NDArray[np.intp], due: Times, interval: Interval, calendar: Calendar) -> bool:
    """Tell a session that opened late or closed early within the calendar's tolerance from a gap."""
    if len(run) * interval.delta > calendar.soft_edge:
        return False
    step = width(interval.delta)
    before, after = run[0] - 1, run[-1] + 1
    opens_late = before < 0 or due[run[0]] - due[before] > step
    closes_early = after >= len(due) or due[after] - due[run[-1]] > step
    return bool(opens_late or closes_early)


def jumps(close: Floats) -> NDArray[np.intp]:
    """Return the rows whose log return exceeds `JUMP_SIGMAS` deviations of the week of bars before.

    A jump counts no more than that bound among the bars before a later one, so that none hides another.
    """
    with np.errstate(all="ignore"):
        returns = np.diff(np.log(close))
    returns = np.where(np.isfinite(returns), returns, 0.0)
    bounded = returns
    hit = np.zeros(len(returns), dtype=np.bool_)
    for _ in range(_JUMP_ROUNDS):
        bound = np.maximum(JUMP_SIGMAS * _deviation_before(bounded), 1e-6)
        found = np.abs(returns) > bound
        bounded = np.clip(returns, -bound, bound)
        if (found == hit).all():
            break
        hit = found
    return np.flatnonzero(hit) + 1


def _deviation_before(returns: Floats) -> Floats:
    """Return for each return the deviation of those before it, infinite where they are too few to tell."""
    places = np.arange(len(returns))
    first = np.maximum(places - _JUMP_MEMORY, 0)
    sums = np.concatenate([[0.0], np.cumsum(returns**2)])
    with np.errstate(all="ignore"):
        deviation: Floats = np.sqrt(np.maximum(sums[places] - sums[first], 0.0) / (places - first))
    deviation[:_JUMP_LEAST] = np.inf
    return deviation


def flat_runs(close: Floats) -> list[tuple[int, int]]:
    """Return the first row and the length of each run of at least `FLAT_BARS` equal closes."""
    if not len(close):
        return []
    starts = np.flatnonzero(np.concatenate([[True], close[1:] != close[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(close)]]))
    return [(int(starts[run]), int(lengths[run])) for run in np.flatnonzero(lengths >= FLAT_BARS)]


def _quarantined(table: pa.Table, row: int, masks: dict[str, Mask]) -> QuarantinedRow:
    check = next(name for name, mask in masks.items() if mask[row])
    values = {name: table[name][row].as_py() for name in (*_PRICES, "volume")}
    return QuarantinedRow(time=table["time"][row].as_py(), check=check, reason=REFUSING[check], **values)


def _floats(table: pa.Table, name: str) -> Floats:
    values: Floats = table[name].combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values
