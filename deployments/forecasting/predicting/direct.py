"""The library's network, computed in fewer and larger operations: what the training loop runs forward and backward.

Same weights, same function. Two layers without an activation between them are one product, the basis is a product with
a matrix made beforehand, and what the last block would say of the past is never computed.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.products import linear


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One block: `rows` of its last layer are the past that it explains, `explains` bars, then knots by quantile.

    `spread` (steps, knots) leads from knots to steps, None where each step is a knot.
    """

    pooling: int
    linears: list[Any]
    rows: torch.Tensor
    explains: int
    spread: torch.Tensor | None


class Direct(torch.nn.Module):
    """A network of `build` whose answer (n, horizon, 9) is in the order of `QUANTILES`; the weights stay its own."""

    def __init__(self, module: torch.nn.Module, shape: NetworkConfig) -> None:
        super().__init__()
        self.network = module
        self._shape = shape
        self._parts = [self._part(index) for index in range(len(shape.pooling))]
        device = self._parts[0].rows.device
        grid = network.on_grid(shape)
        self._grid = None if torch.equal(grid, torch.eye(len(grid))) else grid.to(device)

    @property
    def blocks(self) -> Any:
        """The library's blocks."""
        return network.blocks_of(self.network)

    def forward(self, path: torch.Tensor, mask: torch.Tensor, regime: torch.Tensor | None) -> torch.Tensor:
        """Return the answer; arguments are those of `network.forward`."""
        left, known = path.flip(-1), mask.flip(-1)
        answer = path[:, -1:].expand(-1, self._shape.horizon * len(self._shape.quantiles))
        for part in self._parts:
            read = _pooled(left, part.pooling)
            hidden = self._hidden(part, read if regime is None else torch.cat((read, regime), dim=1))
            last = part.linears[-1]
            theta = linear(hidden, last.weight.index_select(0, part.rows), last.bias.index_select(0, part.rows))
            knots = theta[:, part.explains :]
            answer = answer + (knots if part.spread is None else linear(knots, part.spread))
            if part.explains:
                left = (left - theta[:, : part.explains]) * known
        steps = answer.view(len(path), self._shape.horizon, -1)
        return steps.float() if self._grid is None else steps.float() @ self._grid

    def _hidden(self, part: _Part, read: torch.Tensor) -> torch.Tensor:
        first, second, *others, _ = part.linears
        if read.shape[1] < len(read):
            # Weights times weights cost less than a whole batch times weights.
            weight = linear(second.weight, first.weight.t())
            hidden = linear(read, weight, second.weight @ first.bias + second.bias)
        else:
            hidden = linear(linear(read, first.weight, first.bias), second.weight, second.bias)
        hidden = self._dropped(hidden.relu())
        for each in others:
            hidden = self._dropped(linear(hidden, each.weight, each.bias).relu())
        return hidden

    def _dropped(self, hidden: torch.Tensor) -> torch.Tensor:
        return functional.dropout(hidden, self._shape.dropout) if self.training and self._shape.dropout else hidden

    def _part(self, index: int) -> _Part:
        linears = [each for each in self.blocks[index].layers if isinstance(each, torch.nn.Linear)]
        order = network.ascending_order(self.network)
        past, outputs = self._shape.input_size, linears[-1].out_features
        knots = (outputs - past) // len(order)
        by_step = past + torch.arange(knots, device=order.device)[:, None] + knots * order
        explains = past if index < len(self._shape.pooling) - 1 else 0
        spread = None if knots == self._shape.horizon else spread_of(knots, self._shape.horizon, len(order))
        return _Part(
            self._shape.pooling[index],
            linears,
            torch.cat([torch.arange(explains, device=order.device), by_step.flatten()]),
            explains,
            None if spread is None else spread.T.float().contiguous().to(order.device),
        )


def spread_of(knots: int, horizon: int, quantiles: int) -> torch.Tensor:
    """Return the library's linear interpolation as a matrix, (knots x quantiles, horizon x quantiles)."""
    one = torch.eye(knots, dtype=torch.float64)[:, None]
    steps = functional.interpolate(one, size=horizon, mode="linear")[:, 0]
    return torch.kron(steps, torch.eye(quantiles, dtype=torch.float64))


def _pooled(values: torch.Tensor, size: int) -> torch.Tensor:
    if size == 1:
        return values
    return functional.max_pool1d(values[:, None], size, size, ceil_mode=True)[:, 0]
