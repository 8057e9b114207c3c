"""Longer bars out of finer ones: where each begins and ends, and whether finer bars are missing in it.

The database adds up, `timescale` asks it to; what lies here is arithmetic on instants.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deployments.market_data.calendars.calendar import Buckets, Calendar
from deployments.market_data.instants import Times, to_datetime, width
from deployments.market_data.models import WINDOW_SCHEMA, Interval

_REST = timedelta(days=4)
"""Far enough to see whether a bar is the first or the last of its session."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Buckets as a sorted row of edges: slot n, counted from 1, lies between edges n - 1 and n.

    A slot is either one bucket or a rest between two of them.
    """

    buckets: Buckets
    edges: Times
    bucket_of_slot: NDArray[np.int64]
    """For each slot its bucket, or -1 for a rest; slots 0 and `len(edges)` lie outside."""

    @property
    def start(self) -> datetime:
        """The first instant that belongs to a bucket."""
        return to_datetime(self.edges[0])

    @property
    def end(self) -> datetime:
        """The instant after the last bucket."""
        return to_datetime(self.edges[-1])


def slots_of(buckets: Buckets, source: Interval, before: Buckets) -> Slots:
    """Return the edges between buckets that are filled from bars of `source`; `before` has the one before them, if any.

    A bar of the source that opens before the bell and ends after it belongs to the session's first bucket: some
    sources print the hours of a stock on the hour, though trade starts at half past.
    """
    overlapping = buckets.starts - (width(source.delta) - np.timedelta64(1, "us"))
    ends_before = np.concatenate([before.ends[-1:] if len(before) else overlapping[:1], buckets.ends[:-1]])
    starts = np.minimum(buckets.starts, np.maximum(overlapping, ends_before))
    edges = np.unique(np.concatenate([starts, buckets.ends]))
    bucket_of_slot = np.full(len(edges) + 1, -1, dtype=np.int64)
    bucket_of_slot[np.searchsorted(edges, starts) + 1] = np.arange(len(buckets))
    return Slots(Buckets(buckets.openings, starts, buckets.ends), edges, bucket_of_slot)


def bars(sums: pa.Table, slots: Slots, source: Interval, calendar: Calendar) -> pa.Table:
    """Turn sums per slot into bars with `WINDOW_SCHEMA`, ascending; slots in which the market rests are left out.

    `sums` has `slot, open, high, low, close, volume, bars, first_time, last_time`, ascending by slot.
    """
    bucket = slots.bucket_of_slot[sums["slot"].to_numpy()]
    inside = bucket >= 0
    sums, bucket = sums.filter(pa.array(inside)), bucket[inside]
    found = Buckets(slots.buckets.openings[bucket], slots.buckets.starts[bucket], slots.buckets.ends[bucket])
    first, last = _times(sums, "first_time"), _times(sums, "last_time")
    flags = incomplete(found, sums["bars"].to_numpy(), first, last, source, calendar)
    columns = [pa.array(found.openings).cast(WINDOW_SCHEMA.field("time").type)]
    columns += [sums[name].combine_chunks() for name in ("open", "high", "low", "close", "volume")]
    return pa.table([*columns, pa.array(flags)], schema=WINDOW_SCHEMA)


def incomplete(
    found: Buckets, counts: NDArray[np.int64], first: Times, last: Times, source: Interval, calendar: Calendar
) -> NDArray[np.bool_]:
    """Say of each bucket whether it was filled from fewer bars of `source` than the calendar expects in it.

    `first` and `last` are the openings of its oldest and newest bar. What the calendar tolerates at the edges of a
    session, such as a currency week that opens late, is not missed.
    """
    if not len(found):
        return np.zeros(0, dtype=np.bool_)
    due = calendar.expected(source, to_datetime(found.starts[0]) - _REST, to_datetime(found.ends[-1]) + _REST)
    low, high = np.searchsorted(due, found.starts), np.searchsorted(due, found.ends)
    if calendar.soft_edge:
        expected = high - low + _tolerated(due, low, high, first, last, source, calendar.soft_edge)
    else:
        expected = high - low + _not_due(due, high, last, source)
    return (counts < expected) & (high > low)


def _not_due(due: Times, high: NDArray[np.intp], last: Times, source: Interval) -> NDArray[np.int64]:
    """Return how many bars came after the last due one, such as what a short day cuts off: they stand for no other."""
    late: NDArray[np.int64] = (last - due[np.maximum(high - 1, 0)]) // width(source.delta)
    return np.maximum(late, 0)


def _tolerated(
    due: Times,
    low: NDArray[np.intp],
    high: NDArray[np.intp],
    first: Times,
    last: Times,
    source: Interval,
    soft_edge: timedelta,
) -> NDArray[np.int64]:
    """Return by how many bars less, or more, a session was open at its edges than the calendar says."""
    step, soft = width(source.delta), width(soft_edge)
    padded = np.concatenate([due, due[-1:] + 2 * step])
    opens = padded[np.minimum(low, len(due) - 1)]
    closes = padded[high - 1]
    is_first = (low == 0) | (opens - padded[low - 1] > step)
    is_last = padded[high] - closes > step
    late, early = first - opens, closes - last
    shift_in = np.where(is_first & (np.abs(late) <= soft), late // step, 0)
    shift_out = np.where(is_last & (np.abs(early) <= soft), early // step, 0)
    return -(shift_in + shift_out)


def _times(table: pa.Table, name: str) -> Times:
    times: Times = table[name].combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False).view("datetime64[us]")
    return times
