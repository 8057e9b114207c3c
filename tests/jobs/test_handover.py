"""A parcel from a job to workers that wait for it."""

import threading
from pathlib import Path

from jobs.handover import Handover


def test_whoever_waits_gets_the_parcel_when_it_is_given(tmp_path: Path) -> None:
    handover = Handover(tmp_path / "run" / "task")
    got: list[bytes] = []
    takers = [threading.Thread(target=lambda: got.append(handover.taken())) for _ in range(2)]
    for taker in takers:
        taker.start()

    handover.give(b"work")

    for taker in takers:
        taker.join(timeout=30)
    assert got == [b"work", b"work"]


def test_whoever_comes_late_finds_the_parcel(tmp_path: Path) -> None:
    handover = Handover(tmp_path / "task")

    handover.give(b"work")

    assert handover.taken() == handover.taken() == b"work"
    assert [path.name for path in tmp_path.iterdir()] == ["task"]


def test_a_parcel_that_was_called_off_is_empty(tmp_path: Path) -> None:
    handover = Handover(tmp_path / "task")

    handover.call_off()

    assert handover.taken() == b""


def test_a_parcel_of_an_earlier_job_is_not_taken(tmp_path: Path) -> None:
    handover = Handover(tmp_path / "task")
    handover.give(b"old")

    handover.clear()
    handover.clear()

    assert not handover.path.exists()
    handover.give(b"new")
    assert handover.taken() == b"new"
