"""The members of a model as one network for forecasting: few large products instead of many small ones.

Every layer of all members is one batched product. What is linear one after the other is multiplied out beforehand: the
first two layers, and behind the last one the basis, the members' mean and the grid of quantiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import max_pool1d

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.direct import spread_of
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.quantiles import QUANTILES

Layer = tuple[torch.Tensor, torch.Tensor]
"""Weights (members, in, out) and biases (members, 1, out) of all members."""


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """One block of all members.

    `regime` is what the static inputs add to the first layer. `knots` (members x width, knots x 9) leads to the mean
    of the members, `spread` (knots x 9, horizon x 9) from there to every step, None where each step is a knot; `back`
    is None in the last block.
    """

    pooling: int
    first: Layer
    regime: torch.Tensor
    hidden: tuple[Layer, ...]
    knots: torch.Tensor
    spread: torch.Tensor | None
    back: Layer | None


class Ensemble:
    """The mean answer of trained networks of one shape; it copies their weights, and any number of threads may ask."""

    def __init__(self, modules: Sequence[torch.nn.Module], shape: NetworkConfig) -> None:
        self._horizon = shape.horizon
        grid = _library_grid(modules[0], shape)
        device = grid.device
        offset = torch.zeros(shape.horizon * len(QUANTILES), dtype=torch.float64, device=device)
        self._blocks = []
        for index, pooling in enumerate(shape.pooling):
            members = [_linears(module, index) for module in modules]
            knots, bias = _knots(members, grid, shape.input_size)
            spread = spread_of(knots.shape[1] // len(QUANTILES), shape.horizon, len(QUANTILES)).to(device)
            offset += bias @ spread
            first, regime = _first(members, shape.regimes)
            self._blocks.append(
                _Block(
                    pooling,
                    first,
                    regime,
                    tuple(_layer([each[place] for each in members]) for place in range(2, len(members[0]) - 1)),
                    knots.float(),
                    spread.float() if len(spread) < len(offset) else None,
                    _back(members, shape.input_size) if index < len(shape.pooling) - 1 else None,
                )
            )
        self._offset = offset.float()

    def __call__(self, path: torch.Tensor, mask: torch.Tensor, regime: torch.Tensor | None) -> torch.Tensor:
        """Return the mean answer (n, horizon, 9) in the order of `QUANTILES`; arguments are those of `forward`."""
        members = len(self._blocks[0].knots) // self._blocks[0].first[0].shape[-1]
        answer = self._offset.expand(len(path), -1)
        left, known = path.flip(-1).expand(members, -1, -1), mask.flip(-1)
        for block in self._blocks:
            read = left if block.pooling == 1 else max_pool1d(left, block.pooling, block.pooling, ceil_mode=True)
            hidden = torch.baddbmm(_base(block, regime), read, block.first[0]).relu_()
            for weight, bias in block.hidden:
                hidden = torch.baddbmm(bias, hidden, weight).relu_()
            knots = hidden.transpose(0, 1).reshape(len(path), -1) @ block.knots
            answer = answer + knots if block.spread is None else torch.addmm(answer, knots, block.spread)
            if block.back is not None:
                left = (left - torch.baddbmm(block.back[1], hidden, block.back[0])) * known
        return answer.view(len(path), self._horizon, -1) + path[:, -1:, None]


def _base(block: _Block, regime: torch.Tensor | None) -> torch.Tensor:
    if regime is None:
        return block.first[1]
    return torch.baddbmm(block.first[1], regime.expand(len(block.regime), -1, -1), block.regime)


def _linears(module: torch.nn.Module, index: int) -> list[Any]:
    layers = network.blocks_of(module)[index].layers
    return [layer for layer in layers if isinstance(layer, torch.nn.Linear)]


def _layer(linears: Sequence[Any]) -> Layer:
    weight = torch.stack([each.weight.detach().T for each in linears])
    return weight.contiguous(), torch.stack([each.bias.detach()[None] for each in linears])


def _first(members: Sequence[list[Any]], regimes: int) -> tuple[Layer, torch.Tensor]:
    """Multiply the first two layers, between which there is no activation; split what reads the path from the rest."""
    (before, bias_before), (after, bias_after) = (_layer([each[place] for each in members]) for place in (0, 1))
    weight = before.double() @ after.double()
    bias = bias_before.double() @ after.double() + bias_after.double()
    path = weight.shape[1] - regimes
    return (weight[:, :path].float().contiguous(), bias.float()), weight[:, path:].float().contiguous()


def _back(members: Sequence[list[Any]], input_size: int) -> Layer:
    weight, bias = _layer([each[-1] for each in members])
    return weight[..., :input_size].contiguous(), bias[..., :input_size].contiguous()


def _knots(members: Sequence[list[Any]], grid: torch.Tensor, input_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    weight, bias = (each[..., input_size:].double() / len(members) for each in _layer([each[-1] for each in members]))
    by_quantile = [each.reshape(*each.shape[:-1], len(grid), -1) for each in (weight, bias)]
    weight, bias = (torch.einsum("mwqk,qg->mwkg", each, grid) for each in by_quantile)
    return weight.flatten(0, 1).flatten(1), bias.sum(dim=(0, 1)).flatten()


def _library_grid(module: torch.nn.Module, shape: NetworkConfig) -> torch.Tensor:
    """Return `on_grid` for answers in the library's own order."""
    order = network.ascending_order(module)
    return network.on_grid(shape).to(order.device).double()[torch.argsort(order)]
