"""Encoded candles in memory: how old they may be, who asks for them, and how much room they take."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deployments.common.errors import DatabaseUnavailable
from deployments.common.telemetry import request_id
from deployments.gateway.wire.candle_answers import FRESH_S, RENEW_S, CandleAnswers, WantedCandles
from deployments.gateway.wire.candle_formats import JSON_TYPE, Layout
from deployments.gateway.wire.prepared import Prepared
from deployments.market_data.models import CandleQuery, Candles, Interval, Source
from deployments.market_data.reading.generation import generation_of
from tests.fakes.market_data import candle_table

START = datetime(2024, 1, 1, tzinfo=UTC)
PLENTY = 10_000_000


def wanted(symbol: str = "BTCUSD") -> WantedCandles:
    return WantedCandles(CandleQuery(symbol, limit=2), Layout.ROWS, JSON_TYPE)


@dataclass
class SlowMarket:
    """Market data whose answers wait until the test lets them go; they tell the version at the time of the question."""

    version: int = 0
    waits: bool = False
    away: bool = False
    asked: list[str] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    waiting: list[asyncio.Event] = field(default_factory=list)
    now: float = 100.0

    def clock(self) -> float:
        return self.now

    async def changed(self, query: CandleQuery, generation: str) -> Candles | None:
        self.asked.append(generation)
        self.identities.append(request_id.get())
        error = DatabaseUnavailable("away", 2.0) if self.away else None
        found = candles_of(query.symbol, self.version)
        if self.waits:
            self.waiting.append(asyncio.Event())
            await self.waiting[-1].wait()
        if error is not None:
            raise error
        return None if generation_of(found) == generation else found


def candles_of(symbol: str, version: int) -> Candles:
    table = candle_table(START, [1.0, float(version)])
    return Candles(symbol, Interval.H1, table, Source.DATABASE, START, False)


def answers_of(market: SlowMarket, max_bytes: int = PLENTY) -> CandleAnswers:
    return CandleAnswers(market.changed, max_bytes, monotonic=market.clock)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_fresh_answer_is_given_without_asking() -> None:
    market = SlowMarket()
    answers = answers_of(market)
    first = await answers.get(wanted())
    market.now += RENEW_S
    assert await answers.get(wanted()) is first
    assert (len(market.asked), answers.hits, answers.misses) == (1, 1, 1)


async def test_ageing_answer_is_given_and_confirmed_beside() -> None:
    market = SlowMarket()
    answers = answers_of(market)
    first = await answers.get(wanted())
    market.now += RENEW_S + 0.01
    market.waits = True
    assert [await answers.get(wanted()) for _ in range(10)] == [first] * 10
    await settle()
    market.waiting[0].set()
    await settle()
    market.now += RENEW_S
    assert await answers.get(wanted()) is first
    assert len(market.asked) == 2


async def test_old_answer_waits_for_its_confirmation() -> None:
    market = SlowMarket()
    answers = answers_of(market)
    first = await answers.get(wanted())
    market.now += FRESH_S + 0.01
    assert await answers.get(wanted()) is first
    market.now += FRESH_S + 0.01
    market.version = 1
    assert (await answers.get(wanted())).tag != first.tag
    assert len(market.asked) == 3


async def test_hundred_cold_requests_ask_once() -> None:
    market = SlowMarket(waits=True)
    answers = answers_of(market)
    tasks = [asyncio.create_task(answers.get(wanted())) for _ in range(100)]
    await settle()
    tasks[0].cancel()  # the one that started it leaves
    await settle()
    market.waiting[0].set()
    found = await asyncio.gather(*tasks[1:])
    assert (len(set(map(id, found))), len(market.asked)) == (1, 1)


async def test_question_carries_the_id_of_the_request_that_waits_for_it() -> None:
    market = SlowMarket()
    carried: list[str] = []
    answers = CandleAnswers(market.changed, PLENTY, carried.append, monotonic=market.clock)
    request_id.set("mine")
    await answers.get(wanted())
    market.now += RENEW_S + 0.01
    await answers.get(wanted())
    await settle()
    assert (market.identities, carried) == (["mine", ""], ["mine"])


async def test_error_is_told_and_not_kept() -> None:
    market = SlowMarket(away=True)
    answers = answers_of(market)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await answers.get(wanted())
    assert (len(market.asked), answers.entries) == (2, 0)
    market.away = False
    await answers.get(wanted())


async def test_failed_confirmation_lets_the_answer_live_out_its_second_and_no_longer() -> None:
    market = SlowMarket()
    answers = answers_of(market)
    first = await answers.get(wanted())
    market.away = True
    for age_s in (RENEW_S + 0.01, RENEW_S + 0.02, FRESH_S):
        market.now = 100.0 + age_s
        assert await answers.get(wanted()) is first
        await settle()
    assert len(market.asked) == 2  # one try beside the reads, not one for each of them
    market.now = 100.0 + FRESH_S + 0.01
    with pytest.raises(DatabaseUnavailable):
        await answers.get(wanted())


async def test_what_was_not_read_for_longest_makes_room() -> None:
    market = SlowMarket()
    size = (await answers_of(market).get(wanted("S0"))).size
    answers = answers_of(market, 3 * size)
    for symbol in ("S0", "S1", "S2", "S0", "S3"):
        await answers.get(wanted(symbol))
    asked = len(market.asked)
    await answers.get(wanted("S0"))
    assert len(market.asked) == asked
    await answers.get(wanted("S1"))
    assert len(market.asked) == asked + 1
    assert (answers.entries, answers.bytes) == (3, 3 * size)


async def test_answer_larger_than_all_room_is_given_and_not_kept() -> None:
    market = SlowMarket()
    answers = answers_of(market, 10)
    assert (await answers.get(wanted())).rows == 2
    assert (answers.entries, answers.bytes) == (0, 0)


# Few kinds of steps and few durations, so that rare orders come up; few of them answers, so that some come late.
STEPS = st.lists(
    st.sampled_from(["0.3", "0.6", "1.1", "write", "write", "read", "read", "answer", "fall", "rise"]),
    min_size=8,
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@example(["read", "write", "1.1", "read"])
@example(["read", "answer", "0.6", "read", "write", "0.6", "answer", "0.6", "read"])
@given(STEPS)
def test_whatever_happens_nothing_older_than_a_second_is_served(steps: list[str]) -> None:
    asyncio.run(_replay(steps))


async def _replay(steps: list[str]) -> None:
    market = SlowMarket(waits=True)
    answers = answers_of(market)
    tags = {(await _tag_of(version)): version for version in range(len(steps) + 1)}
    replaced_at: dict[int, float] = {}
    reads: list[tuple[float, asyncio.Task[Prepared]]] = []
    for step in steps:
        if step[0].isdigit():
            market.now += float(step)
        elif step == "write":
            replaced_at[market.version] = market.now
            market.version += 1
        elif step == "read":
            reads.append((market.now, asyncio.create_task(answers.get(wanted()))))
        elif step == "answer" and market.waiting:
            market.waiting.pop(0).set()
        elif step in {"fall", "rise"}:
            market.away = step == "fall"
        await settle()
    while market.waiting:
        market.waiting.pop(0).set()
        await settle()
    for began_at, read in reads:
        try:
            version = tags[(await read).tag]
        except DatabaseUnavailable:
            continue
        assert replaced_at.get(version, market.now) >= began_at - FRESH_S


async def _tag_of(version: int) -> str:
    market = SlowMarket(version=version)
    return (await answers_of(market).get(wanted())).tag


def test_generation_is_that_of_the_content() -> None:
    one, same, other = candles_of("BTCUSD", 1), candles_of("BTCUSD", 1), candles_of("BTCUSD", 2)
    assert generation_of(one) == generation_of(same) != generation_of(other)
    later = Candles(one.symbol, one.interval, one.table, one.source, START + timedelta(microseconds=1), one.stale)
    assert generation_of(later) != generation_of(one)
