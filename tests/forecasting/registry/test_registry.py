"""The registry: immutable versions, one champion, and nothing read that was not published."""

import json
import multiprocessing
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import fsspec
import numpy as np
import pytest

from deployments.common.errors import DamagedModel, NothingTrained, PreconditionFailed, UnknownModel
from deployments.forecasting.judging.retention import Retention
from deployments.forecasting.models import Decision, ModelCard, ModelStatus
from deployments.forecasting.registry.artefact import sha256
from deployments.forecasting.registry.promotion import rollback
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.registry.storage import LocalStorage
from deployments.forecasting.registry.succession import Succession
from deployments.market_data.models import Interval
from tests.fakes.counted_files import CountedFiles
from tests.fakes.forecasting import TRAINED_AT, model_card, model_tensors

NOW = datetime(2024, 4, 1, tzinfo=UTC)
GO = Decision("", "promote", "good enough", NOW)


@pytest.fixture(params=["folder", "file", "memory"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """A registry in each kind of storage; the in-memory one is fsspec's stand-in for an object store."""
    places = {
        "folder": str(tmp_path),
        "file": f"file://{tmp_path}/models",
        "memory": f"memory://{tmp_path.name}/models",
    }
    return Registry(places[request.param])


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
    torn = folder(tmp_path, card).parent / "20240302T120000Z-abcdef"
    torn.mkdir()
    (torn / "weights.safetensors").write_bytes(b"half")
    assert [known.version for known in registry.cards()] == [card.version]


class Drafting(LocalStorage):
    """A folder in which a file was being written when it was listed, and has its own name by now."""

    def files(self, folder: str) -> tuple[str, ...]:
        return (".000002-20240301T120000Z.json-a1b2c3", *super().files(folder))


def test_decision_that_is_being_written_is_not_told(registry: Registry, tmp_path: Path) -> None:
    card = publish(registry)
    registry.promote(card.version, GO)
    series = folder(tmp_path, card).parent.name
    decisions = Succession(Drafting(folder(tmp_path, card).parent.parent), series).decisions()
    assert [decision.version for decision in decisions] == [card.version]


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


def test_pickle_in_place_of_the_weights_is_refused_even_where_every_digest_fits(
    registry: Registry, tmp_path: Path
) -> None:
    card = publish(registry)
    data = pickle.dumps({"shift": 1})
    directory = folder(tmp_path, card)
    (directory / "weights.safetensors").write_bytes(data)
    told = json.loads((directory / "card.json").read_text())
    (directory / "card.json").write_text(json.dumps({**told, "sha256": sha256(data)}))
    _seal(directory)
    with pytest.raises(DamagedModel, match="weights cannot be read"):
        registry.load(card.version)


def test_weights_of_another_version_are_refused_even_with_a_manifest_that_fits(
    registry: Registry, tmp_path: Path
) -> None:
    first, second = publish(registry, shift=0.1), publish(registry, day=1, shift=0.2)
    stolen = (folder(tmp_path, first) / "weights.safetensors").read_bytes()
    (folder(tmp_path, second) / "weights.safetensors").write_bytes(stolen)
    _seal(folder(tmp_path, second))
    with pytest.raises(DamagedModel, match="not those that its card names"):
        registry.load(second.version)


def test_whole_artefact_of_another_version_is_refused(registry: Registry, tmp_path: Path) -> None:
    first, second = publish(registry), publish(registry, day=1)
    shutil.rmtree(folder(tmp_path, second))
    shutil.copytree(folder(tmp_path, first), folder(tmp_path, second))
    with pytest.raises(DamagedModel, match=f"that of version {first.version}"):
        registry.load(second.version)


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


def test_torn_decision_does_not_hide_the_others(registry: Registry, tmp_path: Path) -> None:
    first, second = publish(registry), publish(registry, day=1)
    registry.promote(first.version, GO)
    (folder(tmp_path, first).parent / "history" / "000002-torn.json").write_text('{"version": "2024')
    registry.promote(second.version, GO)
    assert [decision.version for decision in registry.history()] == [second.version, first.version]


def test_every_storage_keeps_versions_champions_and_history(anywhere: Registry) -> None:
    first, second = publish(anywhere), publish(anywhere, day=1, shift=0.2)
    anywhere.promote(first.version, GO)
    stamp = anywhere.stamp()
    assert anywhere.promote(second.version, GO).replaced == first.version
    assert anywhere.stamp() != stamp
    assert anywhere.load(second.version)[0]["shift"] == 0.2
    assert [card.status for card in anywhere.cards()] == [ModelStatus.CHAMPION, ModelStatus.RETIRED]
    assert anywhere.rollback(Interval.H1, 24, NOW).version == first.version
    assert anywhere.champions() == {"1h-h24": first.version}
    assert [decision.verdict for decision in anywhere.history()] == ["rollback", "promote", "promote"]
    with pytest.raises(FileExistsError):
        publish(anywhere)
    with pytest.raises(UnknownModel):
        anywhere.load("20240301T120000Z-abcdef")


def test_every_storage_forgets_what_retention_lets_go(anywhere: Registry) -> None:
    cards = [publish(anywhere, day) for day in range(6)]
    for card in cards[1:3]:
        anywhere.promote(card.version, GO)
    late = TRAINED_AT + timedelta(days=100)
    gone = anywhere.prune(Retention(newest=1, candidate_age=timedelta(days=30)), late)
    assert gone == (cards[0].version, cards[3].version, cards[4].version)
    assert {card.version for card in anywhere.cards()} == {cards[1].version, cards[2].version, cards[5].version}
    assert anywhere.rollback(Interval.H1, 24, NOW).version == cards[1].version


def test_champion_and_rollback_target_outlive_any_retention(registry: Registry) -> None:
    cards = [publish(registry, day) for day in range(4)]
    for card in cards:
        registry.promote(card.version, GO)
    nothing = Retention(newest=0, candidate_age=timedelta(0), champion_age=timedelta(0))
    assert registry.prune(nothing, TRAINED_AT + timedelta(days=9_999)) == (cards[0].version, cards[1].version)
    assert registry.champion(Interval.H1, 24) == cards[3].version
    assert registry.serving_version(Interval.H1, 24, cards[0].data_end).version is None


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
    workers = [
        context.Process(target=_promote, args=(tmp_path / "models", versions[start::2]), daemon=True)
        for start in (0, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert {decision.version for decision in registry.history()} == set(versions)
    assert registry.champion(Interval.H1, 24) in {versions[-1], versions[-2]}


def test_of_rollbacks_from_many_processes_at_once_one_is_made_and_all_are_told_of_it(
    registry: Registry, tmp_path: Path
) -> None:
    versions = [publish(registry, day).version for day in range(4)]
    for version in versions:
        registry.promote(version, GO)
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(4)
    told: Queue[Decision] = context.Queue()
    workers = [
        context.Process(target=_roll_back, args=(tmp_path / "models", versions[3], together, told), daemon=True)
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    decisions = [told.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(120)

    assert {(decision.version, decision.replaced) for decision in decisions} == {(versions[2], versions[3])}
    assert registry.champion(Interval.H1, 24) == versions[2]
    assert [decision.verdict for decision in registry.history()].count("rollback") == 1


def test_rollback_from_a_version_that_another_has_replaced_is_refused(registry: Registry) -> None:
    first, second, third = (publish(registry, day).version for day in range(3))
    for version in (first, second, third):
        registry.promote(version, GO)

    with pytest.raises(PreconditionFailed, match=third):
        registry.rollback(Interval.H1, 24, NOW, champion=second)
    assert registry.champion(Interval.H1, 24) == third


def test_a_version_promoted_again_after_a_rollback_is_rolled_back_anew(registry: Registry) -> None:
    first, second = (publish(registry, day).version for day in range(2))
    for version in (first, second):
        registry.promote(version, GO)
    for _ in range(2):
        assert registry.rollback(Interval.H1, 24, NOW, champion=second).version == first
        registry.promote(second, GO)

    assert [decision.verdict for decision in registry.history()].count("rollback") == 2


def test_version_deleted_while_it_is_read_is_unknown_never_damaged(tmp_path: Path) -> None:
    keeper, reader = Registry(tmp_path), Registry(tmp_path)

    def keep() -> None:
        for day in range(100):
            publish(keeper, day)
            keeper.prune(Retention(0, timedelta(0), timedelta(0)), NOW + timedelta(days=200))

    with ThreadPoolExecutor(1) as office:
        kept = office.submit(keep)
        while not kept.done():
            for card in reader.cards():
                with suppress(UnknownModel):
                    assert reader.load(card.version)[1].version == card.version
    kept.result()
    assert reader.cards() == ()
    assert [path.name for path in (tmp_path / "1h-h24").iterdir()] == []


def test_list_of_many_versions_costs_an_object_store_no_more_trips_than_one_of_few(tmp_path: Path) -> None:
    fsspec.register_implementation("counted", CountedFiles, clobber=True)
    registry = Registry(f"counted://{tmp_path.name}/models")
    trips = []
    for day in range(6):
        publish(registry, day)
        registry.cards()
        before = CountedFiles.trips
        assert len(registry.cards()) == day + 1
        trips.append(CountedFiles.trips - before)
    assert trips[-1] == trips[0]


def _seal(directory: Path) -> None:
    """Make the manifest fit what lies there, as somebody would who can write to the registry."""
    sums = {path.name: sha256(path.read_bytes()) for path in directory.iterdir() if path.name != "manifest.json"}
    (directory / "manifest.json").write_text(json.dumps({"sha256": sums}))


def _roll_back(root: Path, champion: str, together: Barrier, told: "Queue[Decision]") -> None:
    registry = Registry(root)
    together.wait(60)
    told.put(rollback(registry, NOW, champion))


def _promote(root: Path, versions: list[str]) -> None:
    for version in versions:
        Registry(root).promote(version, GO)
