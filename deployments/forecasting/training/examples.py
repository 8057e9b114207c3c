"""What the loop learns from: every window's inputs and target, computed once, as tensors on one device.

The price path alone is cut again for each batch: kept once per bar instead of once per window, a whole panel fits into
the memory of a device.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from deployments.forecasting.predicting.recipe import PATH_LIMIT, Prior, inputs_of
from deployments.forecasting.series.panel import Panel, Positions
from deployments.forecasting.series.scale import HISTORY_BARS
from deployments.forecasting.series.windows import spread, windows_at

Floats = npt.NDArray[np.floating]

CHUNK = 512
"""Windows measured at once: 1,024 bars each and a dozen arrays of them stay within the processor's cache and 100 MB."""

MOST_EXAMPLES = 200_000
"""Windows kept for training, evenly spread where a panel has more: neighbouring windows tell nearly the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tensors of one batch; `target` (n, horizon) is unitless, `weight` what a unit of each is worth, 0 if unknown."""

    path: torch.Tensor
    mask: torch.Tensor
    regime: torch.Tensor | None
    target: torch.Tensor
    weight: torch.Tensor


class Examples:
    """Windows around `origins`, ready to be drawn from."""

    def __init__(self, panel: Panel, origins: Positions, prior: Prior, input_size: int, device: str = "cpu") -> None:
        kept = spread(origins, MOST_EXAMPLES)
        parts = [_measured(panel, kept[start : start + CHUNK], prior) for start in range(0, len(kept), CHUNK)]
        regime, unit, target, weight = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self._regime, self._target, self._weight = (_singles(each, device) for each in (regime, target, weight))
        self._unit = torch.from_numpy(unit).to(device)
        # Differences of log closes need more digits than a single has: they are taken before rounding.
        self._closes = torch.from_numpy(panel.log_closes).to(device)
        self._known = torch.from_numpy(panel.known).to(device)
        self._origins = torch.from_numpy(kept).to(device)
        self._starts = torch.from_numpy(panel.starts_at(kept)).to(device)
        self._ages = torch.arange(1 - input_size, 1, device=device)

    def __len__(self) -> int:
        return len(self._origins)

    def at(self, rows: torch.Tensor) -> Batch:
        """Return the windows of these rows as one batch."""
        wanted = self._origins[rows, None] + self._ages
        first = self._starts[rows, None]
        read = torch.maximum(wanted, first)
        mask = (self._known[read] & (wanted >= first)).float()
        moves = (self._closes[read] - self._closes[self._origins[rows], None]) / self._unit[rows, None]
        path = moves.clamp(-PATH_LIMIT, PATH_LIMIT).float() * mask
        return Batch(path, mask, self._regime[rows], self._target[rows], self._weight[rows])

    def drawn(self, count: int, generator: np.random.Generator) -> Batch:
        """Draw `count` windows with replacement, each as likely as the other, so symbols count by their bars."""
        rows = torch.from_numpy(generator.integers(0, len(self), count))
        return self.at(rows.to(self._origins.device))

    def all(self) -> Batch:
        """Return every window, in the order of the origins."""
        return self.at(torch.arange(len(self), device=self._origins.device))


def _measured(panel: Panel, origins: Positions, prior: Prior) -> tuple[Floats, Floats, Floats, Floats]:
    windows = windows_at(panel, origins, HISTORY_BARS, prior.horizon)
    inputs = inputs_of(windows.past, prior, 1)
    return inputs.regime, inputs.unit, windows.moves / inputs.scale, inputs.scale * windows.came


def _singles(values: Floats, device: str) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32)).to(device)
