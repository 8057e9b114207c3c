"""Filters before similarity, and exactness."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from deployments.knowledge.embedding import DIMENSIONS
from deployments.knowledge.index import PassageFilter, PassageIndex
from deployments.knowledge.models import Passage, PassageKind
from deployments.knowledge.passages import make_passage
from deployments.knowledge.store import TableChange, passage_rows
from deployments.market_data.models import Interval

START = datetime(2023, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def items() -> list[Passage]:
    candles = [
        make_passage(PassageKind.CANDLE, symbol, Interval.H1, START + hour * HOUR, f"{symbol} {hour}", hour, hour + 1.5)
        for symbol in ("BTCUSDT", "ETHUSDT")
        for hour in range(48)
    ]
    days = [make_passage(PassageKind.DAY, "BTCUSDT", Interval.H1, START, "BTCUSDT day", 0.0, 24.0)]
    return candles + days


VECTORS = np.random.default_rng(5).normal(size=(97, DIMENSIONS)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


@pytest.fixture
def index() -> PassageIndex:
    built = PassageIndex()
    built.replace(TableChange(1, frozenset({0}), passage_rows(items(), VECTORS), 97))
    return built


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (PassageFilter(), 97),
        (PassageFilter(symbols=frozenset({"ETHUSDT"})), 48),
        (PassageFilter(symbols=frozenset({"NONE"})), 0),
        (PassageFilter(kind=PassageKind.DAY), 1),
        (PassageFilter(start=START + 40 * HOUR), 16),
        (PassageFilter(end=START + HOUR), 3),
        (PassageFilter(spans=((START + HOUR, START + 2 * HOUR), (START + 5 * HOUR, START + 6 * HOUR))), 4),
        (PassageFilter(as_of=START + HOUR), 2),
        (PassageFilter(as_of=START + timedelta(days=1)), 49),
        (PassageFilter(levels=(10.2,)), 5),
        (PassageFilter(levels=(9999.0,)), 97),
        (PassageFilter(symbols=frozenset({"ETHUSDT"}), levels=(10.2,), end=START + 10 * HOUR), 1),
    ],
)
def test_filter_decides_before_similarity(index: PassageIndex, where: PassageFilter, count: int) -> None:
    assert len(index.search(VECTORS[0], 97, where)) == count


def test_hits_are_the_exact_nearest_of_those_that_qualify(index: PassageIndex) -> None:
    query = VECTORS[60] + VECTORS[3]
    hits = index.search(query, 5, PassageFilter(symbols=frozenset({"ETHUSDT"})))
    products = VECTORS[48:96] @ query
    best = np.argsort(-products)[:5]
    assert [hit.text for hit in hits] == [f"ETHUSDT {hour}" for hour in best]
    assert [hit.score for hit in hits] == pytest.approx([float(products[hour]) for hour in best], abs=1e-5)
    assert all(len(hit.id) == 16 for hit in hits)


def test_empty_index_finds_nothing() -> None:
    assert PassageIndex().search(VECTORS[0], 5, PassageFilter()) == ()
    assert PassageIndex().symbols() == frozenset()


def test_change_that_hides_a_deletion_is_refused(index: PassageIndex) -> None:
    change: dict[str, Any] = {"version": 2, "fragments": frozenset({0, 1})}
    assert not index.advance(TableChange(**change, rows=passage_rows(items()[:2], VECTORS[:2]), total=96))
    assert index.version == 1
    assert index.advance(TableChange(**change, rows=passage_rows(items()[:2], VECTORS[2:4]), total=97))
    assert (index.version, index.size) == (2, 97)
    (hit,) = index.search(VECTORS[2], 1, PassageFilter(end=START + 2 * HOUR, symbols=frozenset({"BTCUSDT"})))
    assert hit.score == pytest.approx(1.0, abs=1e-5)
    assert hit.text == "BTCUSDT 0"
