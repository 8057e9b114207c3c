"""A lesson without candles: plain series, standardised window by window, for measuring our loop on other data."""

from dataclasses import dataclass

import numpy as np
import torch

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.panel import Positions
from deployments.forecasting.training.examples import Batch
from deployments.forecasting.training.lesson import Source
from deployments.forecasting.training.state import Trained

SMALLEST_SPREAD = 1e-5


class PlainWindows:
    """Windows around `origins` of the lesson's series."""

    def __init__(self, lesson: "PlainLesson", origins: Positions, shape: NetworkConfig, device: str) -> None:
        self._values = torch.as_tensor(lesson.values, dtype=torch.float32, device=device)
        self._origins = torch.as_tensor(origins, device=device)
        self._steps = torch.arange(1 - shape.input_size, shape.horizon + 1, device=device)
        self._read, self._recent = shape.input_size, lesson.recent
        self._prior = _on(lesson.prior, device)

    def at(self, rows: torch.Tensor) -> Batch:
        """Return the windows of these rows: each minus its centre and over its deviation, the target alike."""
        cut = self._values[self._origins[rows, None] + self._steps]
        centre, spread = moments(cut[:, : self._read], self._recent)
        unitless = (cut - centre) / spread
        path, target = unitless[:, : self._read], unitless[:, self._read :]
        weight = spread.expand_as(target)
        return Batch(path, torch.ones_like(path), None, target - _beyond_last(path, self._prior), weight)

    def drawn(self, count: int, generator: np.random.Generator) -> Batch:
        """Draw windows with replacement."""
        return self.at(torch.from_numpy(generator.integers(0, len(self._origins), count)).to(self._origins.device))

    def all(self) -> Batch:
        """Return every window."""
        return self.at(torch.arange(len(self._origins), device=self._origins.device))


@dataclass(frozen=True, eq=False)
class PlainLesson:
    """What the loop trains on: series one after the other; the network's answer is the quantiles themselves.

    A window is centred on the mean of its newest `recent` values. Where there is a `prior` (input_size, horizon), what
    it makes of a window stands already, and the network has only to correct it.
    """

    values: FloatArray
    train: Positions
    validation: Positions
    recent: int
    prior: FloatArray | None = None

    def sources(self, shape: NetworkConfig, device: str) -> tuple[Source, Source]:
        """Return the windows to train and to validate on."""
        return (
            PlainWindows(self, self.train, shape, device),
            PlainWindows(self, self.validation, shape, device),
        )

    def quantiles(self, answer: torch.Tensor) -> torch.Tensor:
        """Return the answer."""
        return answer


def moments(read: torch.Tensor, recent: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of the newest values and the deviation of each window, (n, 1)."""
    mean = read.mean(dim=1, keepdim=True)
    centre = mean if recent == read.shape[1] else read[:, -recent:].mean(dim=1, keepdim=True)
    # The library's own deviation takes a multiple of the time.
    deviation = ((read - mean).square_().sum(dim=1, keepdim=True) / (read.shape[1] - 1)).sqrt_()
    return centre, deviation + SMALLEST_SPREAD


def forecast(
    trained: Trained,
    shape: NetworkConfig,
    read: FloatArray,
    recent: int,
    prior: FloatArray | None = None,
    device: str = "cpu",
) -> FloatArray:
    """Return the quantiles (n, horizon, …), ascending, in the unit of the windows (n, input_size)."""
    answers, linear = [], _on(prior, device)
    for weights in trained.members:
        module = network.with_weights(network.build(shape, device), weights).eval()
        order = network.ascending_order(module)
        parts = torch.split(torch.from_numpy(read).to(device), 2_048)
        with torch.inference_mode():
            answers.append(torch.cat([_answer(module, part, order, recent, linear) for part in parts]))
    mean = torch.stack(answers).mean(dim=0)
    quantiles: FloatArray = np.sort(mean.cpu().numpy().astype(np.float64), axis=-1)
    return quantiles


def _answer(
    module: torch.nn.Module, read: torch.Tensor, order: torch.Tensor, recent: int, prior: torch.Tensor | None
) -> torch.Tensor:
    centre, spread = moments(read.float(), recent)
    path = (read.float() - centre) / spread
    answer = network.forward(module, path, torch.ones_like(path), None)[..., order]
    return (answer + _beyond_last(path, prior)[..., None]) * spread[..., None] + centre[..., None]


def _beyond_last(path: torch.Tensor, prior: torch.Tensor | None) -> torch.Tensor:
    """Return what the prior says beyond the last value, where a network's answer begins; (n, horizon) or (n, 1)."""
    return torch.zeros_like(path[:, :1]) if prior is None else path @ prior - path[:, -1:]


def _on(prior: FloatArray | None, device: str) -> torch.Tensor | None:
    return None if prior is None else torch.as_tensor(prior, dtype=torch.float32, device=device)
