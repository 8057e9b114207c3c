"""The direct network answers and learns as the library's own does, in whatever shape."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.direct import Direct
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.products import linear
from tests.fakes.networks import SHAPES, network_inputs, shaken_network


@pytest.mark.parametrize("series", [1, 3, 300])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_direct_network_equals_the_librarys_in_answer_and_gradient(shape: NetworkConfig, series: int) -> None:
    still = replace(shape, dropout=0.0)
    library, ours = (shaken_network(still, 4) for _ in range(2))
    inputs = network_inputs(still, series)
    order, grid = network.ascending_order(library), network.on_grid(still)

    expected = network.forward(library, *inputs)[..., order] @ grid
    answer = Direct(ours, still)(*inputs)
    for each in (expected, answer):
        each.square().mean().backward()

    np.testing.assert_allclose(answer.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=2e-6)
    gradients = [dict(module.named_parameters()) for module in (ours, library)]
    for name, parameter in gradients[0].items():
        if parameter.grad is not None:
            theirs = gradients[1][name].grad
            assert theirs is not None
            torch.testing.assert_close(parameter.grad, theirs, rtol=1e-4, atol=1e-6)


def test_dropout_draws_as_the_librarys_and_only_in_training() -> None:
    shape = SHAPES["the default"]
    library, ours = (shaken_network(shape, 4) for _ in range(2))
    direct, inputs = Direct(ours, shape), network_inputs(shape, 200)
    order = network.ascending_order(library)

    library.train()
    direct.train()
    with torch.random.fork_rng():
        torch.manual_seed(2)
        expected = network.forward(library, *inputs)[..., order]
        torch.manual_seed(2)
        answer = direct(*inputs)
    direct.eval()

    torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(direct(*inputs), direct(*inputs))


def test_weights_go_in_and_out_by_the_librarys_names() -> None:
    shape = SHAPES["one block"]
    library, direct = shaken_network(shape, 4), Direct(network.build(shape), shape)

    network.with_weights(direct, network.weights_of(library))

    inputs = network_inputs(shape, 5)
    expected = network.forward(library, *inputs)[..., network.ascending_order(library)]
    torch.testing.assert_close(direct.eval()(*inputs), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("part", [slice(None), slice(3, 40), slice(0, 80, 2)], ids=["whole", "part", "every other"])
def test_a_product_and_its_gradients_equal_torchs(part: slice) -> None:
    generator = torch.Generator().manual_seed(1)
    wide = torch.randn(70, 80, generator=generator)
    width = wide[:, part].shape[1]
    weight, bias = torch.randn(50, width, generator=generator), torch.randn(50, generator=generator)
    results = []
    for product in (linear, torch.nn.functional.linear):
        leaves = [each.clone().requires_grad_() for each in (wide, weight, bias)]
        answer = product(leaves[0][:, part], leaves[1], leaves[2])
        answer.sin().sum().backward()  # type: ignore[no-untyped-call]
        results.append([answer.detach(), *(leaf.grad for leaf in leaves)])

    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
