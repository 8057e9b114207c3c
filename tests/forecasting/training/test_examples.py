"""Windows as tensors: the same numbers as a forecast reads, drawn by seed, masked where nothing is known."""

import numpy as np
import pytest
import torch

from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.recipe import inputs_of
from deployments.forecasting.series.panel import panel_of
from deployments.forecasting.series.scale import HISTORY_BARS
from deployments.forecasting.series.windows import windows_at
from deployments.forecasting.training.examples import Examples
from deployments.forecasting.training.fitting import material_of
from deployments.forecasting.training.lesson import Material
from deployments.market_data.models import Interval
from tests.fakes.panels import wavy_tables

SHAPE = NetworkConfig(input_size=24, horizon=6, width=16)


@pytest.fixture(scope="module")
def material() -> Material:
    tables = wavy_tables(1_500)
    holed = tables["BBBUSD"].take([*range(700), *range(703, 1_500)])
    return material_of(panel_of({**tables, "BBBUSD": holed}, Interval.H1), SHAPE)


def test_training_and_serving_read_the_same(material: Material) -> None:
    windows = windows_at(material.panel, material.train, HISTORY_BARS, 6)
    inputs = inputs_of(windows.past, material.prior, 24)

    batch = Examples(material.panel, material.train, material.prior, 24).all()

    assert batch.regime is not None
    for tensor, expected in ((batch.path, inputs.path), (batch.mask, inputs.mask), (batch.regime, inputs.regime)):
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(batch.target.numpy(), windows.moves / inputs.scale, rtol=1e-5)
    np.testing.assert_allclose(batch.weight.numpy(), inputs.scale * windows.came, rtol=1e-5)


def test_missing_bars_are_masked_and_their_targets_weigh_nothing(material: Material) -> None:
    hole = np.flatnonzero(~material.panel.known)
    origin = np.array([hole[0] - 2])

    batch = Examples(material.panel, origin, material.prior, 24).all()
    after = Examples(material.panel, hole[-1:] + 1, material.prior, 24).all()

    assert (batch.weight[0, [1, 2, 3]] == 0).all()
    assert (batch.weight[0, [0, 4, 5]] > 0).all()
    assert after.mask[0, -4:].tolist() == [0, 0, 0, 1]
    assert not after.path[after.mask == 0].any()


def test_the_same_seed_draws_the_same_windows(material: Material) -> None:
    examples = Examples(material.panel, material.train, material.prior, 24)

    first, second, other = (examples.drawn(50, np.random.default_rng(seed)) for seed in (4, 4, 5))

    assert len(examples) == len(material.train)
    assert torch.equal(first.path, second.path)
    assert not torch.equal(first.path, other.path)
