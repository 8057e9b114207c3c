"""The right to do what only one process of a machine may do at a time (docs/decisions/0017).

During an upgrade an old actor and the new one live side by side. An advisory lock decides, which the kernel releases
when its holder dies; the epoch in the file fences off a holder that lost its lock without noticing.
"""

import fcntl
import os
from pathlib import Path


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
        """Take or keep the lease; return False while another holds it."""
        if self._file is None:
            self._file = self._taken()
        if self._file is None or not self.is_held():
            self.release()
            return False
        return True

    def is_held(self) -> bool:
        """Tell whether this tenure is still the one that the file names: to be asked before anything is published."""
        return self._file is not None and self._path.exists() and _epoch_in(self._path) == self._epoch

    def release(self) -> None:
        """Let others take it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _taken(self) -> int | None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        self._epoch = _epoch_in(self._path) + 1
        os.pwrite(handle, f"{self._epoch:020d}".encode(), 0)
        os.fsync(handle)
        return handle


def _epoch_in(path: Path) -> int:
    text = path.read_bytes()[:20]
    return int(text) if text.isdigit() else 0
