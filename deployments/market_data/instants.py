"""Instants as the two libraries hold them: aware UTC datetimes outside, naive `datetime64[us]` inside numpy."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Times = NDArray[np.datetime64]
"""Opening instants in UTC as `datetime64[us]`."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_us(instant: datetime) -> int:
    """Return the microseconds since 1970 of an aware datetime."""
    return (instant - EPOCH) // MICROSECOND


def to_numpy(instant: datetime) -> np.datetime64:
    """Return an aware datetime as numpy's naive UTC instant."""
    return np.datetime64(to_us(instant), "us")


def to_datetime(instant: np.datetime64) -> datetime:
    """Return numpy's instant as an aware datetime."""
    return EPOCH + timedelta(microseconds=int(instant.astype("datetime64[us]").astype(np.int64)))


def width(duration: timedelta) -> np.timedelta64:
    """Return a duration as numpy's `timedelta64[us]`."""
    return np.timedelta64(duration // MICROSECOND, "us")


def times_of(table: pa.Table) -> Times:
    """Return the `time` column of a candle table without copying where Arrow allows it."""
    times: Times = table["time"].combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False).view("datetime64[us]")
    return times
