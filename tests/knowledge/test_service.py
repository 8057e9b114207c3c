"""Search and analogues as the deployment answers them."""

import pathlib
from datetime import UTC, datetime, timedelta

import pytest

from deployments.common.errors import InvalidRequest, Unavailable, UnknownSymbol
from deployments.knowledge.models import AnalogueQuery, PassageKind, SearchQuery, SyncState, SyncStatus
from deployments.knowledge.service import KnowledgeService
from deployments.knowledge.store import PassageStore
from deployments.knowledge.sync import SyncEngine, SyncPlan
from tests.fakes.knowledge import WordEncoder
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2023, 3, 1, tzinfo=UTC)
BARS = 120
PASSAGES = 2 * (BARS + 5)
WATERMARK = START + timedelta(hours=BARS - 1)


class FixedSync:
    """A sync that always stands at the same point, or is away."""

    def __init__(self, lag_seconds: float = 1.0) -> None:
        self.lag_seconds = lag_seconds
        self.away = False
        self.asked: list[str] = []

    async def status(self) -> SyncStatus:
        return self._answer("status")

    async def start(self) -> SyncStatus:
        return self._answer("start")

    async def stop(self) -> SyncStatus:
        return self._answer("stop")

    async def trigger(self) -> SyncStatus:
        return self._answer("trigger")

    async def rebuild(self) -> SyncStatus:
        return self._answer("rebuild")

    def _answer(self, asked: str) -> SyncStatus:
        self.asked.append(asked)
        if self.away:
            raise Unavailable("the sync is away")
        return SyncStatus(SyncState.RUNNING, False, WATERMARK, self.lag_seconds, PASSAGES, None, None)


class Stopwatch:
    """Monotonic seconds that a test moves."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def source() -> FakeMarketData:
    tables = {"BTCUSDT": walk_table(START, BARS), "ETHUSDT": walk_table(START, BARS, seed=2)}
    return FakeMarketData(tables, START + timedelta(hours=BARS))


@pytest.fixture
async def store(tmp_path: pathlib.Path, source: FakeMarketData) -> PassageStore:
    """A filled table."""
    filled = PassageStore(tmp_path / "passages.lance")
    await SyncEngine(source, filled, WordEncoder(), SyncPlan(1000), clock=lambda: source.now).run_cycle()
    return filled


@pytest.fixture
def sync() -> FixedSync:
    return FixedSync()


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def service(store: PassageStore, source: FakeMarketData, sync: FixedSync, watch: Stopwatch) -> KnowledgeService:
    return KnowledgeService(store, WordEncoder(), source, sync, monotonic_s=watch)


async def test_search_finds_the_passage_that_is_asked_for(service: KnowledgeService) -> None:
    answer = await service.search(SearchQuery("BTCUSDT on 2023-03-02", kind=PassageKind.DAY))
    (hit,) = answer.hits
    assert (hit.symbol, hit.time) == ("BTCUSDT", datetime(2023, 3, 2, tzinfo=UTC))
    assert (answer.passages, answer.indexed_until, answer.stale) == (PASSAGES, WATERMARK, False)


async def test_stated_symbol_overrules_the_one_in_the_question(service: KnowledgeService) -> None:
    answer = await service.search(SearchQuery("strong rise of BTCUSDT", symbol="ethusdt", k=10))
    assert {hit.symbol for hit in answer.hits} == {"ETHUSDT"}


async def test_as_of_hides_what_was_not_known(service: KnowledgeService) -> None:
    answer = await service.search(SearchQuery("BTCUSDT", as_of=START + timedelta(hours=30), k=100))
    candles = [hit.time for hit in answer.hits if hit.kind is PassageKind.CANDLE]
    assert max(candles) == START + timedelta(hours=29)
    assert sum(hit.kind is PassageKind.DAY for hit in answer.hits) == 1


async def test_search_follows_the_table_within_a_second(
    service: KnowledgeService, store: PassageStore, watch: Stopwatch
) -> None:
    await service.search(SearchQuery("anything"))
    store.clear()
    assert (await service.search(SearchQuery("anything"))).passages == PASSAGES
    watch.seconds = 1.0
    assert (await service.search(SearchQuery("anything"))).passages == 0


async def test_lagging_index_is_told(service: KnowledgeService, sync: FixedSync) -> None:
    sync.lag_seconds = 601.0
    assert (await service.search(SearchQuery("anything"))).stale


async def test_search_answers_while_the_sync_is_away(service: KnowledgeService, sync: FixedSync) -> None:
    sync.away = True
    answer = await service.search(SearchQuery("anything"))
    assert len(answer.hits) == 5
    assert (answer.indexed_until, answer.stale) == (WATERMARK, True)
    health = await service.health()
    assert (health.passages, health.sync, health.reason) == (PASSAGES, None, "the sync is away")


async def test_empty_table_gives_an_empty_answer(tmp_path: pathlib.Path, source: FakeMarketData) -> None:
    empty = KnowledgeService(PassageStore(tmp_path / "none.lance"), WordEncoder(), source, FixedSync())
    assert (await empty.search(SearchQuery("anything"))).hits == ()


@pytest.mark.parametrize(
    "query",
    [SearchQuery(""), SearchQuery("x" * 2001), SearchQuery("x", k=0), SearchQuery("x", start=START, end=START)],
)
async def test_malformed_search_is_refused(service: KnowledgeService, query: SearchQuery) -> None:
    with pytest.raises(InvalidRequest):
        await service.search(query)


async def test_analogues_read_candles_as_known_then(service: KnowledgeService, source: FakeMarketData) -> None:
    as_of = START + timedelta(hours=100)
    found = await service.analogues(AnalogueQuery("BTCUSDT", window=12, horizon=6, k=3, as_of=as_of))
    assert found.data_as_of == as_of
    assert source.queries[-1].as_of == as_of
    assert all(match.end + timedelta(hours=7) <= as_of for match in found.matches)


async def test_analogues_of_an_unknown_symbol_say_so(service: KnowledgeService) -> None:
    with pytest.raises(UnknownSymbol):
        await service.analogues(AnalogueQuery("NONE"))


async def test_commands_reach_the_sync(service: KnowledgeService, sync: FixedSync) -> None:
    await service.start_sync()
    await service.stop_sync()
    await service.trigger_sync()
    await service.rebuild()
    await service.sync_status()
    assert sync.asked == ["start", "stop", "trigger", "rebuild", "status"]
