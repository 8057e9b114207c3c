"""What is known of each model version beside its artefact: one small file each, written by one, followed by many."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from deployments.common.telemetry import logger
from deployments.forecasting.records import write_atomically

log = logger(__name__)

T = TypeVar("T")

Stamp = tuple[int, int]
"""When a file was written, and its inode."""


class VersionFiles(Generic[T]):
    """The `subject` of each model version in `folder`; `refresh` takes up what changed. Safe across threads.

    `read` turns a file's JSON into a `T`, None where it says nothing, and `write` the other way round.
    """

    def __init__(
        self,
        folder: Path,
        subject: str,
        read: Callable[[dict[str, Any]], T | None],
        write: Callable[[T], dict[str, Any]],
    ) -> None:
        self._folder, self._subject, self._parse, self._write = folder, subject, read, write
        self._files: dict[str, tuple[Stamp, T | None]] = {}

    def of(self, version: str) -> T | None:
        """Return what is known of a version as last refreshed, None where there is nothing."""
        file = self._files.get(version)
        return file[1] if file else None

    def refresh(self) -> None:
        """Read the files that changed, at the cost of one `stat` for each; an unreadable one counts as none."""
        before = self._files
        self._files = {
            version: before[version]
            if version in before and before[version][0] == stamp
            else (stamp, self._read(version))
            for version, stamp in self._stamps().items()
        }

    def store(self, version: str, known: T) -> None:
        """Replace what is known of a version."""
        write_atomically(self._path(version), json.dumps(self._write(known)).encode())

    def keep_only(self, versions: Iterable[str]) -> None:
        """Delete what is known of all other versions."""
        for path in set(self._folder.glob("*.json")) - {self._path(version) for version in versions}:
            path.unlink(missing_ok=True)

    def _stamps(self) -> dict[str, Stamp]:
        found = {}
        for path in self._folder.glob("*.json"):
            with suppress(FileNotFoundError):  # the keeper deletes files while replicas look at them
                status = path.stat()
                # Writers replace the file, so its inode changes even within one tick of its clock.
                found[path.stem] = (status.st_mtime_ns, status.st_ino)
        return found

    def _read(self, version: str) -> T | None:
        try:
            return self._parse(json.loads(self._path(version).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            log.warning("file of a model version left out", subject=self._subject, version=version, reason=reason)
            return None

    def _path(self, version: str) -> Path:
        return self._folder / f"{version}.json"
