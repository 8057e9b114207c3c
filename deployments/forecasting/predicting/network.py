"""NHITS as a plain torch module: neuralforecast's network, without its trainer, its loader and its predict."""

import contextlib
import logging
import random
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from deployments.forecasting.quantiles import QUANTILES

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The shape of the network: three stacks, the first for slow movements, the last for every bar.

    `regimes` counts the numbers per window that say what regime the market is in (NHITS's static exogenous inputs).
    `quantiles`, ascending, are those that the network itself answers; what lies between or beyond follows (`on_grid`).
    """

    input_size: int = 48
    horizon: int = 24
    regimes: int = 18
    width: int = 128
    pooling: tuple[int, ...] = (4, 2, 1)
    downsampling: tuple[int, ...] = (12, 4, 1)
    dropout: float = 0.4
    quantiles: tuple[float, ...] = QUANTILES

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold and `from_dict` takes."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "NetworkConfig":
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in config.items()
        }
        return cls(**fields)


class _Library(NamedTuple):
    """What of neuralforecast is used."""

    NHITS: Any
    MQLoss: Any


def _library() -> _Library:
    """Import neuralforecast at first use: it imports Ray Tune, and this module has to import where Ray is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from neuralforecast.losses.pytorch import MQLoss
        from neuralforecast.models import NHITS
    return _Library(NHITS, MQLoss)


def build(config: NetworkConfig, device: str = "cpu", seed: int = 1) -> torch.nn.Module:
    """Return a fresh network on `device` that answers zero: inner weights from `seed`, output layers empty.

    So training starts from what its answer is added to, not from noise around it.
    """
    with _own_randomness(), _quiet():
        module = _library().NHITS(**arguments(config), random_seed=seed)
    for block in module.blocks:
        torch.nn.init.zeros_(block.layers[-1].weight)
        torch.nn.init.zeros_(block.layers[-1].bias)
    moved: torch.nn.Module = module.to(device)
    return moved


def arguments(config: NetworkConfig) -> dict[str, Any]:
    """Return the arguments of `neuralforecast.models.NHITS` for this shape."""
    stacks = len(config.pooling)
    return {
        "h": config.horizon,
        "input_size": config.input_size,
        "stat_exog_list": [f"regime{number}" for number in range(config.regimes)],
        "loss": _library().MQLoss(quantiles=list(config.quantiles)),
        "stack_types": stacks * ["identity"],
        "n_blocks": stacks * [1],
        "mlp_units": 2 * [[config.width, config.width]],
        "n_pool_kernel_size": list(config.pooling),
        "n_freq_downsample": list(config.downsampling),
        "dropout_prob_theta": config.dropout,
        "scaler_type": "identity",
        # Left out, the library takes every accelerator that it sees.
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


def forward(
    module: torch.nn.Module, path: torch.Tensor, mask: torch.Tensor, regime: torch.Tensor | None
) -> torch.Tensor:
    """Return the nine quantiles of every step, (n, horizon, 9), in the library's own order (see `ascending_order`).

    `path` and `mask` (n, input_size), 1 where a bar is known, and `regime` (n, regimes) lie on the module's device.
    """
    answer: torch.Tensor = module(
        {
            "insample_y": path.unsqueeze(-1),
            "insample_mask": mask.unsqueeze(-1),
            "futr_exog": None,
            "hist_exog": None,
            "stat_exog": regime,
        }
    )
    return answer


def ascending_order(module: torch.nn.Module) -> torch.Tensor:
    """Return the index that puts the network's outputs into the order of `QUANTILES`; the library may have another."""
    quantiles: torch.Tensor = _inner(module).loss.quantiles
    return torch.argsort(quantiles.detach())


def on_grid(config: NetworkConfig) -> torch.Tensor:
    """Return the matrix (own quantiles, 9) that turns the network's ascending answer into one for each of `QUANTILES`.

    Linear in the normal score between its own quantiles, like the outermost beyond them.
    """
    own, grid = ([NormalDist().inv_cdf(each) for each in quantiles] for quantiles in (config.quantiles, QUANTILES))
    rows = [np.interp(grid, own, unit) for unit in np.eye(len(own))]
    return torch.from_numpy(np.array(rows, dtype=np.float32))


def weights_of(module: torch.nn.Module) -> Tensors:
    """Return a copy of the weights by name as numpy arrays."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in _inner(module).blocks.state_dict().items()}


def with_weights(module: torch.nn.Module, weights: Tensors) -> torch.nn.Module:
    """Put weights of `weights_of` into the module; a missing, foreign or misshapen one raises `RuntimeError`."""
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    _inner(module).blocks.load_state_dict(tensors, strict=True)
    return module


def blocks_of(module: torch.nn.Module) -> Any:
    """Return the network's blocks in the order that they read in."""
    return _inner(module).blocks


def _inner(module: torch.nn.Module) -> Any:
    """Return the network itself where it is wrapped for several workers."""
    return getattr(module, "module", module)


@contextlib.contextmanager
def _own_randomness() -> Iterator[None]:
    """Keep the library from reseeding the generators of the whole process."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Lightning says about a trainer that we never start."""
    loggers = [
        logging.getLogger(name)
        for name in (
            "lightning.fabric.utilities.seed",
            "lightning_fabric.utilities.seed",
            "pytorch_lightning.utilities.rank_zero",
        )
    ]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
