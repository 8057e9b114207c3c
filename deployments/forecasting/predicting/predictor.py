"""A trained model at work: what is known of a market in, log-price quantiles out."""

from typing import Any

import numpy as np
import torch

from deployments.common.errors import DamagedModel
from deployments.forecasting.predicting.baselines import ewma_quantiles_after
from deployments.forecasting.predicting.calibration import Calibration, calibrated, stretched
from deployments.forecasting.predicting.ensemble import Ensemble
from deployments.forecasting.predicting.layers import layers_of
from deployments.forecasting.predicting.network import NetworkConfig, Tensors
from deployments.forecasting.predicting.recipe import Inputs, Prior, Seasons, inputs_of, quantiles_of
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.scale import HISTORY_BARS, REGIMES, ScaleFit
from deployments.forecasting.series.windows import Past

FORMAT = 2
"""What tensors and configuration mean. Format 1 read closes alone; its artefacts are refused, not misread."""

NETWORK_PREFIX = "network."


class Predictor:
    """Forecast with the tensors and the configuration of one artefact on one device.

    Immutable once built, so any number of threads may call it at once. `history_bars` bars are worth passing: fewer,
    down to `input_size`, still answer, with a volatility estimated on what there is.
    """

    def __init__(self, tensors: Tensors, config: dict[str, Any], device: str = "cpu") -> None:
        """Raises `DamagedModel` when tensors and configuration do not make a model."""
        self._device = device
        if config.get("format") != FORMAT:
            found = config.get("format", 1)
            raise DamagedModel(f"the artefact has format {found} and this version reads format {FORMAT}: train anew")
        try:
            self._shape = NetworkConfig.from_dict(config["network"])
            modules = [
                layers_of(self._shape, weights, device)
                for weights in _members(tensors, int(config["training"]["members"]))
            ]
            self._ensemble = Ensemble(modules, self._shape)
            self._prior = _prior(tensors, tuple(config["calendars"]))
            self._calibration = _calibration(tensors)
            _check(self._shape, self._prior, self._calibration)
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            raise DamagedModel(f"the artefact is not a model of this version: {error}") from error

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

    def quantiles(self, past: Past) -> FloatArray:
        """Return log-price quantiles (n, horizon, 9), ascending, for at least `input_size` bars each.

        Raises `ValueError` for fewer bars, fewer hours ahead than the horizon, or a value that is not finite.
        """
        self._check_past(past)
        own = self._own_quantiles(past, self._calibration.share)
        if self._calibration.blend == 1:
            return stretched(own, self._calibration.stretch)  # the baseline has no part in it
        baseline = ewma_quantiles_after(past.last, past.moves, self.horizon)
        return calibrated(own, baseline, self._calibration)

    def raw_quantiles(self, past: Past) -> FloatArray:
        """Return what the network says, before calibration and without the baseline's part."""
        return self._own_quantiles(past, 1.0)

    def prior_quantiles(self, past: Past) -> FloatArray:
        """Return what volatility alone says: the baseline that the network corrects."""
        inputs = inputs_of(past, self._prior, 1)
        return quantiles_of(past.last, inputs.scale, self._prior.levels, np.zeros((1, 1, 1)))

    def correction(self, inputs: Inputs) -> FloatArray:
        """Return the networks' mean output (n, horizon, 9) in the order of `QUANTILES`."""
        with torch.inference_mode():
            path, mask, regime = (
                torch.from_numpy(each).to(self._device) for each in (inputs.path, inputs.mask, inputs.regime)
            )
            result: FloatArray = self._ensemble(path, mask, regime).cpu().numpy().astype(np.float64)
        return result

    def _own_quantiles(self, past: Past, share: float) -> FloatArray:
        inputs = inputs_of(past, self._prior, self.input_size)
        return quantiles_of(past.last, inputs.scale, self._prior.levels, self.correction(inputs), share)

    def _check_past(self, past: Past) -> None:
        bars, steps = past.log_closes.shape[1], past.coming.shape[1]
        if bars < self.input_size or steps < self.horizon:
            needed = f"{self.input_size} bars and {self.horizon} hours ahead"
            raise ValueError(f"a forecast needs {needed}, not {bars} and {steps}")
        if not (np.isfinite(past.log_closes).all() and np.isfinite(past.variances).all()):
            raise ValueError("log closes and variances must be finite")


def tensors_of(members: tuple[Tensors, ...], prior: Prior, calibration: Calibration) -> Tensors:
    """Return everything that `Predictor` reads, by name, as an artefact stores it."""
    networks = {
        f"{NETWORK_PREFIX}{index}.{name}": tensor
        for index, weights in enumerate(members)
        for name, tensor in weights.items()
    }
    return {
        **networks,
        "season.factors": prior.seasons.factors,
        "scale.centre": prior.fit.centre,
        "scale.spread": prior.fit.spread,
        "scale.weights": prior.fit.weights,
        "prior.levels": prior.levels,
        "calibration.stretch": calibration.stretch,
        "calibration.blend": np.array([calibration.blend]),
        "calibration.share": np.array([calibration.share]),
    }


def _members(tensors: Tensors, count: int) -> list[Tensors]:
    prefixes = [f"{NETWORK_PREFIX}{index}." for index in range(count)]
    return [
        {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)} for prefix in prefixes
    ]


def _prior(tensors: Tensors, calendars: tuple[str, ...]) -> Prior:
    fit = ScaleFit(*(_floats(tensors, f"scale.{name}") for name in ("centre", "spread", "weights")))
    return Prior(Seasons(calendars, _floats(tensors, "season.factors")), fit, _floats(tensors, "prior.levels"))


def _calibration(tensors: Tensors) -> Calibration:
    blend = float(_floats(tensors, "calibration.blend")[0])
    # Artefacts of older releases know no share: their networks spoke alone.
    share = float(_floats(tensors, "calibration.share")[0]) if "calibration.share" in tensors else 1.0
    return Calibration(_floats(tensors, "calibration.stretch"), blend, share)


def _check(shape: NetworkConfig, prior: Prior, calibration: Calibration) -> None:
    """Raise `ValueError` where parts that load do not belong together."""
    grid = (shape.horizon, prior.levels.shape[-1])
    fitting = (
        shape.regimes == REGIMES,
        prior.levels.shape == calibration.stretch.shape == grid,
        prior.fit.weights.shape == (shape.horizon, 1 + REGIMES),
        prior.fit.centre.shape == prior.fit.spread.shape == (REGIMES,),
        len(prior.seasons.factors) == len(prior.seasons.calendars),
    )
    if not all(fitting):
        raise ValueError("its parts do not fit each other")


def _floats(tensors: Tensors, name: str) -> FloatArray:
    return np.asarray(tensors[name], dtype=np.float64)
