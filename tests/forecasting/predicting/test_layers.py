"""The layers without the library: the same weights by name and shape, refusals, and that the library stays out."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.ensemble import Ensemble
from deployments.forecasting.predicting.layers import layers_of
from deployments.forecasting.predicting.network import NetworkConfig
from tests.fakes.networks import SHAPES, network_inputs, shaken_network

ALL = {**SHAPES, "no dropout": replace(SHAPES["one block"], dropout=0.0)}

WITHOUT_LIBRARY = """
import sys
import numpy as np
from deployments.forecasting.predicting import predictor
from deployments.forecasting.predicting.layers import Layers
from deployments.forecasting.predicting.network import NetworkConfig, weights_of
from deployments.forecasting.predicting.layers import layers_of
layers_of(NetworkConfig(), weights_of(Layers(NetworkConfig())))
print([name for name in ("neuralforecast", "pytorch_lightning", "ray") if name in sys.modules])
"""


@pytest.mark.parametrize("shape", ALL.values(), ids=list(ALL))
def test_the_layers_hold_the_librarys_weights_by_name(shape: NetworkConfig) -> None:
    library = shaken_network(shape, 4)

    layers = layers_of(shape, network.weights_of(library))

    expected, found = network.weights_of(library), network.weights_of(layers)
    assert list(found) == list(expected)
    assert all((found[name] == expected[name]).all() for name in expected)
    assert torch.equal(network.ascending_order(layers), network.ascending_order(library))


@pytest.mark.parametrize("shape", ALL.values(), ids=list(ALL))
def test_an_ensemble_of_the_layers_answers_as_one_of_the_librarys_networks(shape: NetworkConfig) -> None:
    networks = [shaken_network(shape, seed) for seed in (1, 2)]
    inputs = network_inputs(shape, 7)

    answer = Ensemble([layers_of(shape, network.weights_of(each)) for each in networks], shape)(*inputs)

    assert torch.equal(answer, Ensemble(networks, shape)(*inputs))


@pytest.mark.parametrize("damage", ["missing", "foreign", "misshapen"])
def test_weights_that_do_not_fit_are_refused(damage: str) -> None:
    shape = SHAPES["one block"]
    weights = network.weights_of(shaken_network(shape, 4))
    name = next(iter(weights))
    array = weights[name]
    if damage != "foreign":
        del weights[name]
    if damage != "missing":
        weights["other" if damage == "foreign" else name] = array[:1]

    with pytest.raises(RuntimeError):
        layers_of(shape, weights)


def test_making_layers_draws_no_randomness() -> None:
    shape = SHAPES["one block"]
    weights = network.weights_of(shaken_network(shape, 4))
    before = torch.random.get_rng_state()

    layers_of(shape, weights)

    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.slow
def test_whoever_only_forecasts_imports_no_library() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_LIBRARY], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
