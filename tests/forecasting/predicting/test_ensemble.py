"""The ensemble answers what its networks answer one by one, on average, whatever their shape."""

import numpy as np
import pytest
import torch

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.ensemble import Ensemble
from deployments.forecasting.predicting.network import NetworkConfig
from tests.fakes.networks import SHAPES, network_inputs, shaken_network


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("series", [1, 256])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_ensemble_equals_the_mean_of_its_networks(shape: NetworkConfig, series: int, members: int) -> None:
    modules = [shaken_network(shape, seed) for seed in range(members)]
    inputs = network_inputs(shape, series)
    order, grid = network.ascending_order(modules[0]), network.on_grid(shape)

    with torch.inference_mode():
        together = Ensemble(modules, shape)(*inputs)
        each = torch.stack([network.forward(module, *inputs) for module in modules])

    expected = each.mean(dim=0)[..., order] @ grid
    np.testing.assert_allclose(together.numpy(), expected.numpy(), rtol=1e-6, atol=2e-6)


def test_weights_changed_later_change_no_answer() -> None:
    shape = SHAPES["the default"]
    modules, inputs = [shaken_network(shape, 1)], network_inputs(shape, 2)
    ensemble = Ensemble(modules, shape)
    before = ensemble(*inputs)

    with torch.no_grad():
        for parameter in modules[0].parameters():
            parameter.zero_()

    assert torch.equal(ensemble(*inputs), before)
