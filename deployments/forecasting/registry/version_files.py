"""What is known of each model version beside its artefact: one small file each, written by one, followed by many."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from deployments.common.telemetry import logger
from deployments.forecasting.records import write_atomically

log = logger(__name__)

T = TypeVar("T")


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
        self._held: dict[str, T] = {}
        self._stamps: dict[str, int] = {}

    def of(self, version: str) -> T | None:
        """Return what is known of a version as last refreshed, None where there is nothing."""
        return self._held.get(version)

    def refresh(self) -> None:
        """Read the files that changed, at the cost of one `stat` for each; an unreadable one counts as none."""
        stamps = {path.stem: path.stat().st_mtime_ns for path in self._folder.glob("*.json")}
        changed = [version for version, stamp in stamps.items() if self._stamps.get(version) != stamp]
        held = {version: kept for version, kept in self._held.items() if version in stamps}
        for version in changed:
            held.pop(version, None)
            if found := self._read(version):
                held[version] = found
        self._held, self._stamps = held, stamps

    def store(self, version: str, known: T) -> None:
        """Replace what is known of a version."""
        write_atomically(self._path(version), json.dumps(self._write(known)).encode())

    def keep_only(self, versions: Iterable[str]) -> None:
        """Delete what is known of all other versions."""
        for path in set(self._folder.glob("*.json")) - {self._path(version) for version in versions}:
            path.unlink(missing_ok=True)

    def _read(self, version: str) -> T | None:
        try:
            return self._parse(json.loads(self._path(version).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            log.warning("file of a model version left out", subject=self._subject, version=version, reason=reason)
            return None

    def _path(self, version: str) -> Path:
        return self._folder / f"{version}.json"
