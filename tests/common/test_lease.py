"""Of many processes, who may."""

from pathlib import Path

from deployments.common.lease import Lease


def test_second_holder_waits_until_the_first_is_gone(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "home" / "keeper.lease"), Lease(tmp_path / "home" / "keeper.lease")
    assert first.acquire()
    assert not second.acquire()
    assert not second.is_held()
    first.release()
    assert second.acquire()
    assert (first.epoch, second.epoch) == (1, 2)
    second.release()


def test_holder_keeps_its_epoch(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "keeper.lease")
    assert lease.acquire()
    assert lease.acquire()
    assert lease.is_held()
    assert lease.epoch == 1
    lease.release()
    assert not lease.is_held()


def test_holder_whose_file_was_taken_over_is_fenced_off(tmp_path: Path) -> None:
    path = tmp_path / "keeper.lease"
    lease = Lease(path)
    assert lease.acquire()
    path.write_text(f"{7:020d}")
    assert not lease.is_held()
    assert not lease.acquire()
    assert lease.acquire()
    assert lease.epoch == 8
    lease.release()


def test_holder_whose_file_is_gone_is_fenced_off(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "keeper.lease")
    assert lease.acquire()
    (tmp_path / "keeper.lease").unlink()
    assert not lease.is_held()
    lease.release()
