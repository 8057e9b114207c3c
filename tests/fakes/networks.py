"""Networks of several shapes with weights everywhere, and inputs for them."""

import numpy as np
import torch

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.network import NetworkConfig

SHAPES = {
    "the default": NetworkConfig(),
    "odd lengths, few quantiles": NetworkConfig(
        50, 13, 0, 24, pooling=(8, 3), downsampling=(5, 2), quantiles=(0.1, 0.5, 0.9)
    ),
    "one block": NetworkConfig(20, 6, 3, 16, pooling=(2,), downsampling=(1,)),
}


def shaken_network(shape: NetworkConfig, seed: int) -> torch.nn.Module:
    """Return a network with weights everywhere, so that it answers something."""
    generator = np.random.default_rng(seed)
    module = network.build(shape)
    weights = {
        name: generator.normal(0, 0.1, weight.shape).astype(np.float32)
        for name, weight in network.weights_of(module).items()
    }
    return network.with_weights(module, weights).eval()


def network_inputs(shape: NetworkConfig, series: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return paths with holes, whose last bar is known, their masks, and regimes where the shape has some."""
    generator = np.random.default_rng(3)
    mask = generator.random((series, shape.input_size)) < 0.8
    mask[:, -1] = True
    path = generator.normal(0, 1, mask.shape) * mask
    regime = generator.normal(0, 1, (series, shape.regimes))
    tensors = [torch.from_numpy(each.astype(np.float32)) for each in (path, mask, regime)]
    return tensors[0], tensors[1], tensors[2] if shape.regimes else None
