"""The training loop: random windows, pinball loss, early stopping, best weights. Plain torch, no Ray.

`neuralforecast`'s own loop spends about 90 % of its time building windows; here a batch is one gather from tensors that
lie on the device, and the network is computed in few large products (`direct`). Several networks are trained one after
the other and forecast together: their mean overfits less.
"""

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.direct import Direct
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.quantiles import QUANTILES
from deployments.forecasting.training.examples import Batch
from deployments.forecasting.training.lesson import Lesson, Source
from deployments.forecasting.training.state import Member, State, Trained, trained_of


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train. Overfitting is the default on prices: hence the decay, the clipping, and the patience in checks.

    `max_steps` are shared out evenly among the `members`. `precision` is `float32` or `bfloat16` (autocast): that gains
    a sixth at a width of 256 and nothing at the default one, and no measurement chooses it, or weights would depend on
    the moment. `compiled` fuses kernels, at the price of half a minute before the first step.
    """

    max_steps: int = 1_200
    members: int = 3
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    clip: float = 1.0
    check_every: int = 25
    patience: int = 6
    seed: int = 1
    precision: str = "float32"
    compiled: bool = False

    @property
    def networks(self) -> int:
        """Members that there are steps for."""
        return max(1, min(self.members, self.max_steps))

    @property
    def member_steps(self) -> int:
        """Steps that each of them may take."""
        return self.max_steps // self.networks

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _nothing(*_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a caller may attach to the loop; all of it optional.

    `prepare` wraps the module for several workers, `rank` tells this one from the others, `on_progress` gets (steps of
    all members so far, training loss, validation loss) after each check, and `on_checkpoint` a `State` after every
    `checkpoint_every` of them and at the end of each member.
    """

    prepare: Callable[[torch.nn.Module], torch.nn.Module] = lambda module: module
    should_stop: Callable[[], bool] = lambda: False
    on_progress: Callable[[int, float, float], None] = _nothing
    on_checkpoint: Callable[[State], None] = _nothing
    checkpoint_every: int = 1
    rank: int = 0


def train(
    lesson: Lesson,
    shape: NetworkConfig,
    config: TrainingConfig,
    device: str = "cpu",
    hooks: Hooks | None = None,
    resume_from: State | None = None,
) -> Trained:
    """Train the members and return the weights of each that did best on the validation span.

    The same seed, data and device give the same weights, also when a run was interrupted and resumed.
    """
    with torch.random.fork_rng():
        windows, validation = lesson.sources(shape, device)
        setting = _Setting(lesson, windows, validation.all(), shape, config, device, hooks or Hooks())
        state = _Learner(setting, resume_from.finished if resume_from else (), resume_from).run()
        while len(state.finished) + 1 < config.networks and not setting.hooks.should_stop():
            state = _Learner(setting, (*state.finished, state.best), None).run()
        return trained_of(state)


def pinball(target: torch.Tensor, quantiles: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the mean pinball loss of quantiles (n, horizon, 9), each window and step weighted by what it is worth."""
    loss: torch.Tensor = _Pinball.apply(target, quantiles, weight / (weight.sum() * quantiles.shape[-1]))  # type: ignore[no-untyped-call]
    return loss


class _Pinball(torch.autograd.Function):
    """The sum of pinball losses, each times its share (n, horizon); its gradient is known as soon as the loss is."""

    @staticmethod
    def forward(ctx: Any, target: torch.Tensor, quantiles: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        error = target.unsqueeze(-1) - quantiles
        probabilities = torch.tensor(QUANTILES, dtype=quantiles.dtype, device=quantiles.device)
        slope = ((error < 0).to(error.dtype) - probabilities) * share.unsqueeze(-1)
        ctx.save_for_backward(slope)
        return -(slope * error).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor, None]:
        (slope,) = ctx.saved_tensors
        return None, slope * gradients[0], None


@dataclass(frozen=True, slots=True, eq=False)
class _Setting:
    """What all members share."""

    lesson: Lesson
    windows: Source
    validation: Batch
    shape: NetworkConfig
    config: TrainingConfig
    device: str
    hooks: Hooks


class _Learner:
    """One member at work: what is fixed lies in the setting, what changes in the module, the optimiser and `_best`."""

    def __init__(self, setting: _Setting, finished: tuple[Member, ...], resume_from: State | None) -> None:
        self._setting, self._finished = setting, finished
        config = self._config = setting.config
        built = network.build(setting.shape, setting.device, config.seed + 1_000 * len(finished))
        self._module = setting.hooks.prepare(Direct(built, setting.shape))
        self._forward = torch.compile(self._module) if config.compiled else self._module
        self._optimizer = torch.optim.AdamW(
            self._module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, max_lr=config.learning_rate, total_steps=config.member_steps + 1
        )
        self._step = 0
        self._prior_loss = _agreed(self._validate(), setting.device)
        self._best = Member(network.weights_of(self._module), 0, 0, self._prior_loss)
        if resume_from:
            self._restore(resume_from)

    def run(self) -> State:
        """Train until nothing gets better, nothing is left, or somebody says stop."""
        while not self._over():
            if self._setting.hooks.should_stop():
                break
            self._step += 1
            loss = self._learn()
            if self._step % self._config.check_every == 0 or self._step == self._config.member_steps:
                self._check(float(loss))
        return self._state()

    def _learn(self) -> torch.Tensor:
        generator = np.random.default_rng(self._key(self._step))
        torch.manual_seed(int(generator.integers(2**62)))
        batch = self._setting.windows.drawn(self._config.batch, generator)
        self._module.train()
        loss = self._loss(batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._module.parameters(), self._config.clip)
        self._optimizer.step()
        self._schedule.step()
        return loss.detach()

    def _check(self, train_loss: float) -> None:
        loss = _agreed(self._validate(), self._setting.device)
        if loss < self._best.loss:
            self._best = Member(network.weights_of(self._module), self._step, self._step, loss)
        state = self._state()
        hooks, checks = self._setting.hooks, self._step // self._config.check_every
        hooks.on_progress(state.steps, train_loss, loss)
        if self._over() or checks % hooks.checkpoint_every == 0:
            hooks.on_checkpoint(state)

    def _over(self) -> bool:
        patience = self._config.patience * self._config.check_every
        return self._step >= self._config.member_steps or self._step - self._best.best_step >= patience

    def _validate(self) -> float:
        self._module.eval()
        with torch.inference_mode():
            return float(self._loss(self._setting.validation))

    def _loss(self, batch: Batch) -> torch.Tensor:
        with self._autocast():
            answer = self._forward(batch.path, batch.mask, batch.regime)
        return pinball(batch.target, self._setting.lesson.quantiles(answer.float()), batch.weight)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self._config.precision == "float32":
            return contextlib.nullcontext()
        kind = torch.device(self._setting.device).type
        return torch.autocast(kind, dtype=getattr(torch, self._config.precision))

    def _state(self) -> State:
        best = Member(self._best.weights, self._step, self._best.best_step, self._best.loss)
        return State(
            self._finished,
            best,
            self._step,
            self._prior_loss,
            network.weights_of(self._module),
            self._optimizer.state_dict(),
            self._schedule.state_dict(),
        )

    def _restore(self, state: State) -> None:
        network.with_weights(self._module, state.weights)
        self._optimizer.load_state_dict(state.optimizer)
        self._schedule.load_state_dict(state.schedule)
        self._best, self._step, self._prior_loss = state.best, state.step, state.prior_loss

    def _key(self, step: int) -> tuple[int, ...]:
        return (self._config.seed, len(self._finished), self._setting.hooks.rank, step)


def _agreed(loss: float, device: str) -> float:
    """Return the mean over all workers: one that stopped a check before the others would leave them waiting."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return loss
    shared = torch.tensor([loss], dtype=torch.float64, device=device)
    torch.distributed.all_reduce(shared)
    return float(shared[0]) / torch.distributed.get_world_size()
