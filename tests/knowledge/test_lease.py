"""Who may write."""

import pathlib

import pytest

from deployments.common.errors import SyncBusy
from deployments.knowledge.lease import Lease


def test_second_holder_waits_until_the_first_is_gone(tmp_path: pathlib.Path) -> None:
    first, second = Lease(tmp_path / "home" / "sync.lease"), Lease(tmp_path / "home" / "sync.lease")
    assert first.acquire()
    assert not second.acquire()
    with pytest.raises(SyncBusy):
        second.check()
    first.release()
    assert second.acquire()
    assert (first.epoch, second.epoch) == (1, 2)
    second.release()


def test_holder_keeps_its_epoch(tmp_path: pathlib.Path) -> None:
    lease = Lease(tmp_path / "sync.lease")
    assert lease.acquire()
    assert lease.acquire()
    lease.check()
    assert lease.epoch == 1
    lease.release()


def test_holder_whose_file_was_taken_over_is_fenced_off(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "sync.lease"
    lease = Lease(path)
    assert lease.acquire()
    path.write_text(f"{7:020d}")
    with pytest.raises(SyncBusy):
        lease.check()
    lease.release()
    assert lease.acquire()
    assert lease.epoch == 8
    lease.release()
