"""Windows of the same shape."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.common.errors import InvalidRequest, TooLittleHistory
from deployments.knowledge.analogues import best_starts, check_query, distribution, find_analogues, shape_distances
from deployments.knowledge.models import AnalogueQuery
from deployments.market_data.models import Candles, Interval, Source
from tests.fakes.market_data import candle_table, walk_table

START = datetime(2023, 1, 1, tzinfo=UTC)


def candles(table: pa.Table) -> Candles:
    return Candles("BTCUSDT", Interval.H1, table, Source.DATABASE, None, False)


def test_planted_shape_is_found_with_what_followed_it() -> None:
    noise = np.cumsum(np.random.default_rng(3).normal(0.0, 0.01, 400))
    shape = np.sin(np.linspace(0.0, 5.0, 24)) * 0.2
    noise[100:124] = shape * 3.0 + 0.5  # three times as tall, elsewhere: the same shape
    noise[124] = noise[123] + np.log(1.02)
    closes = np.exp(np.concatenate([noise, shape]))
    found = find_analogues(candles(candle_table(START, list(closes))), AnalogueQuery("BTCUSDT", window=24, horizon=1))
    best = found.matches[0]
    assert best.start == START + timedelta(hours=100)
    assert best.end == START + timedelta(hours=123)
    assert best.distance == pytest.approx(0.0, abs=1e-5)
    assert best.after == pytest.approx((2.0,))
    assert found.unconditional.n == len(closes) - 1
    assert found.conditional.n == len(found.matches) == 10


@settings(max_examples=40, deadline=None)
@given(bars=st.integers(60, 200), window=st.integers(4, 25), horizon=st.integers(1, 30), seed=st.integers(0, 1000))
def test_matches_respect_query_data_end_and_each_other(bars: int, window: int, horizon: int, seed: int) -> None:
    table = walk_table(START, bars, seed=seed)
    found = find_analogues(candles(table), AnalogueQuery("BTCUSDT", window=window, horizon=horizon, k=20))
    starts = [round((match.start - START) / Interval.H1.delta) for match in found.matches]
    assert starts
    assert all(start + window <= bars - window for start in starts)
    assert all(start + window + horizon <= bars for start in starts)
    assert all(len(match.after) == horizon for match in found.matches)
    shared = [window - abs(one - other) for one in starts for other in starts if one != other]
    assert all(2 * common <= window for common in shared)
    distances = [match.distance for match in found.matches]
    assert distances == sorted(distances)


def test_distances_equal_the_plain_definition() -> None:
    logs = np.log(walk_table(START, 120)["close"].to_numpy())
    distances = shape_distances(logs, 10, 5)

    def shape(start: int) -> np.ndarray:
        part = logs[start : start + 10]
        return np.asarray((part - part.mean()) / part.std())

    plain = [float(np.linalg.norm(shape(start) - shape(110))) for start in range(101)]
    assert distances == pytest.approx(plain, abs=1e-6)


def test_flat_windows_never_match() -> None:
    distances = shape_distances(np.log(np.array([100.0] * 20 + [101.0, 102.0, 101.0, 100.0])), 4, 1)
    assert np.isinf(distances[0])
    assert best_starts(distances[:10], 5, 4) == []


def test_too_little_history_says_how_much_is_needed() -> None:
    with pytest.raises(TooLittleHistory) as raised:
        find_analogues(candles(walk_table(START, 30)), AnalogueQuery("BTCUSDT", window=20, horizon=24))
    assert (raised.value.have, raised.value.need) == (30, 44)


def test_query_out_of_bounds_names_each_field() -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_query(AnalogueQuery("BTCUSDT", window=2, horizon=0, k=5))
    assert [name for name, _ in raised.value.fields] == ["window", "horizon"]


def test_distribution_of_nothing_is_empty() -> None:
    assert distribution(np.empty(0)).n == 0
    assert distribution(np.array([-1.0, 1.0, 3.0])).share_up == pytest.approx(2 / 3)
