"""Recalibrations on disk, one file for each model version: written by the keeper, followed by every replica."""

import json
from collections.abc import Iterable
from pathlib import Path

from deployments.common.telemetry import logger
from deployments.forecasting.recalibration import Recalibration
from deployments.forecasting.records import write_atomically

log = logger(__name__)


class Recalibrations:
    """The recalibrations in `folder`, by model version; `refresh` takes up what changed. Safe across threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, Recalibration] = {}
        self._stamps: dict[str, int] = {}

    def of(self, version: str) -> Recalibration | None:
        """Return the recalibration of a version as last refreshed, None where there is none that changes anything."""
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

    def store(self, version: str, recalibration: Recalibration) -> None:
        """Replace the recalibration of a version."""
        write_atomically(self._path(version), json.dumps(recalibration.as_dict()).encode())

    def keep_only(self, versions: Iterable[str]) -> None:
        """Delete the recalibrations of all other versions."""
        for path in set(self._folder.glob("*.json")) - {self._path(version) for version in versions}:
            path.unlink(missing_ok=True)

    def _read(self, version: str) -> Recalibration | None:
        try:
            found = Recalibration.from_dict(json.loads(self._path(version).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("recalibration left out", version=version, reason=f"{type(error).__name__}: {error}")
            return None
        return found if found.n else None

    def _path(self, version: str) -> Path:
        return self._folder / f"{version}.json"
