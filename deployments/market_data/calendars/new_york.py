"""New York's clock, which currencies live by all over the world."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from deployments.market_data.instants import MICROSECOND, Times

_WEEK_US = timedelta(weeks=1) // MICROSECOND
_DAYS_BEFORE_EPOCH = 4
# The epoch was a Thursday; weeks are counted from the Sunday before it.
_SUNDAY_NOON = datetime(1969, 12, 28, 12, tzinfo=UTC)
_LAST_YEAR = 2200


def on_new_york_clock(times: Times) -> Times:
    """Return what the clock in New York shows at UTC instants, right to the hour except on nights to a Sunday.

    Clocks change on Sunday mornings, while the currency market rests: one offset for each week is enough.
    """
    since_sunday = times.astype(np.int64) + _DAYS_BEFORE_EPOCH * (_WEEK_US // 7)
    weeks = np.clip(since_sunday // _WEEK_US, 0, len(_offsets()) - 1)
    local: Times = times + _offsets()[weeks]
    return local


@lru_cache(maxsize=1)
def _offsets() -> NDArray[np.timedelta64]:
    """Return the offset from UTC of each week."""
    zone = ZoneInfo("America/New_York")
    weeks = (datetime(_LAST_YEAR, 1, 1, tzinfo=UTC) - _SUNDAY_NOON) // timedelta(weeks=1) + 1
    noons = ((_SUNDAY_NOON + timedelta(weeks=week)).astimezone(zone) for week in range(weeks))
    return np.array([(noon.utcoffset() or timedelta(0)) // MICROSECOND for noon in noons], dtype="timedelta64[us]")
