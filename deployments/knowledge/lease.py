"""The right to write the passages table, held by one process at a time.

During an upgrade the old sync actor and the new one live side by side. An advisory lock decides, which the kernel
releases when its holder dies; the epoch in the file fences off a holder whose lock was lost without its noticing.
"""

import fcntl
import os
from pathlib import Path

from deployments.common.errors import SyncBusy


class Lease:
    """A lease on the file at `path`, which is created with its folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """The number of this tenure, 0 before the first."""
        return self._epoch

    def acquire(self) -> bool:
        """Take or keep the lease; return False while another process holds it."""
        if self._file is not None:
            return self._is_current()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._file, self._epoch = handle, _read_epoch(handle) + 1
        os.pwrite(handle, f"{self._epoch:020d}".encode(), 0)
        os.fsync(handle)
        return True

    def check(self) -> None:
        """Raise `SyncBusy` unless this process holds the lease now."""
        if self._file is None or not self._is_current():
            raise SyncBusy("another process has taken over the sync")

    def release(self) -> None:
        """Let others take it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _is_current(self) -> bool:
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return _read_epoch(handle) == self._epoch
        finally:
            os.close(handle)


def _read_epoch(handle: int) -> int:
    text = os.pread(handle, 20, 0)
    return int(text) if text.strip().isdigit() else 0
