"""Where a model is set back: what is significant, what is too little, and who serves there."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deployments.forecasting.judging.evaluation import PairedLosses
from deployments.forecasting.judging.resolving import Outcomes
from deployments.forecasting.judging.setback import (
    MIN_OF_ALL,
    MIN_OF_SYMBOL,
    TEST_ERROR_RATE,
    Setback,
    live_setback,
    losing_symbols,
)
from deployments.forecasting.models import Decision
from deployments.forecasting.quantiles import QUANTILES
from deployments.forecasting.registry.setbacks import Setbacks
from deployments.forecasting.serving.shelf import Choice, LoadedModel
from tests.fakes.forecasting import TRAINED_AT, FakeModel, model_card, model_tensors

HORIZON = 3


def losses(seed: int, hours: int = 400, **worse: float) -> tuple[PairedLosses, PairedLosses]:
    """Return a model's hourly losses of some symbols, `worse` times the baseline's on average, and the baseline's."""
    random = np.random.default_rng(seed)
    symbols = np.tile(np.array(list(worse)), hours)
    origins = np.datetime64("2024-01-01T00", "us") + np.repeat(np.arange(hours), len(worse)) * np.timedelta64(1, "h")
    baseline = 0.01 * np.exp(0.3 * random.normal(size=len(symbols)))
    factor = np.array([worse[symbol] for symbol in symbols]) + 0.2 * random.normal(size=len(symbols))
    return PairedLosses(origins, baseline * factor, symbols), PairedLosses(origins, baseline, symbols)


def outcomes(hours: int, **worse: float) -> Outcomes:
    own, baseline = losses(3, hours, **worse)
    count = len(own.losses)
    assert own.symbols is not None
    return Outcomes(
        np.zeros((count, HORIZON)),
        np.zeros((count, HORIZON, len(QUANTILES))),
        own.origins,
        own.losses,
        baseline.losses,
        own.symbols,
    )


def test_only_the_symbols_of_a_significant_loss_are_named() -> None:
    own, baseline = losses(1, BTCUSD=0.9, ETHUSD=1.1, LTCUSD=1.0, ADAUSD=1.2)
    assert losing_symbols(own, baseline, HORIZON) == ("ADAUSD", "ETHUSD")


def test_model_as_good_as_the_baseline_is_set_back_no_more_often_than_stated() -> None:
    lost = sum(bool(losing_symbols(*losses(seed, BTCUSD=1.0), HORIZON)) for seed in range(300))
    assert lost <= 300 * TEST_ERROR_RATE + 3 * (300 * TEST_ERROR_RATE * (1 - TEST_ERROR_RATE)) ** 0.5


def test_symbol_with_too_few_forecasts_to_tell_is_left_to_the_model() -> None:
    own, baseline = losses(1, hours=15, BTCUSD=3.0)
    assert losing_symbols(own, baseline, HORIZON) == ()


def test_losses_that_tell_no_symbol_set_nothing_back() -> None:
    own, baseline = losses(1, BTCUSD=2.0)
    assert losing_symbols(PairedLosses(own.origins, own.losses), baseline, HORIZON) == ()


def test_live_loss_on_one_symbol_leaves_the_others_to_the_model() -> None:
    found = live_setback(outcomes(300, BTCUSD=0.8, ETHUSD=1.15, LTCUSD=0.9), HORIZON)
    assert found == Setback(("ETHUSD",))
    assert found.reason("ETHUSD")
    assert found.reason("BTCUSD") == ""


def test_live_loss_on_the_whole_is_told_of_every_symbol() -> None:
    found = live_setback(outcomes(MIN_OF_ALL, BTCUSD=1.3), HORIZON)
    assert found.everywhere
    assert found.reason("NEWUSD")


@pytest.mark.parametrize("hours", [0, 1, MIN_OF_SYMBOL - 1])
def test_few_live_forecasts_set_nothing_back(hours: int) -> None:
    assert live_setback(outcomes(hours, BTCUSD=3.0), HORIZON) == Setback()


def model(*lost: str) -> LoadedModel:
    decision = Decision("", "promote", "good enough", TRAINED_AT, lost_symbols=lost)
    card = replace(model_card(), decision=decision)
    return LoadedModel(card, FakeModel(model_tensors(), card.config))


def test_symbol_lost_on_the_test_span_is_served_by_the_baseline_and_the_reason_says_so() -> None:
    choice = Choice(model("ETHUSD"))
    assert choice.serving("BTCUSD") is choice
    assert choice.serving("ETHUSD").loaded is None
    assert "test span" in choice.serving("ETHUSD").reason


def test_symbol_lost_live_is_served_by_the_baseline_and_the_reason_says_so() -> None:
    choice = Choice(model(), setback=Setback(("ETHUSD",)))
    assert choice.serving("BTCUSD") is choice
    assert choice.serving("ETHUSD").loaded is None
    assert "live" in choice.serving("ETHUSD").reason


def test_setback_is_followed_by_every_reader_and_ends_when_it_is_lifted(tmp_path: Path) -> None:
    writer, reader = Setbacks(tmp_path / "s"), Setbacks(tmp_path / "s")
    for setback in (Setback(("ETHUSD",)), Setback(everywhere=True), Setback()):
        writer.store("v1", setback)
        reader.refresh()
        assert reader.of("v1") == setback


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"symbols": "BTCUSD", "everywhere": false}'])
def test_unreadable_setback_counts_as_none(tmp_path: Path, text: str) -> None:
    kept = Setbacks(tmp_path)
    kept.store("v1", Setback(everywhere=True))
    kept.refresh()
    (tmp_path / "v1.json").write_text(text)
    kept.refresh()
    assert kept.of("v1") is None


def test_a_setback_survives_json() -> None:
    told = Setback(("BTCUSD", "ETHUSD"), True)
    assert Setback.from_dict(json.loads(json.dumps(told.as_dict()))) == told
