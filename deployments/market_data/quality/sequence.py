"""The order in which a source tells its bars: which rows run back in time, and which tell a bar again."""

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from deployments.market_data.instants import Times

Mask = NDArray[np.bool_]
Codes = NDArray[np.integer]

_ZERO = np.timedelta64(0, "us")


def running_back(told_as: Codes, times: Times) -> Mask:
    """Return the fewest rows without which the times of each name, given as a code, never run back.

    A name told newest first is in order, too.
    """
    back = np.zeros(len(times), dtype=np.bool_)
    order = np.argsort(told_as, kind="stable")
    falls = (np.diff(told_as[order]) == 0) & (np.diff(times[order]) < _ZERO)
    for name in np.unique(told_as[order][1:][falls]):
        rows = np.flatnonzero(told_as == name)
        if not (np.diff(times[rows]) <= _ZERO).all():
            back[rows] = ~_longest_ascent(times[rows])
    return back


def told_again(symbols: Codes, times: Times, rank: NDArray[np.integer]) -> Mask:
    """Return the rows whose bar another row tells, too: one of a higher rank or, among equals, a later one."""
    again = np.zeros(len(times), dtype=np.bool_)
    order = np.lexsort((rank, times, symbols))  # stable: equal ranks stay as given
    same = (np.diff(symbols[order]) == 0) & (np.diff(times[order]) == _ZERO)
    again[order[:-1][same]] = True
    return again


def _longest_ascent(times: Times) -> Mask:
    """Return the rows of a longest stretch that never falls, by patience sorting."""
    tops: list[int] = []  # of each pile the smallest last value, and where it stands
    places: list[int] = []
    before = np.full(len(times), -1, dtype=np.intp)
    for place, value in enumerate(times.astype(np.int64).tolist()):
        pile = bisect_right(tops, value)
        before[place] = places[pile - 1] if pile else -1
        tops[pile : pile + 1], places[pile : pile + 1] = [value], [place]
    kept = np.zeros(len(times), dtype=np.bool_)
    place = places[-1] if places else -1
    while place >= 0:
        kept[place] = True
        place = int(before[place])
    return kept
