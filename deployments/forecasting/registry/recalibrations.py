"""Recalibrations on disk, one file for each model version: written by the keeper, followed by every replica."""

from pathlib import Path
from typing import Any

from deployments.forecasting.predicting.recalibration import Recalibration
from deployments.forecasting.registry.version_files import VersionFiles


class Recalibrations(VersionFiles[Recalibration]):
    """The recalibrations in `folder` by model version; one that no forecast stands behind counts as none."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "recalibration", _read, Recalibration.as_dict)


def _read(fields: dict[str, Any]) -> Recalibration | None:
    found = Recalibration.from_dict(fields)
    return found if found.n else None
