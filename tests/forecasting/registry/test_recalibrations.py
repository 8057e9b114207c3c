"""Recalibrations on disk: followed by whoever reads, never half, and no trouble where unreadable."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from deployments.forecasting.predicting.recalibration import Recalibration
from deployments.forecasting.quantiles import QUANTILES
from deployments.forecasting.registry.recalibrations import Recalibrations


def wider(factor: float, n: int = 90) -> Recalibration:
    return Recalibration(np.full((3, len(QUANTILES)), factor), n)


def test_stored_recalibration_is_followed_by_every_reader(tmp_path: Path) -> None:
    writer, reader = Recalibrations(tmp_path / "r"), Recalibrations(tmp_path / "r")
    reader.refresh()
    assert reader.of("v1") is None
    for factor in (1.1, 1.2):
        writer.store("v1", wider(factor))
        reader.refresh()
        found = reader.of("v1")
        assert found is not None
        assert found.stretch[0, 0] == factor


def test_recalibration_behind_which_nothing_stands_counts_as_none(tmp_path: Path) -> None:
    kept = Recalibrations(tmp_path)
    kept.store("v1", wider(1.0, n=0))
    kept.refresh()
    assert kept.of("v1") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stretch": [[1]], "n": 4}', '{"stretch": null}'])
def test_unreadable_recalibration_counts_as_none(tmp_path: Path, text: str) -> None:
    kept = Recalibrations(tmp_path)
    kept.store("v1", wider(1.1))
    kept.refresh()
    (tmp_path / "v1.json").write_text(text)
    kept.refresh()
    assert kept.of("v1") is None


def test_recalibrations_of_other_versions_are_deleted(tmp_path: Path) -> None:
    kept = Recalibrations(tmp_path)
    for version in ("v1", "v2"):
        kept.store(version, wider(1.1))
    kept.refresh()
    kept.keep_only(["v2"])
    kept.refresh()
    assert kept.of("v1") is None
    assert kept.of("v2") is not None


def test_replica_follows_while_the_keeper_stores_and_deletes(tmp_path: Path) -> None:
    keeper, reader = Recalibrations(tmp_path), Recalibrations(tmp_path)

    def keep() -> None:
        for _ in range(100):
            for version in ("v1", "v2", "v3"):
                keeper.store(version, wider(1.1))
            keeper.keep_only(["v1"])

    with ThreadPoolExecutor(1) as office:
        kept = office.submit(keep)
        while not kept.done():
            reader.refresh()
    kept.result()
    reader.refresh()
    assert [reader.of(version) is not None for version in ("v1", "v2", "v3")] == [True, False, False]
