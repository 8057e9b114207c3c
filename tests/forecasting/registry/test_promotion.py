"""The gate at the moment of promotion: a verdict counts beside the champion that it was made against, and once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from deployments.common.errors import PromotionRefused, UnknownModel
from deployments.forecasting.models import Decision
from deployments.forecasting.registry.promotion import promote, rollback
from deployments.forecasting.registry.registry import Registry
from deployments.market_data.models import Interval
from tests.fakes.forecasting import TRAINED_AT, model_card, model_tensors

RIVALS = 8


def rival(registry: Registry, number: int, against: str) -> str:
    card = model_card(TRAINED_AT + timedelta(hours=number))
    assert card.decision is not None
    return registry.publish(model_tensors(), replace(card, decision=replace(card.decision, against=against))).version


def test_of_many_candidates_judged_beside_one_champion_only_one_takes_its_place(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first = registry.publish(model_tensors(), model_card(TRAINED_AT)).version
    registry.promote(first, Decision("", "promote", "good enough", TRAINED_AT))
    rivals = [rival(registry, number, first) for number in range(1, RIVALS + 1)]
    together = Barrier(RIVALS)

    def ask(version: str) -> str:
        replica = Registry(tmp_path)
        together.wait(30)
        try:
            return promote(replica, version, force=False, now=TRAINED_AT).version
        except PromotionRefused:
            return ""

    with ThreadPoolExecutor(RIVALS) as replicas:
        promoted = [version for version in replicas.map(ask, rivals) if version]
    assert promoted == [registry.champion(Interval.H1, 24)]
    assert [decision.replaced for decision in registry.history()] == [first, None]


def test_champion_that_is_damaged_can_be_rolled_back(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first, second = (registry.publish(model_tensors(), model_card(TRAINED_AT + timedelta(days=day))) for day in (0, 1))
    for card in (first, second):
        registry.promote(card.version, Decision("", "promote", "good enough", card.trained_at))
    (tmp_path / "1h-h24" / second.version / "card.json").write_bytes(b"torn")
    assert rollback(Registry(tmp_path), TRAINED_AT).version == first.version


def test_rollback_of_a_version_that_never_was_champion_is_unknown(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first, second = (registry.publish(model_tensors(), model_card(TRAINED_AT + timedelta(days=day))) for day in (0, 1))
    registry.promote(first.version, Decision("", "promote", "good enough", TRAINED_AT))
    with pytest.raises(UnknownModel, match="never was champion"):
        rollback(registry, TRAINED_AT, second.version)


def test_rollback_of_a_named_champion_leaves_the_latest_change_of_another_series(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    versions = {}
    for day, horizon in enumerate((24, 24, 48, 48)):
        card = model_card(TRAINED_AT + timedelta(days=day), horizon=horizon)
        versions[day] = registry.publish(model_tensors(), card).version
        registry.promote(versions[day], Decision("", "promote", "good enough", card.trained_at))
    assert rollback(registry, TRAINED_AT, versions[1]).version == versions[0]
    assert registry.champions() == {"1h-h24": versions[0], "1h-h48": versions[3]}


def test_rollback_undoes_the_latest_change_of_any_series(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    versions = {}
    for day, horizon in enumerate((24, 48, 24, 48)):
        card = model_card(TRAINED_AT + timedelta(days=day), horizon=horizon)
        versions[day] = registry.publish(model_tensors(), card).version
        registry.promote(versions[day], Decision("", "promote", "good enough", card.trained_at))
    assert rollback(registry, TRAINED_AT).version == versions[1]
    assert registry.champions() == {"1h-h24": versions[2], "1h-h48": versions[1]}
