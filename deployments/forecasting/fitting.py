"""From a panel to a model with scores: the steps of a training run, each a plain function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.common.errors import TooLittleHistory
from deployments.forecasting.baselines import ewma_quantiles, naive_scale
from deployments.forecasting.calibration import Calibration, Sample, calibrate
from deployments.forecasting.evaluation import Scores, score
from deployments.forecasting.network import NetworkConfig, Tensors
from deployments.forecasting.panel import Panel, Positions, Span, origins_in, spans_of
from deployments.forecasting.predictor import Predictor, tensors_of
from deployments.forecasting.quantiles import QUANTILES, FloatArray
from deployments.forecasting.recipe import HISTORY_BARS, fit_prior
from deployments.forecasting.training import Hooks, Material, Trained, TrainingConfig, train
from deployments.forecasting.windows import Windows, spread, windows_at

PRIOR_WINDOWS = 20_000
SCORED_WINDOWS = 8_000
CHUNK = 1_000
"""Windows forecast at once: 512 bars each, so a chunk stays within a few megabytes."""

MIN_WINDOWS = 64
"""Windows that each span needs before anything measured on it means anything."""

Forecaster = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What `Predictor` takes, and how training went."""

    tensors: Tensors
    config: dict[str, Any]
    trained: Trained

    def predictor(self, device: str = "cpu") -> Predictor:
        return Predictor(self.tensors, self.config, device)


@dataclass(frozen=True, slots=True)
class Contest:
    """Scores on the same windows of the test span; no champion before the first promotion."""

    candidate: Scores
    baseline: Scores
    champion: Scores | None


def fit(
    panel: Panel,
    shape: NetworkConfig,
    config: TrainingConfig,
    device: str = "cpu",
    hooks: Hooks | None = None,
) -> Fitted:
    """Train and calibrate on one process; raises `TooLittleHistory`."""
    material = material_of(panel, shape)
    return finished(material, train(material, shape, config, device, hooks), shape, config, device)


def material_of(panel: Panel, shape: NetworkConfig) -> Material:
    """Cut the panel and fit what volatility alone says on its training span.

    Raises `TooLittleHistory` when a span holds too few windows to learn from or to measure on.
    """
    spans = spans_of(panel)
    for span in (spans.train, spans.validation, spans.calibration, spans.test):
        _check(panel, span, shape)
    train_origins = _origins(panel, spans.train, shape)
    prior = fit_prior(_windows(panel, spread(train_origins, PRIOR_WINDOWS), shape))
    return Material(panel, train_origins, _origins(panel, spans.validation, shape), prior)


def finished(
    material: Material, trained: Trained, shape: NetworkConfig, config: TrainingConfig, device: str = "cpu"
) -> Fitted:
    """Calibrate trained weights on the validation and calibration spans and return the whole artefact."""
    settings = config_of(material.panel, shape, config)
    identity = Calibration(np.ones((shape.horizon, len(QUANTILES))), 1.0)
    raw = Predictor(tensors_of(trained.weights, material.prior, identity), settings, device)
    spans = spans_of(material.panel)
    earlier, later = (_sample(material.panel, span, raw, shape) for span in (spans.validation, spans.calibration))
    return Fitted(tensors_of(trained.weights, material.prior, calibrate(earlier, later)), settings, trained)


def contest(panel: Panel, candidate: Predictor, shape: NetworkConfig, champion: Predictor | None = None) -> Contest:
    """Score the candidate on the test span beside the EWMA baseline and the champion, all on the same windows."""
    windows = scored_windows(panel, spans_of(panel).test, shape)
    return Contest(
        _scores(candidate.quantiles, windows),
        _scores(baseline_of(shape.horizon), windows),
        _scores(champion.quantiles, windows) if champion else None,
    )


def config_of(panel: Panel, shape: NetworkConfig, config: TrainingConfig) -> dict[str, Any]:
    """Return what a card says of how a model was made, in JSON's own types."""
    return {
        "network": shape.as_dict(),
        "training": config.as_dict(),
        "history_bars": HISTORY_BARS,
        "quantiles": list(QUANTILES),
        "data_sha256": panel.fingerprint,
        "bars": len(panel.log_closes),
    }


def scored_windows(panel: Panel, span: Span, shape: NetworkConfig) -> Windows:
    """Return the windows of a span that anything is measured on, evenly spread over symbols and time."""
    return _windows(panel, spread(_origins(panel, span, shape), SCORED_WINDOWS), shape)


def forecast_all(forecaster: Forecaster, history: FloatArray) -> FloatArray:
    """Forecast many windows in chunks."""
    return np.concatenate([forecaster(history[start : start + CHUNK]) for start in range(0, len(history), CHUNK)])


def baseline_of(horizon: int) -> Forecaster:
    """Return the EWMA baseline as something that forecasts."""
    return lambda history: ewma_quantiles(history, horizon)


def _scores(forecaster: Forecaster, windows: Windows) -> Scores:
    quantiles = forecast_all(forecaster, windows.history)
    return score(windows.future, quantiles, windows.history[:, -1], naive_scale(windows.history))


def _sample(panel: Panel, span: Span, raw: Predictor, shape: NetworkConfig) -> Sample:
    windows = scored_windows(panel, span, shape)
    model = forecast_all(raw.raw_quantiles, windows.history)
    return Sample(windows.future, model, forecast_all(baseline_of(shape.horizon), windows.history))


def _origins(panel: Panel, span: Span, shape: NetworkConfig) -> Positions:
    return origins_in(panel, span, HISTORY_BARS, shape.horizon)


def _windows(panel: Panel, origins: Positions, shape: NetworkConfig) -> Windows:
    return windows_at(panel, origins, HISTORY_BARS, shape.horizon)


def _check(panel: Panel, span: Span, shape: NetworkConfig) -> None:
    have = len(_origins(panel, span, shape))
    if have < MIN_WINDOWS:
        bars = len(panel.log_closes)
        need = bars + 10 * (MIN_WINDOWS - have)
        raise TooLittleHistory(
            f"{bars} bars of {len(panel.symbols)} symbols leave {have} windows between "
            f"{np.datetime_as_string(span.start, 'm')} and {np.datetime_as_string(span.end, 'm')}, "
            f"{MIN_WINDOWS} are needed",
            bars,
            need,
        )
