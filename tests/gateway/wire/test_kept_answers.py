"""Answers in memory: how old they may be, who asks for them, and how much room they take."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deployments.common.errors import DatabaseUnavailable
from deployments.common.telemetry import request_id
from deployments.gateway.wire.kept_answers import FRESH_S, RENEW_S, KeptAnswers, Lasting, Passing
from deployments.gateway.wire.prepared import Prepared

PLENTY = 10_000_000


def prepared(text: str) -> Prepared:
    return Prepared(text.encode(), "text/plain", {}, 2)


@dataclass
class SlowSource:
    """A source whose answers wait until the test lets them go; they tell the version at the time of the question."""

    version: int = 0
    waits: bool = False
    away: bool = False
    passes: bool = False
    asked: list[str] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    waiting: list[asyncio.Event] = field(default_factory=list)
    now: float = 100.0

    def clock(self) -> float:
        return self.now

    async def changed(self, question: str, generation: str) -> Lasting | Passing | None:
        self.asked.append(generation)
        self.identities.append(request_id.get())
        away, version, passes = self.away, str(self.version), self.passes
        if self.waits:
            self.waiting.append(asyncio.Event())
            await self.waiting[-1].wait()
        if away:
            raise DatabaseUnavailable("away", 2.0)
        if passes:
            return Passing(self.written)
        return None if version == generation else Lasting(prepared(f"{question} {version}"), version)

    async def written(self) -> Prepared:
        return prepared(f"for {request_id.get()}")


def answers_of(source: SlowSource, max_bytes: int = PLENTY) -> KeptAnswers[str]:
    return KeptAnswers(source, max_bytes, monotonic=source.clock)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_fresh_answer_is_given_without_asking() -> None:
    source = SlowSource()
    answers = answers_of(source)
    first = await answers.get("a")
    source.now += RENEW_S
    assert await answers.get("a") is first
    assert (len(source.asked), answers.hits, answers.misses) == (1, 1, 1)


async def test_ageing_answer_is_given_and_confirmed_beside() -> None:
    source = SlowSource()
    answers = answers_of(source)
    first = await answers.get("a")
    source.now += RENEW_S + 0.01
    source.waits = True
    assert [await answers.get("a") for _ in range(10)] == [first] * 10
    await settle()
    source.waiting[0].set()
    await settle()
    source.now += RENEW_S
    assert await answers.get("a") is first
    assert source.asked == ["", "0"]


async def test_old_answer_waits_for_its_confirmation() -> None:
    source = SlowSource()
    answers = answers_of(source)
    first = await answers.get("a")
    source.now += FRESH_S + 0.01
    assert await answers.get("a") is first
    source.now += FRESH_S + 0.01
    source.version = 1
    assert (await answers.get("a")).tag != first.tag
    assert len(source.asked) == 3


async def test_hundred_cold_requests_ask_once() -> None:
    source = SlowSource(waits=True)
    answers = answers_of(source)
    tasks = [asyncio.create_task(answers.get("a")) for _ in range(100)]
    await settle()
    tasks[0].cancel()  # the one that started it leaves
    await settle()
    source.waiting[0].set()
    found = await asyncio.gather(*tasks[1:])
    assert (len(set(map(id, found))), len(source.asked)) == (1, 1)


async def test_question_carries_the_id_of_the_request_that_waits_for_it() -> None:
    source = SlowSource()
    carried: list[str] = []
    answers = KeptAnswers(source, PLENTY, carried.append, monotonic=source.clock)
    request_id.set("mine")
    await answers.get("a")
    source.now += RENEW_S + 0.01
    await answers.get("a")
    await settle()
    assert (source.identities, carried) == (["mine", ""], ["mine"])


async def test_every_read_is_told_as_hit_or_miss() -> None:
    source, noted = SlowSource(), list[str]()
    answers = KeptAnswers(source, PLENTY, note=noted.append, monotonic=source.clock)
    for name in ("a", "a", "b"):
        await answers.get(name)
    assert noted == ["miss", "hit", "miss"]


async def test_error_is_told_and_not_kept() -> None:
    source = SlowSource(away=True)
    answers = answers_of(source)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await answers.get("a")
    assert (len(source.asked), answers.entries) == (2, 0)
    source.away = False
    await answers.get("a")


async def test_failed_confirmation_lets_the_answer_live_out_its_second_and_no_longer() -> None:
    source = SlowSource()
    answers = answers_of(source)
    first = await answers.get("a")
    source.away = True
    for age_s in (RENEW_S + 0.01, RENEW_S + 0.02, FRESH_S):
        source.now = 100.0 + age_s
        assert await answers.get("a") is first
        await settle()
    assert len(source.asked) == 2  # one try beside the reads, not one for each of them
    source.now = 100.0 + FRESH_S + 0.01
    with pytest.raises(DatabaseUnavailable):
        await answers.get("a")


async def test_passing_answer_is_asked_for_once_written_for_each_request_and_not_kept() -> None:
    source = SlowSource(waits=True, passes=True)
    answers = answers_of(source)

    async def read(identity: str) -> str:
        request_id.set(identity)
        return (await answers.get("a")).tag

    tasks = [asyncio.create_task(read(identity)) for identity in ("one", "two")]
    await settle()
    source.waiting[0].set()
    assert await asyncio.gather(*tasks) == [prepared("for one").tag, prepared("for two").tag]
    assert (len(source.asked), answers.entries) == (1, 0)


async def test_doubted_answer_waits_for_its_confirmation() -> None:
    source = SlowSource()
    answers = answers_of(source)
    first = await answers.get("a")
    answers.doubt()
    assert await answers.get("a") is first
    answers.doubt()
    source.version = 1
    assert (await answers.get("a")).tag == prepared("a 1").tag
    assert source.asked == ["", "0", "0"]


async def test_answer_on_its_way_when_all_is_doubted_reaches_only_who_waits_for_it() -> None:
    source = SlowSource(waits=True)
    answers = answers_of(source)
    early = asyncio.create_task(answers.get("a"))
    await settle()
    source.version = 1
    answers.doubt()
    late = asyncio.create_task(answers.get("a"))
    await settle()
    for waiting in reversed(source.waiting):  # the later question is answered first
        waiting.set()
        await settle()
    source.waits = False
    assert ((await early).tag, (await late).tag) == (prepared("a 0").tag, prepared("a 1").tag)
    assert ((await answers.get("a")).tag, len(source.asked)) == (prepared("a 1").tag, 2)


@pytest.mark.parametrize("late", [0, 1])
async def test_of_two_questions_the_later_one_counts_whichever_is_answered_late(late: int) -> None:
    source = SlowSource(waits=True)
    answers = answers_of(source)
    reads = []
    for source.version in (0, 1):
        source.now += FRESH_S + 0.01
        reads.append(asyncio.create_task(answers.get("a")))
        await settle()
    source.waits = False
    for waiting in (source.waiting[1 - late], source.waiting[late]):
        waiting.set()
        await settle()
        reads.append(asyncio.create_task(answers.get("a")))
        await settle()
    assert [(await read).tag for read in reads] == [prepared(f"a {version}").tag for version in (0, 1, 1, 1)]
    assert len(source.asked) == 2


async def test_what_was_not_read_for_longest_makes_room() -> None:
    source = SlowSource()
    answers = answers_of(source, 3 * (size := prepared("S0 0").size))
    for name in ("S0", "S1", "S2", "S0", "S3"):
        await answers.get(name)
    asked = len(source.asked)
    await answers.get("S0")
    assert len(source.asked) == asked
    await answers.get("S1")
    assert len(source.asked) == asked + 1
    assert (answers.entries, answers.bytes) == (3, 3 * size)


async def test_answer_larger_than_all_room_is_given_and_not_kept() -> None:
    source = SlowSource()
    answers = answers_of(source, 10)
    assert (await answers.get("a")).rows == 2
    assert (answers.entries, answers.bytes) == (0, 0)


# Few kinds of steps and few durations, so that rare orders come up; few of them answers, so that some come late.
STEPS = st.lists(
    st.sampled_from(
        ["0.3", "0.6", "1.1", "write", "write", "read", "read", "answer", "last", "fall", "rise", "doubt", "pass"]
    ),
    min_size=8,
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@example(["read", "write", "1.1", "read"])
@example(["read", "answer", "0.6", "read", "write", "0.6", "answer", "0.6", "read"])
@example(["read", "write", "doubt", "read", "answer", "read"])
@given(STEPS)
def test_whatever_happens_nothing_older_than_a_second_or_a_doubt_is_served(steps: list[str]) -> None:
    asyncio.run(_replay(steps))


async def _replay(steps: list[str]) -> None:
    source = SlowSource(waits=True)
    answers = answers_of(source)
    versions = {prepared(f"a {version}").tag: version for version in range(len(steps) + 1)}
    replaced_at: dict[int, float] = {}
    known_since = 0  # the version that those who read after a `doubt` have been told of
    reads: list[tuple[float, int, asyncio.Task[Prepared]]] = []
    for step in steps:
        if step == "write":
            replaced_at[source.version] = source.now
            source.version += 1
        elif step == "read":
            reads.append((source.now, known_since, asyncio.create_task(answers.get("a"))))
        elif step == "doubt":
            answers.doubt()
            known_since = source.version
        else:
            _happen(source, step)
        await settle()
    while source.waiting:
        source.waiting.pop(0).set()
        await settle()
    for began_at, told, read in reads:
        try:
            tag = (await read).tag
        except DatabaseUnavailable:
            continue
        if tag in versions:  # else it passed, written for this very read
            assert versions[tag] >= told
            assert replaced_at.get(versions[tag], source.now) >= began_at - FRESH_S


def _happen(source: SlowSource, step: str) -> None:
    if step in {"answer", "last"}:
        if source.waiting:
            source.waiting.pop(0 if step == "answer" else -1).set()
    elif step in {"fall", "rise"}:
        source.away = step == "fall"
    elif step == "pass":
        source.passes = not source.passes
    else:
        source.now += float(step)
