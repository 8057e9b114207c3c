"""What is to be learnt: which windows, and what a network's answer means in units of their targets."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.recipe import CORRECTION, CORRECTION_LIMIT, Prior
from deployments.forecasting.series.panel import Panel, Positions
from deployments.forecasting.series.windows import spread
from deployments.forecasting.training.examples import Batch, Examples

VALIDATION_WINDOWS = 8_192


class Source(Protocol):
    """Windows to draw batches from."""

    def drawn(self, count: int, generator: np.random.Generator) -> Batch:
        """Return `count` windows drawn at random, with replacement."""
        ...

    def all(self) -> Batch:
        """Return every window."""
        ...


class Lesson(Protocol):
    """What the training loop asks of what it trains on."""

    def sources(self, shape: NetworkConfig, device: str) -> tuple[Source, Source]:
        """Return the windows to train on and those to validate on, as tensors on `device`."""
        ...

    def quantiles(self, answer: torch.Tensor) -> torch.Tensor:
        """Return quantiles in units of the target, as the network's answer (n, horizon, 9) in order of `QUANTILES`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The lesson of candles: the panel, the origins of training and validation windows, and the prior to correct."""

    panel: Panel
    train: Positions
    validation: Positions
    prior: Prior

    def sources(self, shape: NetworkConfig, device: str) -> tuple[Source, Source]:
        """Measure every window once."""
        validation = spread(self.validation, VALIDATION_WINDOWS)
        return (
            Examples(self.panel, self.train, self.prior, shape.input_size, device),
            Examples(self.panel, validation, self.prior, shape.input_size, device),
        )

    def quantiles(self, answer: torch.Tensor) -> torch.Tensor:
        """Return the prior's levels, each times the factor that the network says."""
        levels = torch.as_tensor(self.prior.levels, dtype=answer.dtype, device=answer.device)
        return levels * torch.exp(CORRECTION * answer.clamp(-CORRECTION_LIMIT, CORRECTION_LIMIT))
