"""The registry: immutable versions, one champion, and nothing read that was not published."""

import json
import multiprocessing
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from deployments.common.errors import DamagedModel, NothingTrained, UnknownModel
from deployments.forecasting.artefact import sha256
from deployments.forecasting.models import Decision, ModelCard, ModelStatus
from deployments.forecasting.registry import Registry
from deployments.market_data.models import Interval
from tests.fakes.forecasting import TRAINED_AT, model_card, model_tensors

NOW = datetime(2024, 4, 1, tzinfo=UTC)
GO = Decision("", "promote", "good enough", NOW)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def folder(tmp_path: Path, card: ModelCard) -> Path:
    return tmp_path / "models" / "1h-h24" / card.version


def publish(registry: Registry, day: int = 0, shift: float = 0.01) -> ModelCard:
    return registry.publish(model_tensors(shift), model_card(TRAINED_AT + timedelta(days=day)))


def test_published_version_is_loaded_as_it_was(registry: Registry) -> None:
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1.5])}
    card = registry.publish(tensors, model_card())
    loaded, same = registry.load(card.version)
    assert same == card
    assert card.version.startswith("20240301T120000Z-")
    assert card.version.endswith(card.sha256[:6])
    assert {name: array.dtype for name, array in loaded.items()} == {"a": np.float32, "b": np.float64}
    assert all((loaded[name] == tensors[name]).all() for name in tensors)


def test_version_never_changes(registry: Registry) -> None:
    publish(registry)
    with pytest.raises(FileExistsError):
        publish(registry)


def test_rejected_candidate_says_so(registry: Registry) -> None:
    card = registry.publish(model_tensors(), model_card(verdict="reject"))
    assert registry.card(card.version).status is ModelStatus.REJECTED


def test_interrupted_publication_leaves_nothing_to_see(registry: Registry, tmp_path: Path) -> None:
    card = publish(registry)
    (folder(tmp_path, card).parent / ".new-torn").mkdir()
    assert [known.version for known in registry.cards()] == [card.version]


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors", "manifest.json"])
def test_missing_file_is_refused(registry: Registry, tmp_path: Path, name: str) -> None:
    card = publish(registry)
    (folder(tmp_path, card) / name).unlink()
    with pytest.raises(DamagedModel, match=name):
        registry.load(card.version)


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
def test_tampered_file_is_refused(registry: Registry, tmp_path: Path, name: str) -> None:
    card = publish(registry)
    path = folder(tmp_path, card) / name
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedModel, match="sha256"):
        registry.load(card.version)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": 3}'])
def test_torn_manifest_is_refused(registry: Registry, tmp_path: Path, text: str) -> None:
    card = publish(registry)
    (folder(tmp_path, card) / "manifest.json").write_text(text)
    with pytest.raises(DamagedModel, match="manifest"):
        registry.load(card.version)


def test_extra_file_is_refused(registry: Registry, tmp_path: Path) -> None:
    card = publish(registry)
    (folder(tmp_path, card) / "model.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(DamagedModel, match=r"unexpected model\.pkl"):
        registry.load(card.version)


def test_pickle_in_place_of_the_weights_is_refused_even_with_its_own_digest(registry: Registry, tmp_path: Path) -> None:
    card = publish(registry)
    data = pickle.dumps({"shift": 1})
    directory = folder(tmp_path, card)
    (directory / "weights.safetensors").write_bytes(data)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["sha256"]["weights.safetensors"] = sha256(data)
    (directory / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedModel, match="cannot be read"):
        registry.load(card.version)


def test_symlink_in_place_of_a_file_is_refused(registry: Registry, tmp_path: Path) -> None:
    card = publish(registry)
    path = folder(tmp_path, card) / "weights.safetensors"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedModel, match="missing"):
        registry.load(card.version)


def test_damaged_version_is_left_out_of_the_list(registry: Registry, tmp_path: Path) -> None:
    good, bad = publish(registry), publish(registry, day=1)
    (folder(tmp_path, bad) / "card.json").write_text("{")
    assert [card.version for card in Registry(tmp_path / "models").cards()] == [good.version]


@pytest.mark.parametrize("version", ["nothing", "../../etc", "20240301T120000Z-abcdef", ""])
def test_unknown_version_is_told(registry: Registry, version: str) -> None:
    publish(registry)
    with pytest.raises(UnknownModel):
        registry.load(version)


def test_promotion_replaces_the_champion_and_is_remembered(registry: Registry) -> None:
    first, second = publish(registry), publish(registry, day=1)
    assert registry.champion(Interval.H1, 24) is None
    registry.promote(first.version, GO)
    decision = registry.promote(second.version, GO)
    assert decision.replaced == first.version
    assert registry.champions() == {"1h-h24": second.version}
    assert registry.card(first.version).status is ModelStatus.RETIRED
    assert registry.card(second.version).status is ModelStatus.CHAMPION
    assert {done.version for done in registry.history()} == {first.version, second.version}


def test_damaged_version_cannot_become_champion(registry: Registry, tmp_path: Path) -> None:
    card = publish(registry)
    (folder(tmp_path, card) / "weights.safetensors").write_bytes(b"")
    with pytest.raises(DamagedModel):
        registry.promote(card.version, GO)
    assert registry.champion(Interval.H1, 24) is None


def test_rollback_goes_back_step_by_step_until_nothing_is_left(registry: Registry) -> None:
    cards = [publish(registry, day) for day in range(3)]
    for card in cards:
        registry.promote(card.version, GO)
    assert registry.rollback(Interval.H1, 24, NOW).version == cards[1].version
    assert registry.rollback(Interval.H1, 24, NOW).replaced == cards[1].version
    assert registry.champion(Interval.H1, 24) == cards[0].version
    with pytest.raises(NothingTrained):
        registry.rollback(Interval.H1, 24, NOW)


def test_torn_history_line_does_not_hide_the_others(registry: Registry, tmp_path: Path) -> None:
    card = publish(registry)
    registry.promote(card.version, GO)
    with (folder(tmp_path, card).parent / "history.jsonl").open("a") as file:
        file.write('{"version": "2024')
    assert [decision.version for decision in registry.history()] == [card.version]


def test_decision_after_a_torn_line_is_readable(registry: Registry, tmp_path: Path) -> None:
    first, second = publish(registry), publish(registry, day=1)
    registry.promote(first.version, GO)
    with (folder(tmp_path, first).parent / "history.jsonl").open("a") as file:
        file.write('{"version": "2024')
    registry.promote(second.version, GO)
    assert {decision.version for decision in registry.history()} == {first.version, second.version}


def test_serving_version_is_the_champion_of_the_shortest_sufficient_horizon(registry: Registry) -> None:
    day = publish(registry)
    week = registry.publish(model_tensors(), model_card(horizon=168))
    registry.promote(day.version, GO)
    registry.promote(week.version, GO)
    assert registry.serving_version(Interval.H1, 12, None).version == day.version
    assert registry.serving_version(Interval.H1, 25, None).version == week.version


def test_serving_version_gives_the_reason_when_there_is_none(registry: Registry) -> None:
    assert "no model has been promoted" in registry.serving_version(Interval.H1, 24, None).reason
    registry.promote(publish(registry).version, GO)
    assert "24 steps, 48 were asked for" in registry.serving_version(Interval.H1, 48, None).reason
    assert registry.serving_version(Interval.D1, 24, None).version is None


def test_serving_version_at_an_instant_saw_no_later_data(registry: Registry) -> None:
    first, second = publish(registry), publish(registry, day=10)
    candidate = publish(registry, day=5)
    registry.promote(first.version, GO)
    registry.promote(second.version, GO)
    assert registry.serving_version(Interval.H1, 24, second.data_end).version == second.version
    assert registry.serving_version(Interval.H1, 24, candidate.data_end).version == first.version
    early = registry.serving_version(Interval.H1, 24, first.data_end - timedelta(seconds=1))
    assert early.version is None
    assert "no model was trained on data that end by" in early.reason


def test_stamp_changes_with_the_champion_alone(registry: Registry) -> None:
    first = publish(registry)
    empty = registry.stamp()
    registry.promote(first.version, GO)
    promoted = registry.stamp()
    publish(registry, day=1)
    assert empty != promoted
    assert registry.stamp() == promoted


def test_promotions_from_two_processes_are_all_remembered(registry: Registry, tmp_path: Path) -> None:
    versions = [publish(registry, day).version for day in range(6)]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_promote, args=(tmp_path / "models", versions[start::2])) for start in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert {decision.version for decision in registry.history()} == set(versions)
    assert registry.champion(Interval.H1, 24) in {versions[-1], versions[-2]}


def _promote(root: Path, versions: list[str]) -> None:
    for version in versions:
        Registry(root).promote(version, GO)
