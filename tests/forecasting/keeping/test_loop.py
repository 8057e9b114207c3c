"""The keeper's loop: what it writes, and what its silence means."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deployments.common.errors import DatabaseUnavailable
from deployments.forecasting.keeping.loop import KeeperLoop, keeper_trouble, read_status
from deployments.forecasting.models import KeeperState, KeeperStatus

NOW = datetime(2024, 4, 1, tzinfo=UTC)


class Script:
    """Does one round after the other as written down, the last one for ever."""

    def __init__(self, *rounds: KeeperStatus | Exception) -> None:
        self._rounds = list(rounds)
        self.done = asyncio.Event()

    async def round(self) -> KeeperStatus:
        outcome = self._rounds.pop(0) if len(self._rounds) > 1 else self._rounds[0]
        if len(self._rounds) == 1:
            self.done.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def loop(script: Script, path: Path) -> KeeperLoop:
    return KeeperLoop(script, path, 60.0, lambda: NOW)


async def test_status_of_a_round_is_read_back(tmp_path: Path) -> None:
    status = KeeperStatus(KeeperState.KEEPING, NOW, 3, resolved=5, recalibrated={"v": 90}, retraining={"r": "old"})
    await loop(Script(status), tmp_path / "keeper.json").turn()
    found = read_status(tmp_path / "keeper.json")
    assert found is not None
    assert (found.resolved, found.recalibrated, found.interval_s) == (5, {"v": 90}, 60.0)
    assert keeper_trouble(found, NOW) == ""


async def test_failed_round_is_told_and_the_next_one_heals(tmp_path: Path) -> None:
    script = Script(
        DatabaseUnavailable("the database is away", 5.0), ValueError("odd"), KeeperStatus(KeeperState.KEEPING, NOW)
    )
    keeper = loop(script, tmp_path / "keeper.json")
    for reason in ("the database is away", "odd"):
        await keeper.turn()
        assert keeper_trouble(read_status(tmp_path / "keeper.json"), NOW).endswith(f"failed: {reason}")
    await keeper.turn()
    assert keeper_trouble(read_status(tmp_path / "keeper.json"), NOW) == ""


async def test_who_waits_for_the_lease_leaves_the_word_to_its_holder(tmp_path: Path) -> None:
    await loop(Script(KeeperStatus(KeeperState.WAITING, NOW)), tmp_path / "keeper.json").turn()
    assert read_status(tmp_path / "keeper.json") is None


async def test_loop_goes_on_after_a_failure(tmp_path: Path) -> None:
    script = Script(ValueError("odd"), KeeperStatus(KeeperState.KEEPING, NOW))
    task = asyncio.create_task(KeeperLoop(script, tmp_path / "keeper.json", 0.0, lambda: NOW).run())
    try:
        await asyncio.wait_for(script.done.wait(), 20)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_silence_is_trouble_after_a_while() -> None:
    status = KeeperStatus(KeeperState.KEEPING, NOW, interval_s=60.0)
    assert keeper_trouble(status, NOW + timedelta(seconds=239)) == ""
    assert "silent since" in keeper_trouble(status, NOW + timedelta(seconds=241))
    assert keeper_trouble(None, NOW) == ""
