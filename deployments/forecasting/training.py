"""The training loop: random windows, pinball loss, early stopping, best weights. Plain torch, no Ray.

`neuralforecast`'s own loop spends about 90 % of its time building windows; here a batch is one gather from the panel.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deployments.forecasting import network
from deployments.forecasting.network import NetworkConfig, Tensors
from deployments.forecasting.panel import Panel, Positions
from deployments.forecasting.quantiles import QUANTILES
from deployments.forecasting.recipe import CORRECTION, HISTORY_BARS, Prior, inputs_of
from deployments.forecasting.windows import Windows, drawn, spread, windows_at

VALIDATION_WINDOWS = 4096


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train. Overfitting is the default on prices: hence the decay, the clipping, and the patience in checks."""

    max_steps: int = 400
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    clip: float = 1.0
    check_every: int = 25
    patience: int = 5
    seed: int = 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What a worker trains on: the panel, the origins of training and validation windows, and the prior."""

    panel: Panel
    train: Positions
    validation: Positions
    prior: Prior


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tensors of one batch; `target` (n, horizon) in scales, `weight` what a scale of each is worth."""

    path: torch.Tensor
    regime: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where a run stands, complete enough to go on from: `on_checkpoint` gets it, `resume_from` takes it.

    No random state is kept: every step draws from a generator of its own, made of seed, rank and step.
    """

    step: int
    best_step: int
    best_loss: float
    prior_loss: float
    best: Tensors
    weights: Tensors
    optimizer: dict[str, Any]
    schedule: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trained:
    """The best weights and how they were found."""

    weights: Tensors
    steps: int
    best_step: int
    validation_loss: float
    prior_loss: float


def _nothing(*_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a caller may attach to the loop; all of it optional.

    `prepare` wraps the module for several workers, `rank` tells this one from the others, `on_progress` gets (step,
    training loss, validation loss) and `on_checkpoint` a `State` after each check.
    """

    prepare: Callable[[torch.nn.Module], torch.nn.Module] = lambda module: module
    should_stop: Callable[[], bool] = lambda: False
    on_progress: Callable[[int, float, float], None] = _nothing
    on_checkpoint: Callable[[State], None] = _nothing
    rank: int = 0


def train(
    material: Material,
    shape: NetworkConfig,
    config: TrainingConfig,
    device: str = "cpu",
    hooks: Hooks | None = None,
    resume_from: State | None = None,
) -> Trained:
    """Train a network and return the weights that did best on the validation span.

    The same seed, panel and device give the same weights, also when a run was interrupted and resumed.
    """
    with torch.random.fork_rng():
        return _Loop(material, shape, config, device, hooks or Hooks()).run(resume_from)


def trained_of(state: State) -> Trained:
    """Return the best that a run had found when it stood at `state`."""
    return Trained(state.best, state.step, state.best_step, state.best_loss, state.prior_loss)


def save_state(state: State, path: Path) -> None:
    """Write a state in torch's format, tensors and plain values only."""
    fields = {field: getattr(state, field) for field in State.__dataclass_fields__}
    for name in ("best", "weights"):
        fields[name] = {key: torch.from_numpy(array) for key, array in fields[name].items()}
    torch.save(fields, path)


def load_state(path: Path) -> State:
    """Read a state; anything in the file that is not a tensor or a plain value is refused."""
    fields = torch.load(path, map_location="cpu", weights_only=True)
    for name in ("best", "weights"):
        fields[name] = {key: tensor.numpy() for key, tensor in fields[name].items()}
    return State(**fields)


def pinball(target: torch.Tensor, quantiles: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the mean pinball loss of quantiles (n, horizon, 9), each window and step weighted by what it is worth."""
    probabilities = torch.tensor(QUANTILES, dtype=quantiles.dtype, device=quantiles.device)
    error = target.unsqueeze(-1) - quantiles
    loss = torch.maximum(probabilities * error, (probabilities - 1) * error)
    return (loss.mean(dim=-1) * weight).sum() / weight.sum()


class _Loop:
    """One run: what is fixed lies in the constructor, what changes in the module, the optimiser and `_best`."""

    def __init__(
        self, material: Material, shape: NetworkConfig, config: TrainingConfig, device: str, hooks: Hooks
    ) -> None:
        self._material, self._shape, self._config = material, shape, config
        self._device, self._hooks = device, hooks
        self._levels = torch.tensor(material.prior.levels, dtype=torch.float32, device=device)
        self._module = hooks.prepare(network.build(shape, device, config.seed))
        self._order = network.ascending_order(self._module)
        self._optimizer = torch.optim.AdamW(
            self._module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, max_lr=config.learning_rate, total_steps=config.max_steps + 1
        )
        self._validation = self._batch(spread(material.validation, VALIDATION_WINDOWS))
        self._prior_loss = self._validate()
        self._best = network.weights_of(self._module)
        self._best_loss, self._best_step = self._prior_loss, 0

    def run(self, resume_from: State | None) -> Trained:
        step = self._restore(resume_from) if resume_from else 0
        while step < self._config.max_steps and not self._exhausted(step) and not self._hooks.should_stop():
            step += 1
            loss = self._step(step)
            if step % self._config.check_every == 0 or step == self._config.max_steps:
                self._check(step, loss)
        return trained_of(self._state(step))

    def _step(self, step: int) -> float:
        key = (self._config.seed, self._hooks.rank, step)
        generator = np.random.default_rng(key)
        torch.manual_seed(int(generator.integers(2**62)))
        batch = self._batch(drawn(self._material.train, self._config.batch, generator))
        self._module.train()
        loss = self._loss(batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._module.parameters(), self._config.clip)
        self._optimizer.step()
        self._schedule.step()
        return float(loss.detach())

    def _check(self, step: int, train_loss: float) -> None:
        loss = _agreed(self._validate(), self._device)
        if loss < self._best_loss:
            self._best, self._best_loss, self._best_step = network.weights_of(self._module), loss, step
        self._hooks.on_progress(step, train_loss, loss)
        self._hooks.on_checkpoint(self._state(step))

    def _exhausted(self, step: int) -> bool:
        return step - self._best_step >= self._config.patience * self._config.check_every

    def _validate(self) -> float:
        self._module.eval()
        with torch.inference_mode():
            return float(self._loss(self._validation))

    def _loss(self, batch: Batch) -> torch.Tensor:
        answer = network.forward(self._module, batch.path, batch.regime)[..., self._order]
        return pinball(batch.target, self._levels + CORRECTION * answer, batch.weight)

    def _batch(self, origins: Positions) -> Batch:
        windows = windows_at(self._material.panel, origins, HISTORY_BARS, self._shape.horizon)
        return self._tensors(windows)

    def _tensors(self, windows: Windows) -> Batch:
        inputs = inputs_of(windows.history, self._material.prior, self._shape.input_size)
        arrays = (inputs.path, inputs.regime, windows.moves / inputs.scale, inputs.scale)
        return Batch(*(torch.from_numpy(np.asarray(array, dtype=np.float32)).to(self._device) for array in arrays))

    def _state(self, step: int) -> State:
        return State(
            step,
            self._best_step,
            self._best_loss,
            self._prior_loss,
            self._best,
            network.weights_of(self._module),
            self._optimizer.state_dict(),
            self._schedule.state_dict(),
        )

    def _restore(self, state: State) -> int:
        network.with_weights(self._module, state.weights)
        self._optimizer.load_state_dict(state.optimizer)
        self._schedule.load_state_dict(state.schedule)
        self._best, self._best_loss, self._best_step = state.best, state.best_loss, state.best_step
        return state.step


def _agreed(loss: float, device: str) -> float:
    """Return the mean over all workers: one that stopped a check before the others would leave them waiting."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return loss
    shared = torch.tensor([loss], dtype=torch.float64, device=device)
    torch.distributed.all_reduce(shared)
    return float(shared[0]) / torch.distributed.get_world_size()
