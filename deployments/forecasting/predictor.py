"""A trained model at work: log closes in, log-price quantiles out."""

from typing import Any

import numpy as np
import torch

from deployments.common.errors import DamagedModel
from deployments.forecasting import network
from deployments.forecasting.baselines import ewma_quantiles
from deployments.forecasting.calibration import Calibration, calibrated
from deployments.forecasting.network import NetworkConfig, Tensors
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.recipe import HISTORY_BARS, Inputs, Prior, inputs_of, quantiles_of

NETWORK_PREFIX = "network."


class Predictor:
    """Forecast with the tensors and the configuration of one artefact on one device.

    Immutable once built, so any number of threads may call it at once. `history_bars` bars are worth passing: fewer,
    down to `input_size`, still answer, with a volatility estimated on what there is.
    """

    def __init__(self, tensors: Tensors, config: dict[str, Any], device: str = "cpu") -> None:
        """Raises `DamagedModel` when tensors and configuration do not make a model."""
        self._device = device
        try:
            self._shape = NetworkConfig.from_dict(config["network"])
            self._module = network.with_weights(network.build(self._shape, device), _weights(tensors)).eval()
            self._prior = Prior(_floats(tensors, "prior.weights"), _floats(tensors, "prior.levels"))
            blend = float(_floats(tensors, "calibration.blend")[0])
            self._calibration = Calibration(_floats(tensors, "calibration.stretch"), blend)
        except (KeyError, TypeError, RuntimeError) as error:
            raise DamagedModel(f"the artefact is not a model of this version: {error}") from error
        self._order = network.ascending_order(self._module)

    @property
    def input_size(self) -> int:
        """Bars that a forecast needs at least."""
        return self._shape.input_size

    @property
    def horizon(self) -> int:
        """Steps that it answers."""
        return self._shape.horizon

    @property
    def history_bars(self) -> int:
        """Bars beyond which older ones change nothing."""
        return max(HISTORY_BARS, self._shape.input_size)

    def quantiles(self, log_closes: FloatArray) -> FloatArray:
        """Return log-price quantiles (n, horizon, 9), ascending, for log closes (n, at least input_size) without NaN.

        Raises `ValueError` for another shape or a value that is not finite.
        """
        history = _checked(log_closes, self.input_size)[:, -self.history_bars :]
        raw = self.raw_quantiles(history)
        return calibrated(raw, ewma_quantiles(history, self.horizon), self._calibration)

    def raw_quantiles(self, history: FloatArray) -> FloatArray:
        """Return what the network says, before calibration and without the baseline's part."""
        inputs = inputs_of(history, self._prior, self.input_size)
        return quantiles_of(history[:, -1], inputs.scale, self._prior.levels, self.correction(inputs))

    def correction(self, inputs: Inputs) -> FloatArray:
        """Return the network's own output (n, horizon, 9) in the order of `QUANTILES`, from one forward pass."""
        with torch.inference_mode():
            path = torch.from_numpy(inputs.path).to(self._device)
            regime = torch.from_numpy(inputs.regime).to(self._device)
            answer = network.forward(self._module, path, regime)[..., self._order]
            result: FloatArray = answer.cpu().numpy().astype(np.float64)
        return result


def tensors_of(weights: Tensors, prior: Prior, calibration: Calibration) -> Tensors:
    """Return everything that `Predictor` reads, by name, as an artefact stores it."""
    return {
        **{f"{NETWORK_PREFIX}{name}": tensor for name, tensor in weights.items()},
        "prior.weights": prior.weights,
        "prior.levels": prior.levels,
        "calibration.stretch": calibration.stretch,
        "calibration.blend": np.array([calibration.blend]),
    }


def _weights(tensors: Tensors) -> Tensors:
    return {name.removeprefix(NETWORK_PREFIX): tensors[name] for name in tensors if name.startswith(NETWORK_PREFIX)}


def _floats(tensors: Tensors, name: str) -> FloatArray:
    return np.asarray(tensors[name], dtype=np.float64)


def _checked(log_closes: FloatArray, need: int) -> FloatArray:
    if log_closes.ndim != 2 or log_closes.shape[1] < need:
        raise ValueError(f"log closes have shape (series, at least {need} bars), not {log_closes.shape}")
    if not np.isfinite(log_closes).all():
        raise ValueError("log closes must be finite")
    return log_closes
