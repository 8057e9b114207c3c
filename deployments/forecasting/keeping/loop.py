"""Run the keeper for ever, and say on disk how it stands."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError
from deployments.common.telemetry import logger
from deployments.forecasting.models import KeeperState, KeeperStatus
from deployments.forecasting.records import from_json, to_json, write_atomically

log = logger(__name__)

SILENT_AFTER = 4
"""Intervals without a word after which something is wrong with the keeper."""


class Rounds(Protocol):
    """Whoever does one round of the work."""

    async def round(self) -> KeeperStatus: ...


class KeeperLoop:
    """Do a round every `interval_s` seconds and write its outcome to `path`; `run` never returns."""

    def __init__(self, keeper: Rounds, path: Path, interval_s: float, clock: Clock = utc_now) -> None:
        self._keeper = keeper
        self._path = path
        self._interval_s = interval_s
        self._clock = clock

    async def run(self) -> None:
        """Do one round after the other."""
        while True:
            await self.turn()
            await asyncio.sleep(self._interval_s)

    async def turn(self) -> None:
        """Do one round; what goes wrong is told and tried again in the next."""
        try:
            await self._tell(await self._keeper.round())
        except CandlecastError as error:
            log.warning("keeper round failed", reason=str(error))
            await self._tell_of(error)
        except Exception as error:
            log.error("keeper round failed", exc_info=error)
            await self._tell_of(error)

    async def _tell(self, status: KeeperStatus) -> None:
        # Who waits leaves the word to the one that holds the lease.
        if status.state is not KeeperState.WAITING:
            told = replace(status, interval_s=self._interval_s)
            await asyncio.to_thread(write_atomically, self._path, to_json(told))

    async def _tell_of(self, error: Exception) -> None:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        try:
            await self._tell(KeeperStatus(KeeperState.FAILING, self._clock(), error=reason))
        except OSError as full:
            # The silence tells, and the next round may find room.
            log.error("keeper status not written", reason=str(full))


def read_status(path: Path) -> KeeperStatus | None:
    """Return what the keeper wrote last, None before its first word."""
    try:
        return from_json(KeeperStatus, path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def keeper_trouble(status: KeeperStatus | None, now: datetime) -> str:
    """Return what is wrong with the keeper, empty where nothing is."""
    if status is None:
        return ""
    if status.error:
        return f"the keeper's last round failed: {status.error}"
    if now - status.at > timedelta(seconds=SILENT_AFTER * max(status.interval_s, 30.0)):
        return f"the keeper has been silent since {status.at:%Y-%m-%d %H:%M}Z"
    return ""
