"""The analyses table, with several replicas at it from its first moment on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from deployments.analysis.models import AnalysisRequest
from deployments.analysis.store import AnalysisStore
from tests.fakes.gateway import analysis

REPLICAS = 4


@pytest.mark.parametrize("attempt", range(10))
def test_first_analyses_of_replicas_that_start_together_are_all_kept(tmp_path: Path, attempt: int) -> None:
    found = [replace(analysis(AnalysisRequest("BTCUSD")), id=str(UUID(int=number))) for number in range(REPLICAS)]
    with ThreadPoolExecutor(REPLICAS) as replicas:
        list(replicas.map(lambda one: AnalysisStore(tmp_path / "analyses.lance").put(one), found))
    kept = AnalysisStore(tmp_path / "analyses.lance").newest(None, 10)
    assert [one.id for one in kept] == [one.id for one in reversed(found)]
    assert [path.name for path in tmp_path.iterdir()] == ["analyses.lance"]


def test_analyses_outlive_compaction_by_two_replicas(tmp_path: Path) -> None:
    def replica(first: int) -> Callable[[], None]:
        def put() -> None:
            store = AnalysisStore(tmp_path / "analyses.lance")
            for number in range(first, first + 130):
                store.put(replace(analysis(AnalysisRequest("BTCUSD")), id=str(UUID(int=number))))

        return put

    with ThreadPoolExecutor(2) as replicas:
        for done in [replicas.submit(replica(0)), replicas.submit(replica(1000))]:
            done.result(120)
    assert len(AnalysisStore(tmp_path / "analyses.lance").newest(None, 1000)) == 260
