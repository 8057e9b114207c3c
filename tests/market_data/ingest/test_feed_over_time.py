"""The feed and a source that is late, corrects itself and goes away: what it finally says is what is stored."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.common.errors import BadUpstream, CandlecastError, Unavailable, UpstreamTimeout
from deployments.market_data.ingest.feed import DEEP_S, Feed
from deployments.market_data.models import CANDLE_SCHEMA
from tests.fakes.candle_sources import ListSource
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WHOLE = walk_table(START, 400).to_pylist()
TROUBLES = (Unavailable("down"), BadUpstream("rubbish"), UpstreamTimeout("slow"))


class World:
    """A source that knows bars up to its own clock, the market that it feeds, and the feed."""

    def __init__(self) -> None:
        self.now = START + 20 * HOUR
        self.skew = timedelta(0)
        self.late: set[int] = set()
        self.factor: dict[int, float] = {}
        self.source = ListSource({})
        self.market = FakeMarketData({}, self.now)
        self.add_symbol("BTCUSD")
        self.restart()

    def add_symbol(self, name: str) -> None:
        self.market.tables.setdefault(name, CANDLE_SCHEMA.empty_table())

    def restart(self) -> None:
        self.feed = Feed(self.source, self.market, lambda: self.now)

    def told(self) -> list[dict[str, object]]:
        """Return what the source says at its own clock, the forming bar included."""
        bars = int((self.now + self.skew - START) / HOUR) + 1
        rows = [WHOLE[n] | {"close": WHOLE[n]["high"] * self.factor.get(n, 1.0)} for n in range(min(bars, 400))]
        return [row | {"high": row["close"]} for n, row in enumerate(rows) if n not in self.late]

    async def poll(self) -> None:
        table = pa.Table.from_pylist(self.told(), schema=CANDLE_SCHEMA)
        self.source.tables = dict.fromkeys(self.market.tables, table)
        self.market.now = self.now
        with contextlib.suppress(CandlecastError):  # told in the status; the next poll goes on
            await self.feed.poll_once()


def closed(world: World) -> list[dict[str, object]]:
    return [row for row in world.told() if row["time"] + HOUR <= world.now]  # type: ignore[operator]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 7)),
        st.tuples(st.just("correct"), st.integers(0, 60)),
        st.tuples(st.just("withhold"), st.integers(0, 3)),
        st.tuples(st.just("release"), st.just(0)),
        st.tuples(st.just("away"), st.integers(1, 30)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("symbol"), st.integers(0, 1)),
        st.tuples(st.just("skew"), st.integers(-90, 90)),
    ),
    max_size=12,
)


async def take(world: World, step: str, amount: int) -> None:
    newest = int((world.now - START) / HOUR)
    if step == "wait":
        world.now += amount * HOUR
    elif step == "correct":
        world.factor[max(0, newest - amount)] = 1.0 + (amount + 1) / 1_000
    elif step == "withhold":
        world.late.add(newest + amount)
    elif step == "release":
        world.late.clear()
    elif step == "away":
        world.source.errors = dict.fromkeys(world.market.tables, TROUBLES[amount % 3])
        await world.poll()
        world.now += amount * HOUR
        await world.poll()
        world.source.errors = {}
    elif step == "restart":
        world.restart()
    elif step == "symbol":
        world.add_symbol(("ETHUSD", "XRPUSD")[amount])
    else:
        world.skew = timedelta(minutes=amount)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_what_is_stored_in_the_end_is_what_the_source_finally_says_of_closed_bars(told: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        world = World()
        for step, amount in told:
            await take(world, step, amount)
            await world.poll()
        world.late.clear()
        world.skew = timedelta(0)
        world.now += timedelta(seconds=DEEP_S)
        await world.poll()
        for name, table in world.market.tables.items():
            assert table.to_pylist() == closed(world), name
        assert world.feed.status().failing == ()

    asyncio.run(scenario())
