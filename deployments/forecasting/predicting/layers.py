"""The layers of a trained network without the library: whoever only forecasts needs its weights, not its seconds."""

from types import SimpleNamespace

import torch

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.network import NetworkConfig, Tensors

HIDDEN = 2
"""Layers of `width` behind the first, each with an activation (`mlp_units` of `network.arguments`)."""


class Layers(torch.nn.Module):
    """What `network.build` returns, as far as weights go: same names, same shapes, no forward pass of its own.

    Importing the library takes four seconds of a processor and 200 MB: a replica, and the judge of a training, have
    no other use for it.
    """

    def __init__(self, config: NetworkConfig, device: str = "cpu") -> None:
        """The weights are whatever lies in memory: they are put in afterwards, and no randomness is drawn for them."""
        super().__init__()
        with torch.device("meta"):
            self.blocks = torch.nn.ModuleList(_Block(config, index) for index in range(len(config.pooling)))
        self.loss = SimpleNamespace(quantiles=torch.tensor(config.quantiles, device=device))
        self.to_empty(device=device)


class _Block(torch.nn.Module):
    """One block: `layers` in the library's order, so that a weight has the same name in both."""

    def __init__(self, config: NetworkConfig, index: int) -> None:
        super().__init__()
        read = -(-config.input_size // config.pooling[index]) + config.regimes
        knots = max(config.horizon // config.downsampling[index], 1)
        layers: list[torch.nn.Module] = [torch.nn.Linear(read, config.width)]
        for _ in range(HIDDEN):
            layers += [torch.nn.Linear(config.width, config.width), torch.nn.ReLU()]
            if config.dropout > 0:
                layers.append(torch.nn.Dropout(config.dropout))
        layers.append(torch.nn.Linear(config.width, config.input_size + len(config.quantiles) * knots))
        self.layers = torch.nn.Sequential(*layers)


def layers_of(config: NetworkConfig, weights: Tensors, device: str = "cpu") -> torch.nn.Module:
    """Return the layers with the weights that `network.weights_of` told of a network of this shape.

    A weight that is missing, foreign or misshapen raises `RuntimeError`.
    """
    return network.with_weights(Layers(config, device), weights)
