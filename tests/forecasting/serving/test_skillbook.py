"""Live skill at hand: whose it is, how long it is kept, and what happens when it cannot be read."""

from datetime import UTC, datetime, timedelta

from deployments.forecasting.models import AccuracyRow, Skill
from deployments.forecasting.serving.skillbook import FRESH_FOR, MIN_RESOLVED, REMEMBERED, SYMBOLS_PER_ROUND, Skillbook
from deployments.market_data.models import Interval

NOW = datetime(2024, 6, 1, tzinfo=UTC)


class Scores:
    """The accuracy of any symbol, a clock, and a list of who was read."""

    def __init__(self) -> None:
        self.now = NOW
        self.read: list[str] = []
        self.broken = False
        self.book = Skillbook(self.accuracy, lambda: self.now)

    async def accuracy(self, symbol: str) -> tuple[AccuracyRow, ...]:
        self.read.append(symbol)
        if self.broken:
            raise RuntimeError("the disk is gone")
        return (AccuracyRow(symbol, Interval.H1, 24, "ewma", None, Skill(1.0, 1.0, {}, MIN_RESOLVED, "live")),)

    def skill(self, symbol: str) -> Skill | None:
        return self.book.skill(symbol, Interval.H1, 24, "ewma", None)

    async def refresh(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            await self.book.refresh()


async def test_skill_is_known_after_the_round_that_follows_the_first_question() -> None:
    scores = Scores()
    assert scores.skill("BTCUSD") is None
    await scores.refresh(2)
    assert scores.skill("BTCUSD") is not None
    assert scores.read == ["BTCUSD"]


async def test_skill_is_read_again_when_it_is_no_longer_fresh_and_kept_when_that_fails() -> None:
    scores = Scores()
    scores.skill("BTCUSD")
    await scores.refresh()
    scores.now += FRESH_FOR
    scores.broken = True
    await scores.refresh(3)
    assert scores.read == ["BTCUSD", "BTCUSD"]
    assert scores.skill("BTCUSD") is not None


async def test_symbols_wait_their_turn_the_oldest_first() -> None:
    scores = Scores()
    for number in range(SYMBOLS_PER_ROUND + 1):
        scores.skill(f"S{number:03}")
    await scores.refresh()
    assert len(scores.read) == SYMBOLS_PER_ROUND
    scores.now += FRESH_FOR + timedelta(seconds=1)
    await scores.refresh()
    assert scores.read[SYMBOLS_PER_ROUND] == f"S{SYMBOLS_PER_ROUND:03}"


async def test_no_more_symbols_are_remembered_than_stated_and_those_asked_for_stay() -> None:
    scores = Scores()
    scores.skill("BTCUSD")
    await scores.refresh()
    for number in range(2 * REMEMBERED):
        scores.skill(f"S{number}")
        assert scores.skill("BTCUSD") is not None
    await scores.refresh(2 * REMEMBERED // SYMBOLS_PER_ROUND)
    assert len(set(scores.read)) == REMEMBERED
