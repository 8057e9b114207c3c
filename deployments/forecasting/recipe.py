"""How NHITS is used here: as a correction on the quantiles that volatility alone implies.

The network reads the price path in units of its expected scale and says how each quantile differs from the pooled one;
the answer is scaled back. So an untrained network already forecasts what volatility knows, a trained one can only
add to it, and prices of any size look alike.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deployments.forecasting.quantiles import QUANTILES, FloatArray
from deployments.forecasting.scale import fit_scale, plain_scale, ratios, scales, variances
from deployments.forecasting.windows import Windows

HISTORY_BARS = 512
"""Bars that a forecast reads: three half-lives of the longest memory of volatility."""

CORRECTION = 0.1
"""What one unit of the network's output is worth in scales: prices have little to learn, so it starts small."""

PATH_LIMIT = 30.0

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """What volatility alone says: `weights` (horizon, 4) of the scale and `levels` (horizon, 9) in units of it."""

    weights: FloatArray
    levels: FloatArray

    @property
    def horizon(self) -> int:
        return len(self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What the network reads, and the scale (n, horizon) that its answer is in units of."""

    path: Singles
    regime: Singles
    scale: FloatArray


def fit_prior(windows: Windows) -> Prior:
    """Fit the scale, then the quantiles of the moves in units of it, pooled over symbols.

    The quantiles are symmetric: a trend of the training years would not last, and fewer unknowns mean less noise.
    """
    weights = fit_scale(windows)
    standard = windows.moves / scales(variances(windows.history), weights)
    levels = np.quantile(np.concatenate([standard, -standard]), QUANTILES, axis=0).T
    return Prior(weights, levels)


def inputs_of(history: FloatArray, prior: Prior, input_size: int) -> Inputs:
    """Turn log closes (n, at least input_size) into what the network reads; only the newest `HISTORY_BARS` count."""
    read = history[:, -HISTORY_BARS:]
    variance = variances(read)
    unit = plain_scale(variance, prior.horizon)[:, -1:]
    path = np.clip((read[:, -input_size:] - read[:, -1:]) / unit, -PATH_LIMIT, PATH_LIMIT)
    return Inputs(path.astype(np.float32), ratios(variance).astype(np.float32), scales(variance, prior.weights))


def quantiles_of(
    last: FloatArray, scale: FloatArray, levels: FloatArray, correction: npt.NDArray[np.floating]
) -> FloatArray:
    """Return log-price quantiles (n, horizon, 9), ascending, from the network's `correction` of the same shape.

    `last` (n,) is the last log close. Networks cross quantiles; sorting never makes the pinball loss worse.
    """
    standard = np.sort(levels + CORRECTION * correction.astype(np.float64), axis=-1)
    result: FloatArray = last[:, None, None] + scale[..., None] * standard
    return result
