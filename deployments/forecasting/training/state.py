"""Where a training run stands: the networks it has finished, and the one that it works on. Written without pickle."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deployments.forecasting.predicting.network import Tensors


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One trained network: its best weights, how many steps it took, which of them was best, and its loss there."""

    weights: Tensors
    steps: int
    best_step: int
    loss: float


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where a run stands, complete enough to go on from: `on_checkpoint` gets it, `resume_from` takes it.

    `finished` are the members before the one that is being trained, `best` that one as it did best so far. No random
    state is kept: every step draws from a generator of its own, made of seed, member, rank and step.
    """

    finished: tuple[Member, ...]
    best: Member
    step: int
    prior_loss: float
    weights: Tensors
    optimizer: dict[str, Any]
    schedule: dict[str, Any]

    @property
    def steps(self) -> int:
        """Steps taken by all members."""
        return sum(member.steps for member in self.finished) + self.step

    @property
    def best_loss(self) -> float:
        """The members' mean loss, each at its best."""
        return float(np.mean([member.loss for member in (*self.finished, self.best)]))


@dataclass(frozen=True, slots=True)
class Trained:
    """The best weights of each member and how they were found: steps of all, the rest on average."""

    members: tuple[Tensors, ...]
    steps: int
    best_step: int
    validation_loss: float
    prior_loss: float


def trained_of(state: State) -> Trained:
    """Return the best that a run had found when it stood at `state`."""
    members = (*state.finished, state.best)
    return Trained(
        tuple(member.weights for member in members),
        state.steps,
        round(float(np.mean([member.best_step for member in members]))),
        state.best_loss,
        state.prior_loss,
    )


def save_state(state: State, path: Path) -> None:
    """Write a state in torch's format, tensors and plain values only."""
    fields = {
        **{name: getattr(state, name) for name in ("step", "prior_loss", "optimizer", "schedule")},
        "finished": [_plain(member) for member in state.finished],
        "best": _plain(state.best),
        "weights": _torch(state.weights),
    }
    torch.save(fields, path)


def load_state(path: Path) -> State:
    """Read a state; anything in the file that is not a tensor or a plain value is refused."""
    fields = torch.load(path, map_location="cpu", weights_only=True)
    fields["finished"] = tuple(_member(each) for each in fields["finished"])
    fields["best"], fields["weights"] = _member(fields["best"]), _numpy(fields["weights"])
    return State(**fields)


def _plain(member: Member) -> dict[str, Any]:
    return {
        **{name: getattr(member, name) for name in ("steps", "best_step", "loss")},
        "weights": _torch(member.weights),
    }


def _member(fields: dict[str, Any]) -> Member:
    return Member(**{**fields, "weights": _numpy(fields["weights"])})


def _torch(weights: Tensors) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in weights.items()}


def _numpy(weights: dict[str, torch.Tensor]) -> Tensors:
    return {name: tensor.numpy() for name, tensor in weights.items()}
