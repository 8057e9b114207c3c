"""From a panel to a model with scores: the steps of a training run, each a plain function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from deployments.common.errors import TooLittleHistory
from deployments.forecasting.judging.evaluation import Scores, score
from deployments.forecasting.predicting.baselines import (
    drift_quantiles,
    ewma_quantiles,
    naive_deviation,
    naive_scale,
    seasonal_naive_quantiles,
)
from deployments.forecasting.predicting.calibration import Calibration, Sample, calibrate, horizons_of
from deployments.forecasting.predicting.network import NetworkConfig, Tensors
from deployments.forecasting.predicting.predictor import FORMAT, Predictor, tensors_of
from deployments.forecasting.predicting.recipe import RECENT, Prior, fit_prior, fit_seasons
from deployments.forecasting.quantiles import QUANTILES, FloatArray
from deployments.forecasting.series.panel import MIN_WINDOWS, SHARES, Panel, Positions, Span, origins_in, spans_of
from deployments.forecasting.series.scale import HISTORY_BARS, ScaleFit
from deployments.forecasting.series.season import season_bars
from deployments.forecasting.series.windows import Past, Windows, spread, windows_at
from deployments.forecasting.training.lesson import Material
from deployments.forecasting.training.loop import Hooks, TrainingConfig, train
from deployments.forecasting.training.state import Trained

PRIOR_WINDOWS = 20_000
SCORED_WINDOWS = 8_000
SEASONAL = "seasonal_naive"
CHUNK = 512
"""Windows forecast at once: 1,024 bars each, so a chunk stays within a few dozen megabytes."""

MIN_HISTORY_BARS = 336
"""Bars before the first window of a symbol: two weeks, so that every hour of the week has been seen twice."""

Shares = tuple[float, float, float]

Forecaster = Callable[[Past], FloatArray]


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
    """Scores on the same windows of the test span; no champion before the first promotion.

    `baseline` is the one that serves where no model does, `others` are further baselines by name.
    """

    candidate: Scores
    baseline: Scores
    champion: Scores | None
    others: Mapping[str, Scores] = field(default_factory=dict)


def fit(
    panel: Panel,
    shape: NetworkConfig,
    config: TrainingConfig,
    device: str = "cpu",
    hooks: Hooks | None = None,
    shares: Shares = SHARES,
) -> Fitted:
    """Train and calibrate on one process; raises `TooLittleHistory`."""
    material = material_of(panel, shape, shares)
    return finished(material, train(material, shape, config, device, hooks), shape, config, device, shares)


def material_of(panel: Panel, shape: NetworkConfig, shares: Shares = SHARES) -> Material:
    """Cut the panel and fit what volatility alone says on its training span.

    Raises `TooLittleHistory` when a span holds too few windows to learn from or to measure on.
    """
    spans = spans_of(panel, shares)
    for span in (spans.train, spans.validation, spans.calibration, spans.test):
        _check(panel, span, shape)
    origins, prior = origins_of(panel, spans.train, shape), _prior(panel, spans.train, shape)
    return Material(panel, origins, origins_of(panel, spans.validation, shape), prior)


def finished(
    material: Material,
    trained: Trained,
    shape: NetworkConfig,
    config: TrainingConfig,
    device: str = "cpu",
    shares: Shares = SHARES,
) -> Fitted:
    """Renew the scale, calibrate on the validation and calibration spans, and return the whole artefact.

    Season and scale have few unknowns: fitted once more on everything before the test span they take in the newest
    market, with hardly anything to overfit. The network's corrections stay as they were learnt, and so do the levels:
    those of the newest bars follow its calm spells, and leave intervals too narrow for the next storm.
    """
    settings = config_of(material, trained, shape, config)
    spans, panel = spans_of(material.panel, shares), material.panel
    renewed = _prior(panel, Span(spans.train.start, spans.calibration.end), shape, material.prior.fit)
    prior = replace(renewed, levels=material.prior.levels)
    identity = Calibration(np.ones((shape.horizon, len(QUANTILES))), 1.0)
    raw = Predictor(tensors_of(trained.members, prior, identity), settings, device)
    earlier, later = (_sample(panel, span, raw, shape) for span in (spans.validation, spans.calibration))
    return Fitted(tensors_of(trained.members, prior, calibrate(earlier, later)), settings, trained)


def contest(
    panel: Panel,
    candidate: Predictor,
    shape: NetworkConfig,
    champion: Predictor | None = None,
    shares: Shares = SHARES,
) -> Contest:
    """Score the candidate on the test span beside every baseline and the champion, all on the same windows."""
    return contest_in(panel, spans_of(panel, shares).test, candidate, shape, champion)


def contest_in(
    panel: Panel, span: Span, candidate: Predictor, shape: NetworkConfig, champion: Predictor | None = None
) -> Contest:
    """Score forecasters on the same windows of any span."""
    origins = scored_origins(panel, span, shape)
    windows, times, symbols = _windows(panel, origins, shape), panel.times[origins], panel.symbols_at(origins)
    scale, deviation = (naive(windows.history, windows.past.known) for naive in (naive_scale, naive_deviation))

    def scored(quantiles: FloatArray) -> Scores:
        return score(windows.future, quantiles, windows.past.last, scale, times, symbols, deviation)

    def scores(forecaster: Forecaster) -> Scores:
        return scored(forecast_all(forecaster, windows.past))

    return Contest(
        scores(candidate.quantiles),
        scores(baseline_of(shape.horizon)),
        scores(champion.quantiles) if champion else None,
        {name: scores(forecaster) for name, forecaster in baselines_beside(candidate).items()}
        | {SEASONAL: scored(seasonal_in(panel, origins, shape.horizon))},
    )


def config_of(material: Material, trained: Trained, shape: NetworkConfig, config: TrainingConfig) -> dict[str, Any]:
    """Return what a card says of how a model was made, in JSON's own types."""
    panel = material.panel
    return {
        "format": FORMAT,
        "network": shape.as_dict(),
        "training": {**config.as_dict(), "members": len(trained.members)},
        "calendars": list(material.prior.seasons.calendars),
        "history_bars": HISTORY_BARS,
        "quantiles": list(QUANTILES),
        "data_sha256": panel.fingerprint,
        "bars": panel.bars,
    }


def scored_windows(panel: Panel, span: Span, shape: NetworkConfig) -> Windows:
    """Return the windows of a span that anything is measured on, evenly spread over symbols and time."""
    return _windows(panel, scored_origins(panel, span, shape), shape)


def scored_origins(panel: Panel, span: Span, shape: NetworkConfig) -> Positions:
    """Return the origins of windows whose bars ahead all came, evenly spread; of any where hardly one is whole.

    A missing bar has no price: the close before would count as a move of nothing, and every interval hold it.
    """
    origins = origins_of(panel, span, shape)
    missing = np.concatenate([[0], np.cumsum(~panel.known)])
    whole = origins[missing[origins + shape.horizon + 1] == missing[origins + 1]]
    return spread(whole if len(whole) >= MIN_WINDOWS else origins, SCORED_WINDOWS)


def forecast_all(forecaster: Forecaster, past: Past) -> FloatArray:
    """Forecast many windows in chunks."""
    return np.concatenate([forecaster(past[start : start + CHUNK]) for start in range(0, len(past), CHUNK)])


def baseline_of(horizon: int) -> Forecaster:
    """Return the EWMA baseline, the one that serves where no model does, as something that forecasts."""
    return lambda past: ewma_quantiles(past.log_closes, horizon, known=past.known)


def baselines_beside(model: Predictor) -> dict[str, Forecaster]:
    """Return the further baselines that read what the model reads; `har_season` is what the model itself corrects."""
    horizon = model.horizon
    return {
        "har_season": model.prior_quantiles,
        "drift": lambda past: drift_quantiles(past.log_closes, horizon, known=past.known),
    }


def seasonal_in(panel: Panel, origins: Positions, horizon: int) -> FloatArray:
    """Repeat each symbol's last season, counted by its own calendar, from `origins` on: (n, horizon, 9).

    It reads two seasons at least, also where those are longer than what a model reads: a day of minutes has 1,440.
    Where a symbol has fewer bars, its first close stands in for those before.
    """
    quantiles = np.empty((len(origins), horizon, len(QUANTILES)))
    calendars = panel.calendars_at(origins)
    for calendar in np.unique(calendars):
        season, rows = season_bars(str(calendar), panel.interval), np.flatnonzero(calendars == calendar)
        for some in np.split(rows, range(CHUNK, len(rows), CHUNK)):
            past = windows_at(panel, origins[some], max(HISTORY_BARS, 2 * season), horizon).past
            quantiles[some] = seasonal_naive_quantiles(past.log_closes, horizon, season, past.known)
    return quantiles


def _prior(panel: Panel, span: Span, shape: NetworkConfig, like: ScaleFit | None = None) -> Prior:
    chosen = spread(origins_of(panel, span, shape), PRIOR_WINDOWS)
    since = np.sort(panel.times[chosen])[int(len(chosen) * (1 - RECENT))]
    windows, seasons = _windows(panel, chosen, shape), fit_seasons(panel, span)
    return fit_prior(windows, seasons, panel.times[chosen] >= since, like)


def _sample(panel: Panel, span: Span, raw: Predictor, shape: NetworkConfig) -> Sample:
    origins = scored_origins(panel, span, shape)
    windows = _windows(panel, origins, shape)
    forecasters = raw.raw_quantiles, raw.prior_quantiles, baseline_of(shape.horizon)
    model, prior, baseline = (forecast_all(each, windows.past) for each in forecasters)
    horizons = horizons_of(panel.times[origins], panel.interval, shape.horizon)
    return Sample(windows.future, model, prior, baseline, horizons)


def origins_of(panel: Panel, span: Span, shape: NetworkConfig) -> Positions:
    """Return the origins of every window of a span that is learnt from or measured on."""
    return origins_in(panel, span, max(MIN_HISTORY_BARS, shape.input_size), shape.horizon)


def _windows(panel: Panel, origins: Positions, shape: NetworkConfig) -> Windows:
    return windows_at(panel, origins, HISTORY_BARS, shape.horizon)


def _check(panel: Panel, span: Span, shape: NetworkConfig) -> None:
    have = len(origins_of(panel, span, shape))
    if have < MIN_WINDOWS:
        bars = panel.bars
        need = bars + 10 * (MIN_WINDOWS - have)
        raise TooLittleHistory(
            f"{bars} bars of {len(panel.symbols)} symbols leave {have} windows between "
            f"{np.datetime_as_string(span.start, 'm')} and {np.datetime_as_string(span.end, 'm')}, "
            f"{MIN_WINDOWS} are needed",
            bars,
            need,
        )
