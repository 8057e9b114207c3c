"""Run the sync periodically, on demand, and across restarts."""

import asyncio
import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, SyncBusy
from deployments.common.lease import Lease
from deployments.common.telemetry import logger
from deployments.knowledge.models import SyncCycle, SyncState, SyncStatus
from deployments.knowledge.sync import SyncEngine

log = logger(__name__)

RETRY_S = 5.0
"""First wait after a failed cycle; it doubles up to the interval."""


class SyncLoop:
    """Drive an engine; whether it runs periodically is kept in `state_path`, else it is `enabled`.

    All methods belong to one event loop. `run` never returns.
    """

    def __init__(
        self,
        engine: SyncEngine,
        lease: Lease,
        state_path: Path,
        interval_s: float,
        enabled: bool,
        clock: Clock = utc_now,
    ) -> None:
        self._engine = engine
        self._lease = lease
        self._state_path = state_path
        self._interval_s = interval_s
        self._clock = clock
        self._enabled = _read_enabled(state_path, enabled)
        self._wanted = asyncio.Event()
        self._woken = asyncio.Event()
        self._ending = False
        self._clear_first = False
        self._busy = False
        self._failures = 0
        self._last_cycle: SyncCycle | None = None
        self._last_error = ""
        self._next_run = clock() if self._enabled else None

    async def run(self) -> None:
        """Run cycles for ever: one when it is due, one when it is asked for."""
        await self._engine.recall()
        while True:
            await self._pause()
            await self._turn()

    def status(self) -> SyncStatus:
        """Return where the sync stands."""
        progress, cycle = self._engine.progress, self._last_cycle
        return SyncStatus(
            state=SyncState.RUNNING if self._enabled else SyncState.STOPPED,
            busy=self._busy,
            watermark=progress.watermark(),
            lag_seconds=progress.lag_seconds(self._clock()),
            passages=progress.passages,
            last_cycle=cycle,
            rate=(cycle.new + cycle.changed) / cycle.seconds if cycle and cycle.seconds else None,
            last_error=self._last_error,
            next_run=self._next_run,
            interval_seconds=self._interval_s,
        )

    def start(self) -> SyncStatus:
        """Run periodically from now on, also after a restart; the first cycle begins at once."""
        self._enable(True)
        if self._ending or not self._busy:
            self._want()
        return self.status()

    def stop(self) -> SyncStatus:
        """Run no more, also after a restart; a cycle under way ends after its current batch."""
        self._enable(False)
        self._wanted.clear()
        self._next_run = None
        self._ending = self._busy
        self._end_cycle()
        self._woken.set()
        return self.status()

    def trigger(self) -> SyncStatus:
        """Ask for a cycle now; one that is under way is the answer to it."""
        if not self._busy:
            self._want()
        return self.status()

    def rebuild(self) -> SyncStatus:
        """Drop every passage and index anew, after the current batch."""
        self._clear_first = True
        self._end_cycle()
        self._want()
        return self.status()

    def _want(self) -> None:
        self._wanted.set()
        self._woken.set()

    async def _pause(self) -> None:
        """Return when a cycle is asked for or due; whatever changes in between is heard at once."""
        while not self._wanted.is_set():
            self._woken.clear()
            due = max(0.0, (self._next_run - self._clock()).total_seconds()) if self._next_run else None
            try:
                # Not `wait_for`: in Python 3.11 it swallows a cancellation that comes together with the event.
                async with asyncio.timeout(due):
                    await self._woken.wait()
            except TimeoutError:
                return

    async def _turn(self) -> None:
        self._wanted.clear()
        self._busy = True
        try:
            await self._cycle()
        except CandlecastError as error:
            self._failed(error)
            log.warning("sync cycle failed", reason=str(error), failures=self._failures)
        except Exception as error:
            self._failed(error)
            log.error("sync cycle failed", exc_info=error, failures=self._failures)
        finally:
            self._busy = self._ending = False
            self._next_run = self._clock() + timedelta(seconds=self._wait_s()) if self._enabled else None

    async def _cycle(self) -> None:
        if not self._lease.acquire():
            self._lease.release()
            self._failures, self._last_error = 1, "another process holds the sync's lease"
            return
        if self._clear_first:
            await self._engine.clear()
            self._clear_first = False
        cycle = await self._engine.run_cycle()
        if self._clear_first:
            return  # cut short for a rebuild, which comes next and is the cycle to tell of
        self._last_cycle, self._last_error, self._failures = cycle, "", 0
        log.info("sync cycle done", read=cycle.read, new=cycle.new, changed=cycle.changed, seconds=cycle.seconds)

    def _end_cycle(self) -> None:
        if self._busy:
            self._engine.stop()

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._last_error = str(error) or type(error).__name__

    def _wait_s(self) -> float:
        if not self._failures:
            return self._interval_s
        return float(min(self._interval_s, RETRY_S * 2 ** min(self._failures - 1, 10)))

    def _enable(self, enabled: bool) -> None:
        self._enabled = enabled
        self._state_path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._state_path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps({"enabled": enabled, "since": _stamp(self._clock())}), encoding="utf-8")
        draft.replace(self._state_path)


def _stamp(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def fence(lease: Lease) -> Callable[[], None]:
    """Return what to ask before each write: it raises `SyncBusy` unless this process holds the lease now."""

    def check() -> None:
        if not lease.is_held():
            raise SyncBusy("another process has taken over the sync")

    return check


def _read_enabled(path: Path, default: bool) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["enabled"])
    except (OSError, ValueError, KeyError, TypeError):
        return default
