"""Setbacks on disk, one file for each model version: written by the keeper, followed by every replica."""

from pathlib import Path

from deployments.forecasting.judging.setback import Setback
from deployments.forecasting.registry.version_files import VersionFiles


class Setbacks(VersionFiles[Setback]):
    """Where the live forecasts of model versions lost to the baseline, in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "setback", Setback.from_dict, Setback.as_dict)
