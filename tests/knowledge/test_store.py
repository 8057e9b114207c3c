"""The passages table, on Lance."""

import pathlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from deployments.knowledge.index import PassageFilter, PassageIndex
from deployments.knowledge.models import Passage, PassageKind
from deployments.knowledge.passages import make_passage
from deployments.knowledge.service import follow
from deployments.knowledge.store import MAX_FRAGMENTS, PassageStore
from deployments.market_data.models import Interval
from tests.fakes.knowledge import WordEncoder

START = datetime(2023, 3, 1, tzinfo=UTC)


def passages(hours: range, word: str = "calm", symbol: str = "BTCUSDT") -> list[Passage]:
    return [
        make_passage(PassageKind.CANDLE, symbol, Interval.H1, START + timedelta(hours=hour), f"{word} {hour}", 90, 110)
        for hour in hours
    ]


def put(store: PassageStore, items: list[Passage]) -> tuple[int, int]:
    return store.upsert(items, WordEncoder().encode([item.text for item in items]))


@pytest.fixture
def store(tmp_path: pathlib.Path) -> PassageStore:
    return PassageStore(tmp_path / "deep" / "passages.lance")


def test_table_that_does_not_exist_is_empty(store: PassageStore) -> None:
    assert (store.version(), store.count(), store.watermarks(), store.content_hashes([1])) == (0, 0, {}, {})
    assert store.changes().rows.num_rows == 0
    store.clear()
    store.tidy()


def test_replica_that_looks_while_the_table_is_made_sees_none_or_all_of_it(tmp_path: pathlib.Path) -> None:
    stores = [PassageStore(tmp_path / f"{number}.lance") for number in range(30)]
    rows = passages(range(2))

    def make() -> None:
        for store in stores:
            put(store, rows)

    with ThreadPoolExecutor(1) as sync:
        made = sync.submit(make)
        for store in stores:
            while not made.done() and store.count() == 0:
                assert store.changes().total in (0, 2)
    made.result()
    assert [store.count() for store in stores] == [2] * 30


def test_upsert_counts_new_and_replaced_and_is_one_version(store: PassageStore) -> None:
    assert put(store, passages(range(5))) == (5, 0)
    before = store.version()
    assert put(store, passages(range(3, 8), "wild")) == (3, 2)
    assert store.version() == before + 1
    assert store.count() == 8


def test_watermark_is_the_newest_stored_candle_of_each_series(store: PassageStore) -> None:
    day = make_passage(PassageKind.DAY, "BTCUSDT", Interval.H1, START + timedelta(days=9), "later", 1, 2)
    put(store, [*passages(range(5)), *passages(range(2), symbol="ETHUSDT"), day])
    assert store.watermarks() == {
        ("BTCUSDT", Interval.H1): START + timedelta(hours=4),
        ("ETHUSDT", Interval.H1): START + timedelta(hours=1),
    }


def test_content_hashes_follow_the_text(store: PassageStore) -> None:
    old, new = passages(range(1)), passages(range(1), "wild")
    put(store, old)
    put(store, new)
    assert store.content_hashes([old[0].id, 42]) == {new[0].id: new[0].content_hash}


def test_changes_hold_only_fragments_not_read_yet(store: PassageStore) -> None:
    put(store, passages(range(5)))
    first = store.changes()
    put(store, passages(range(4, 7), "wild"))
    second = store.changes(first.fragments)
    assert sorted(second.rows["text"].to_pylist()) == ["wild 4", "wild 5", "wild 6"]
    assert second.total == 7


def test_tidying_keeps_every_passage_and_few_fragments(store: PassageStore) -> None:
    for hour in range(MAX_FRAGMENTS + 2):
        put(store, passages(range(hour, hour + 1)))
    store.tidy()
    assert len(store.changes().fragments) < 3
    assert store.count() == MAX_FRAGMENTS + 2


def test_index_follows_inserts_replacements_tidying_and_clearing(store: PassageStore) -> None:
    index, encoder = PassageIndex(), WordEncoder()
    follow(store, index)
    for hour in range(MAX_FRAGMENTS + 2):
        put(store, passages(range(hour, hour + 2), f"word{hour}"))
        follow(store, index)
    store.tidy()
    follow(store, index)
    assert (index.size, index.version) == (MAX_FRAGMENTS + 3, store.version())
    (hit,) = index.search(encoder.encode(["word7 7"])[0], 1, PassageFilter())
    assert hit.text == "word7 7"
    assert hit.score == pytest.approx(1.0, abs=1e-5)
    store.clear()
    follow(store, index)
    assert (index.size, index.newest()) == (0, None)
    put(store, passages(range(2)))
    follow(store, index)
    assert index.newest() == START + timedelta(hours=1)
