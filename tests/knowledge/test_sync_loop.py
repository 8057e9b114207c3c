"""Start, stop, trigger, failure and rebuild."""

import asyncio
import pathlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from deployments.common.errors import SyncBusy
from deployments.common.lease import Lease
from deployments.knowledge.models import SyncState
from deployments.knowledge.sync import SyncEngine, SyncPlan
from deployments.knowledge.sync_loop import SyncLoop, fence
from tests.fakes.knowledge import MemoryStore, WordEncoder
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2023, 3, 1, tzinfo=UTC)
BARS = 30
PASSAGES = BARS + 2


def make_loop(home: pathlib.Path, store: MemoryStore, enabled: bool = True, interval_s: float = 300.0) -> SyncLoop:
    source = FakeMarketData({"BTCUSDT": walk_table(START, BARS)}, START + timedelta(hours=BARS))
    lease = Lease(home / "sync.lease")
    engine = SyncEngine(source, store, WordEncoder(), SyncPlan(), fence(lease))
    return SyncLoop(engine, lease, home / "sync.json", interval_s, enabled)


@asynccontextmanager
async def running(loop: SyncLoop) -> AsyncIterator[SyncLoop]:
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < limit, "the condition never came true"
        await asyncio.sleep(0.005)


async def test_enabled_sync_runs_at_once_and_again_when_due(tmp_path: pathlib.Path) -> None:
    async with running(make_loop(tmp_path, MemoryStore(), interval_s=0.02)) as loop:
        await until(lambda: loop.status().last_cycle is not None)
        first = loop.status().last_cycle
        await until(lambda: loop.status().last_cycle != first)
        status = loop.status()
    assert status.passages == PASSAGES
    assert status.state is SyncState.RUNNING
    assert status.watermark == START + timedelta(hours=BARS - 1)


async def test_disabled_sync_runs_only_when_triggered(tmp_path: pathlib.Path) -> None:
    store = MemoryStore()
    async with running(make_loop(tmp_path, store, enabled=False)) as loop:
        assert loop.status().next_run is None
        assert loop.trigger().state is SyncState.STOPPED
        await until(lambda: loop.status().last_cycle is not None)
    assert store.count() == PASSAGES


async def test_start_and_stop_survive_a_restart(tmp_path: pathlib.Path) -> None:
    make_loop(tmp_path, MemoryStore(), enabled=True).stop()
    assert make_loop(tmp_path, MemoryStore(), enabled=True).status().state is SyncState.STOPPED
    make_loop(tmp_path, MemoryStore(), enabled=False).start()
    assert make_loop(tmp_path, MemoryStore(), enabled=False).status().state is SyncState.RUNNING


async def test_stopped_sync_still_tells_what_is_stored(tmp_path: pathlib.Path) -> None:
    store = MemoryStore()
    async with running(make_loop(tmp_path, store)) as loop:
        await until(lambda: loop.status().last_cycle is not None)
        loop.stop()
    (tmp_path / "sync.lease").unlink()
    async with running(make_loop(tmp_path, store)) as again:
        await until(lambda: again.status().passages == PASSAGES)
        assert again.status().watermark == START + timedelta(hours=BARS - 1)


async def test_failed_cycle_is_told_and_tried_again(tmp_path: pathlib.Path) -> None:
    store = MemoryStore(["before"])
    async with running(make_loop(tmp_path, store, interval_s=0.01)) as loop:
        await until(lambda: (store.deaths == [] and loop.status().last_error != "") or loop.status().passages > 0)
        await until(lambda: loop.status().last_cycle is not None)
        status = loop.status()
    assert status.last_error == ""
    assert store.count() == PASSAGES


async def test_rebuild_writes_everything_anew(tmp_path: pathlib.Path) -> None:
    store = MemoryStore()
    async with running(make_loop(tmp_path, store)) as loop:
        await until(lambda: loop.status().last_cycle is not None)
        loop.rebuild()
        await until(lambda: len(store.written) == 2 * PASSAGES)
        await until(lambda: loop.status().passages == PASSAGES and not loop.status().busy)


async def test_second_sync_waits_for_the_lease(tmp_path: pathlib.Path) -> None:
    lease = Lease(tmp_path / "sync.lease")
    assert lease.acquire()
    store = MemoryStore()
    async with running(make_loop(tmp_path, store, interval_s=0.01)) as loop:
        await until(lambda: "lease" in loop.status().last_error)
        assert store.count() == 0
        lease.release()
        await until(lambda: store.count() == PASSAGES)


async def test_stopping_while_waiting_runs_no_further_cycle(tmp_path: pathlib.Path) -> None:
    async with running(make_loop(tmp_path, MemoryStore(), interval_s=0.2)) as loop:
        await until(lambda: loop.status().last_cycle is not None and not loop.status().busy)
        loop.stop()
        last = loop.status().last_cycle
        asked = time.monotonic()
        await until(lambda: time.monotonic() > asked + 0.6)  # three times the interval
        assert loop.status().last_cycle == last
        loop.start()
        await until(lambda: loop.status().last_cycle != last)


def test_who_does_not_hold_the_lease_may_not_write(tmp_path: pathlib.Path) -> None:
    lease = Lease(tmp_path / "sync.lease")
    with pytest.raises(SyncBusy):
        fence(lease)()
    assert lease.acquire()
    fence(lease)()
    (tmp_path / "sync.lease").write_text(f"{7:020d}")
    with pytest.raises(SyncBusy):
        fence(lease)()
    lease.release()
