"""Rows that run back in time, and rows that tell a bar again."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deployments.market_data.quality.sequence import running_back, told_again

minutes = st.lists(st.integers(0, 20), max_size=30)


def instants(told: list[int]) -> np.ndarray:
    return np.array(told, dtype=np.int64).view("datetime64[us]")


def back(told: list[int]) -> list[int]:
    return np.flatnonzero(running_back(np.zeros(len(told), dtype=np.int8), instants(told))).tolist()


def test_one_row_too_late_is_the_one_that_runs_back() -> None:
    assert back([1, 2, 4, 5, 6, 3, 7]) == [5]


def test_one_row_too_early_does_not_condemn_those_after_it() -> None:
    assert back([1, 2, 9, 3, 4, 5]) == [2]


def test_bars_told_newest_first_are_in_order() -> None:
    assert back([5, 4, 3, 3, 1]) == []


def test_each_name_has_an_order_of_its_own() -> None:
    codes = np.array([0, 1, 0, 1, 0, 1])
    assert not running_back(codes, instants([1, 7, 2, 8, 3, 9])).any()
    assert np.flatnonzero(running_back(codes, instants([1, 7, 5, 8, 4, 9]))).tolist() in ([2], [4])


@given(minutes)
def test_what_is_left_never_runs_back_and_an_order_loses_nothing(told: list[int]) -> None:
    lost = back(told)
    left = [value for place, value in enumerate(told) if place not in lost]
    assert all(one <= other for one, other in pairwise(left)) or all(one >= other for one, other in pairwise(told))
    assert back(sorted(told)) == []


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 2)), max_size=30))
def test_of_each_bar_the_last_row_of_the_highest_rank_stays(rows: list[tuple[int, int, int]]) -> None:
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for place, (symbol, time, rank) in enumerate(rows):
        best[symbol, time] = max(best.get((symbol, time), (-1, -1)), (rank, place))
    symbols, times, ranks = ([row[n] for row in rows] for n in range(3))
    again = told_again(np.array(symbols, dtype=np.int64), instants(times), np.array(ranks, dtype=np.int8))
    assert np.flatnonzero(~again).tolist() == sorted(place for _, place in best.values())
