"""A server that is away is asked by one task and by nobody else."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deployments.common.errors import DatabaseUnavailable
from deployments.market_data.timescale.presence import LONGEST_PAUSE_S, Presence


class Server:
    """Answers or not, as told, and lets a test wait for the next question."""

    def __init__(self) -> None:
        self.is_there = True
        self.talks_nonsense = False
        self.questions = 0
        self.pauses: list[float] = []
        self._asked = asyncio.Condition()

    async def answers(self) -> bool:
        async with self._asked:
            self.questions += 1
            self._asked.notify_all()
        if self.talks_nonsense:
            raise AttributeError("server_version")
        return self.is_there

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def asked(self, questions: int) -> None:
        async with self._asked, asyncio.timeout(10):
            await self._asked.wait_for(lambda: self.questions >= questions)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def presence(server: Server) -> AsyncIterator[Presence]:
    known = Presence("the server", server.answers, server.pause)
    yield known
    await known.close()


async def gone(presence: Presence, *, away: bool) -> None:
    async with asyncio.timeout(10):
        while presence.is_away is not away:  # noqa: ASYNC110  what is looked at has no event
            await asyncio.sleep(0)


async def test_server_that_was_never_missed_is_not_asked(server: Server, presence: Presence) -> None:
    presence.check()
    assert server.questions == 0


async def test_lost_server_is_refused_at_once_and_asked_by_one_task_at_growing_pauses(
    server: Server, presence: Presence
) -> None:
    server.is_there = False
    for _ in range(50):
        presence.lost()
        with pytest.raises(DatabaseUnavailable):
            presence.check()
    await server.asked(10)
    assert server.pauses[:3] == [0.1, 0.2, 0.4]
    assert max(server.pauses) == LONGEST_PAUSE_S
    assert abs(len(server.pauses) - server.questions) <= 1


async def test_server_that_is_back_serves_again_and_may_be_lost_again(server: Server, presence: Presence) -> None:
    for _ in range(2):
        server.is_there = False
        presence.lost()
        await server.asked(server.questions + 2)
        server.is_there = True
        await gone(presence, away=False)
        presence.check()


async def test_suspected_server_serves_on_until_it_fails_to_answer(server: Server, presence: Presence) -> None:
    presence.suspect()
    presence.check()
    await server.asked(1)
    assert not presence.is_away
    server.is_there = False
    await asyncio.sleep(0)
    presence.suspect()
    await gone(presence, away=True)


async def test_server_that_answered_nonsense_is_asked_on_until_it_makes_sense(
    server: Server, presence: Presence
) -> None:
    server.talks_nonsense = True
    presence.lost()
    await server.asked(3)
    with pytest.raises(DatabaseUnavailable):
        presence.check()
    server.talks_nonsense = False
    await gone(presence, away=False)
    presence.check()
