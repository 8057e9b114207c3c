"""The shelf: changed champions are taken up, damaged ones leave the former in place."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from deployments.forecasting.models import Decision, ModelCard
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.registry.artefact import Tensors
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.series.windows import Past
from deployments.forecasting.serving.shelf import RETRY_AFTER_S, ModelShelf
from deployments.market_data.models import Interval
from tests.fakes.away_files import AwayFiles
from tests.fakes.forecasting import TRAINED_AT, FakeModel, model_card, model_tensors

GO = Decision("", "promote", "good enough", datetime(2024, 4, 1, tzinfo=UTC))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


@pytest.fixture
def shelf(registry: Registry) -> ModelShelf:
    return ModelShelf(registry, FakeModel)


def promoted(registry: Registry, day: int = 0, **config: object) -> ModelCard:
    card = registry.publish(model_tensors(day / 100), model_card(TRAINED_AT + timedelta(days=day), **config))  # type: ignore[arg-type]
    registry.promote(card.version, GO)
    return card


async def test_empty_registry_has_no_model_and_says_why(shelf: ModelShelf) -> None:
    await shelf.refresh()
    choice = await shelf.choose(Interval.H1, 24, None)
    assert choice.loaded is None
    assert "no model has been promoted" in choice.reason


async def test_new_champion_serves_after_the_next_refresh(shelf: ModelShelf, registry: Registry) -> None:
    for day in (0, 1):
        card = promoted(registry, day)
        await shelf.refresh()
        assert shelf.loaded == (card.version,)
        choice = await shelf.choose(Interval.H1, 24, None)
        assert choice.loaded is not None
        assert choice.loaded.card.version == card.version


async def test_damaged_champion_leaves_the_former_and_health_says_why(
    shelf: ModelShelf, registry: Registry, tmp_path: Path
) -> None:
    first = promoted(registry)
    await shelf.refresh()
    second = promoted(registry, day=1)
    (tmp_path / "models" / "1h-h24" / second.version / "weights.safetensors").write_bytes(b"torn")
    await shelf.refresh()
    assert shelf.loaded == (first.version,)
    assert second.version in shelf.reason
    assert "sha256" in shelf.reason
    promoted(registry, day=2)
    await shelf.refresh()
    assert shelf.reason == ""


async def test_torn_champion_pointer_leaves_the_champion_and_health_says_why(
    shelf: ModelShelf, registry: Registry, tmp_path: Path
) -> None:
    card = promoted(registry)
    await shelf.refresh()
    pointer = tmp_path / "models" / "1h-h24" / "champion.json"
    whole = pointer.read_bytes()
    pointer.write_bytes(whole[:7])
    await shelf.refresh()
    assert shelf.loaded == (card.version,)
    assert "pointer of 1h-h24 cannot be read" in shelf.reason
    pointer.write_bytes(whole)
    await shelf.refresh()
    assert shelf.reason == ""


async def test_model_that_cannot_be_built_leaves_the_former(shelf: ModelShelf, registry: Registry) -> None:
    first = promoted(registry)
    await shelf.refresh()
    promoted(registry, day=1, broken=True)
    await shelf.refresh()
    assert shelf.loaded == (first.version,)
    assert "cannot be built" in shelf.reason


async def test_model_that_cannot_answer_is_told_before_it_serves(registry: Registry) -> None:
    class Mute(FakeModel):
        def quantiles(self, past: Past) -> FloatArray:
            if self.shift == 0.02:
                raise RuntimeError("no kernel for this device")
            answer = super().quantiles(past)
            return answer * np.nan if self.shift == 0.03 else answer

    shelf = ModelShelf(registry, Mute)
    first = promoted(registry, day=1)
    await shelf.refresh()
    for day, reason in ((2, "no kernel"), (3, "answers no 24 steps of numbers")):
        promoted(registry, day=day)
        await shelf.refresh()
        assert shelf.loaded == (first.version,)
        assert reason in shelf.reason


async def test_rollback_is_noticed_too(shelf: ModelShelf, registry: Registry) -> None:
    first, _ = promoted(registry), promoted(registry, day=1)
    await shelf.refresh()
    registry.rollback(Interval.H1, 24, TRAINED_AT)
    await shelf.refresh()
    assert shelf.loaded == (first.version,)


async def test_shorter_sufficient_model_answers(shelf: ModelShelf, registry: Registry) -> None:
    week, day = promoted(registry, day=1, horizon=168), promoted(registry, day=2)
    await shelf.refresh()
    for horizon, card in ((24, day), (25, week)):
        choice = await shelf.choose(Interval.H1, horizon, None)
        assert choice.loaded is not None
        assert choice.loaded.card.version == card.version


async def test_instant_in_the_past_is_answered_by_the_model_of_its_time(shelf: ModelShelf, registry: Registry) -> None:
    first, second = promoted(registry), promoted(registry, day=10)
    await shelf.refresh()
    choice = await shelf.choose(Interval.H1, 24, second.data_end - timedelta(hours=1))
    assert choice.loaded is not None
    assert choice.loaded.card.version == first.version
    early = await shelf.choose(Interval.H1, 24, first.data_end - timedelta(hours=1))
    assert early.loaded is None


async def test_damaged_champion_leaves_the_former_also_to_a_replica_that_starts_later(
    registry: Registry, tmp_path: Path
) -> None:
    first, second = promoted(registry), promoted(registry, day=1)
    (tmp_path / "models" / "1h-h24" / second.version / "weights.safetensors").write_bytes(b"torn")
    shelf = ModelShelf(Registry(tmp_path / "models"), FakeModel)
    await shelf.refresh()
    assert shelf.loaded == (first.version,)
    assert second.version in shelf.reason


async def test_champion_that_could_not_be_loaded_is_tried_again_after_a_while(
    registry: Registry, tmp_path: Path
) -> None:
    first, second = promoted(registry), promoted(registry, day=1)
    weights = tmp_path / "models" / "1h-h24" / second.version / "weights.safetensors"
    whole, now = weights.read_bytes(), 1_000.0
    shelf = ModelShelf(registry, FakeModel, monotonic=lambda: now)
    weights.write_bytes(b"torn")
    await shelf.refresh()
    weights.write_bytes(whole)
    await shelf.refresh()
    assert shelf.loaded == (first.version,)
    now += RETRY_AFTER_S
    await shelf.refresh()
    assert shelf.loaded == (second.version,)
    assert shelf.reason == ""


async def test_bug_in_building_a_model_leaves_the_former(registry: Registry) -> None:
    class Fragile(FakeModel):
        def __init__(self, tensors: Tensors, config: dict[str, Any]) -> None:
            super().__init__(tensors, config)
            if self.shift == 0.01:
                raise AssertionError("no such activation")

    shelf = ModelShelf(registry, Fragile)
    first, second = promoted(registry), promoted(registry, day=1)
    await shelf.refresh()
    assert shelf.loaded == (first.version,)
    assert f"{second.version} cannot be built: AssertionError" in shelf.reason


async def test_registry_that_is_away_is_told_and_stops_nobody(tmp_path: Path) -> None:
    fsspec.register_implementation("away", AwayFiles, clobber=True)
    shelf = ModelShelf(Registry("away://bucket/models"), FakeModel)
    await shelf.refresh()
    assert "cannot be reached" in shelf.reason
    choice = await shelf.choose(Interval.H1, 24, None)
    assert choice.loaded is None
    assert "cannot be reached" in choice.reason


async def test_many_requests_for_one_instant_load_its_model_once(registry: Registry) -> None:
    built = []

    def build(tensors: Tensors, config: dict[str, Any]) -> FakeModel:
        built.append(tensors)
        return FakeModel(tensors, config)

    first = promoted(registry)
    promoted(registry, day=10)
    shelf = ModelShelf(registry, build)
    choices = await asyncio.gather(*(shelf.choose(Interval.H1, 24, first.data_end) for _ in range(10)))
    assert {choice.loaded.card.version for choice in choices if choice.loaded} == {first.version}
    assert len(built) == 1


async def test_version_rolled_back_answers_no_question_about_the_past(shelf: ModelShelf, registry: Registry) -> None:
    first, second = promoted(registry), promoted(registry, day=1)
    registry.rollback(Interval.H1, 24, TRAINED_AT)
    choice = await shelf.choose(Interval.H1, 24, second.data_end + timedelta(days=1))
    assert choice.loaded is not None
    assert choice.loaded.card.version == first.version
