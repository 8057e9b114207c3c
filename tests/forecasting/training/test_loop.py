"""The loop: it learns, stops, repeats itself by seed, and goes on from where it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deployments.forecasting.predicting.network import NetworkConfig, Tensors
from deployments.forecasting.quantiles import QUANTILES
from deployments.forecasting.training.fitting import material_of
from deployments.forecasting.training.lesson import Material
from deployments.forecasting.training.loop import Hooks, TrainingConfig, pinball, train
from deployments.forecasting.training.state import State, Trained, load_state, save_state, trained_of
from tests.fakes.panels import wavy_panel

SHAPE = NetworkConfig(input_size=24, horizon=6, width=16, dropout=0.1)
CONFIG = TrainingConfig(max_steps=12, members=1, batch=64, check_every=4, learning_rate=1e-3)
TWO = replace(CONFIG, max_steps=16, members=2)


@pytest.fixture(scope="module")
def material() -> Material:
    return material_of(wavy_panel(1_500), SHAPE)


def same(first: Tensors, second: Tensors) -> bool:
    return first.keys() == second.keys() and all((first[name] == second[name]).all() for name in first)


def test_the_best_weights_are_no_worse_than_the_prior_they_started_from(material: Material) -> None:
    trained = train(material, SHAPE, CONFIG)

    assert trained.steps == 12
    assert trained.validation_loss <= trained.prior_loss
    assert trained.best_step in {0, 4, 8, 12}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(material: Material) -> None:
    config = replace(CONFIG, max_steps=4)
    states = [final_state(material, config), final_state(material, config)]
    other = final_state(material, replace(CONFIG, max_steps=4, seed=2))

    assert same(states[0].weights, states[1].weights)
    assert not same(states[0].weights, other.weights)


@pytest.mark.parametrize("checks_before", [1, 2, 3])
def test_a_resumed_run_ends_where_an_unbroken_one_does(material: Material, tmp_path: Path, checks_before: int) -> None:
    unbroken = train(material, SHAPE, TWO)
    # A checkpoint crosses a file, as it does between workers.
    saved: list[Path] = []

    def keep(state: State) -> None:
        saved.append(tmp_path / f"{state.steps}.pt")
        save_state(state, saved[-1])

    def broken_off() -> bool:
        return len(saved) == checks_before

    broken = train(material, SHAPE, TWO, hooks=Hooks(on_checkpoint=keep, should_stop=broken_off))
    resumed = train(material, SHAPE, TWO, resume_from=load_state(saved[-1]))

    assert (broken.steps, resumed.steps) == (4 * checks_before, 16)
    assert resumed.validation_loss == pytest.approx(unbroken.validation_loss, rel=1e-6)
    assert len(resumed.members) == len(unbroken.members) == 2
    assert all(same(*pair) for pair in zip(resumed.members, unbroken.members, strict=True))


def test_members_start_and_draw_differently(material: Material) -> None:
    first, second = train(material, SHAPE, replace(TWO, learning_rate=1e-2)).members

    assert not same(first, second)


def test_a_state_tells_the_best_that_was_found_so_far(material: Material) -> None:
    states: list[State] = []

    trained = train(material, SHAPE, TWO, hooks=Hooks(on_checkpoint=states.append))

    assert [state.steps for state in states] == [4, 8, 12, 16]
    assert [len(trained_of(state).members) for state in states] == [1, 1, 2, 2]
    assert all(same(*pair) for pair in zip(trained_of(states[-1]).members, trained.members, strict=True))


def test_checkpoints_may_be_rarer_than_checks_and_come_at_the_end_of_each_member(material: Material) -> None:
    states: list[State] = []
    told: list[int] = []
    hooks = Hooks(on_progress=lambda step, *_: told.append(step), on_checkpoint=states.append, checkpoint_every=2)

    train(material, SHAPE, replace(TWO, max_steps=24), hooks=hooks)

    assert told == [4, 8, 12, 16, 20, 24]
    assert [state.steps for state in states] == [8, 12, 20, 24]


def test_brain_floats_learn_too(material: Material) -> None:
    trained = train(material, SHAPE, replace(CONFIG, precision="bfloat16"))

    assert np.isfinite(trained.validation_loss)
    assert all(weights.dtype == np.float32 for weights in trained.members[0].values())


def test_training_stops_when_validation_stops_improving(material: Material) -> None:
    hopeless = replace(CONFIG, max_steps=400, check_every=1, patience=3, learning_rate=1.0)

    trained = train(material, SHAPE, hopeless)

    assert trained.steps < 400
    assert trained.steps - trained.best_step == 3


def test_progress_is_told_at_every_check_and_at_the_end(material: Material) -> None:
    told: list[tuple[int, float, float]] = []
    config = replace(CONFIG, max_steps=6)

    train(material, SHAPE, config, hooks=Hooks(on_progress=lambda *figures: told.append(figures)))

    assert [step for step, _, _ in told] == [4, 6]
    assert all(np.isfinite(figures).all() for figures in told)


def test_the_randomness_of_the_process_is_left_alone(material: Material) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)

    train(material, SHAPE, replace(CONFIG, max_steps=1))

    assert torch.equal(torch.rand(2), expected)


def test_pinball_loss_by_hand() -> None:
    quantiles = torch.zeros(1, 1, 9)
    above = pinball(torch.tensor([[2.0]]), quantiles, torch.ones(1, 1))
    weighted = pinball(torch.tensor([[2.0], [0.0]]), torch.zeros(2, 1, 9), torch.tensor([[1.0], [3.0]]))

    assert float(above) == pytest.approx(2 * np.mean(QUANTILES))
    assert float(weighted) == pytest.approx(float(above) / 4)


def final_state(material: Material, config: TrainingConfig) -> State:
    states: list[State] = []
    trained: Trained = train(material, SHAPE, config, hooks=Hooks(on_checkpoint=states.append))
    assert states[-1].step == trained.steps
    return states[-1]
