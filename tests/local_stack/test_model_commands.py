"""Model versions from the command line, through the real HTTP interface over a registry in memory."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from deployments.forecasting.models import Decision, ModelCard, ModelList
from deployments.forecasting.registry import promotion
from deployments.forecasting.registry.registry import Registry
from deployments.local_stack.api import StackApi
from deployments.local_stack.errors import StackError
from deployments.local_stack.model_commands import change, versions
from tests.fakes.forecasting import model_card
from tests.fakes.gateway import NOW, FakeForecaster
from tests.fakes.in_process import InProcess


class Versions(FakeForecaster):
    """The gateway's view of a real registry."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry

    async def models(self) -> ModelList:
        return ModelList(self._registry.cards(), self._registry.champions(), self._registry.history())

    async def promote(self, version: str, force: bool) -> Decision:
        return promotion.promote(self._registry, version, force, NOW)

    async def rollback(self, champion: str | None = None) -> Decision:
        return promotion.rollback(self._registry, NOW, champion)


@pytest.fixture
def published(tmp_path: Path) -> tuple[Registry, list[ModelCard]]:
    registry = Registry(tmp_path / "models")
    verdicts = ("promote", "keep")
    cards = [
        registry.publish(
            {"shift": np.zeros(number + 1)}, model_card(datetime(2024, 3, 1 + number, tzinfo=UTC), None, each)
        )
        for number, each in enumerate(verdicts)
    ]
    return registry, cards


@pytest.fixture
def api(published: tuple[Registry, list[ModelCard]], tmp_path: Path) -> StackApi:
    transport = InProcess(Versions(published[0]), tmp_path)
    return StackApi("http://stack", transport.key, transport)


def test_versions_are_listed_newest_first_with_their_fate(
    api: StackApi, published: tuple[Registry, list[ModelCard]]
) -> None:
    registry, (first, second) = published
    change(api, f"{first.version}/promote")

    _, *lines = versions(api)

    assert [line.split()[:3] for line in lines] == [
        [second.version, "1h-h24", "candidate"],
        [first.version, "1h-h24", "champion"],
    ]
    assert registry.champions() == {"1h-h24": first.version}


def test_the_gate_is_told_in_its_own_words_and_force_overrules_it(
    api: StackApi, published: tuple[Registry, list[ModelCard]]
) -> None:
    registry, (first, second) = published
    change(api, f"{first.version}/promote")

    with pytest.raises(StackError, match="the gate said keep"):
        change(api, f"{second.version}/promote", {"force": False})
    said = change(api, f"{second.version}/promote", {"force": True})

    assert said.startswith(f"{second.version} serves instead of {first.version}: forced against the gate")
    assert registry.champions() == {"1h-h24": second.version}


def test_a_rollback_names_who_serves_and_a_second_one_is_refused(
    api: StackApi, published: tuple[Registry, list[ModelCard]]
) -> None:
    _, (first, second) = published
    for card in (first, second):
        change(api, f"{card.version}/promote", {"force": True})

    assert change(api, "rollback").startswith(f"{first.version} serves instead of {second.version}")
    with pytest.raises(StackError, match="no former champion"):
        change(api, "rollback")
