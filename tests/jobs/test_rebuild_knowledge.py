"""The rebuild job against a scripted knowledge."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from deployments.knowledge.models import SyncCycle, SyncState, SyncStatus
from jobs.rebuild_knowledge import main

OLD = SyncCycle(datetime(2026, 1, 1, tzinfo=UTC), 0, 0, 0, 1.0)
NEW = SyncCycle(datetime(2026, 1, 2, tzinfo=UTC), 9, 9, 0, 1.0)
IDLE = SyncStatus(SyncState.RUNNING, False, None, None, 0, OLD, None)


class ScriptedKnowledge:
    """Answer one status after the other; the last one for ever."""

    def __init__(self, *statuses: SyncStatus) -> None:
        self.statuses = list(statuses)
        self.rebuilds = 0

    async def rebuild(self) -> SyncStatus:
        self.rebuilds += 1
        return replace(IDLE, busy=True)

    async def sync_status(self) -> SyncStatus:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


def run(target: ScriptedKnowledge, *options: str) -> int:
    return main(["--poll-s", "0", *options], lambda: target)


def test_job_follows_the_rebuild_until_its_cycle_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    done = replace(IDLE, passages=9, last_cycle=NEW)
    target = ScriptedKnowledge(replace(IDLE, busy=True), IDLE, replace(IDLE, busy=True, passages=4), done)
    assert run(target) == 0
    assert target.rebuilds == 1
    assert "done: 9 passages" in capsys.readouterr().out


def test_job_that_does_not_wait_only_asks() -> None:
    target = ScriptedKnowledge()
    assert run(target, "--no-wait") == 0
    assert target.rebuilds == 1


def test_failure_that_nobody_repeats_ends_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    target = ScriptedKnowledge(replace(IDLE, state=SyncState.STOPPED, last_error="disk full"))
    assert run(target) == 2
    assert "disk full" in capsys.readouterr().err


def test_failure_that_is_tried_again_is_waited_for() -> None:
    target = ScriptedKnowledge(replace(IDLE, last_error="disk full"), replace(IDLE, last_cycle=NEW))
    assert run(target) == 0


def test_job_gives_up_after_its_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ScriptedKnowledge(IDLE), "--timeout-s", "0.01") == 2
    assert "longer than" in capsys.readouterr().err
