"""Forecast quality: crypto symbols that were never trained on, beside every baseline, with and without recalibration.

The last two symbols in the alphabet are held out, then every other pair in turn. Training, validation and calibration
end where the last fifth of the bars begins; all figures are of that fifth. Recalibration is replayed: before each
origin only forecasts count whose bars had all arrived, of all eight symbols, each forecast by a model that had not
trained on it. `python -m benchmarks.etth1` measures the loop on a published table.

The baseline is the one that serves, with one table of quantiles for all markets. `ewma_fitted` has the same volatility
and the quantiles of each symbol and step as they were on all bars before the test span, the way a study would fit them;
gains over it are printed beside. Much hangs on the hour that forecasts are made at: the study behind the goals made one
a day, late in the evening, and scored five levels. Such a sample is printed last, and is no measure of the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from benchmarks._market_files import candles_of, is_there
from deployments.forecasting.judging.comparison import BLOCK_HORIZONS, by_instant, resampled_ratios
from deployments.forecasting.judging.evaluation import inside, pinball_losses
from deployments.forecasting.predicting.baselines import BASELINE_BARS, ewma_volatility, naive_scale
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.predictor import Predictor
from deployments.forecasting.predicting.recalibration import TRAILING, Recalibration, Resolved, apply, fit_recalibration
from deployments.forecasting.quantiles import MEDIAN, QUANTILES, FloatArray
from deployments.forecasting.series.panel import Panel, Positions, Span, origins_in, panel_of, spans_of
from deployments.forecasting.series.scale import HISTORY_BARS
from deployments.forecasting.series.windows import windows_at
from deployments.forecasting.training.fitting import (
    MIN_HISTORY_BARS,
    SEASONAL,
    Forecaster,
    baseline_of,
    baselines_beside,
    fit,
    forecast_all,
    seasonal_in,
)
from deployments.forecasting.training.loop import TrainingConfig
from deployments.market_data.models import Interval

FILE = "crypto_1h.parquet"
SHARES = (0.6, 0.7, 0.8)
STRIDE = 3
HORIZON = 24
FITTED = "ewma_fitted"
MODELS = ("har_season", "nhits", "online")
STUDIED_HOUR = 22
STUDIED_LEVELS = [QUANTILES.index(probability) for probability in (0.05, 0.1, 0.5, 0.9, 0.95)]
REFIT_EVERY = np.timedelta64(24, "h")
HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True, eq=False)
class Replay:
    """Every forecast of the test span: (n, horizon, 9) by name, what came, and where and when each was made."""

    actual: FloatArray
    last: FloatArray
    scale: FloatArray
    origins: np.ndarray
    symbols: np.ndarray
    quantiles: Mapping[str, FloatArray]

    def of(self, rows: np.ndarray) -> "Replay":
        """Return some of the forecasts."""
        told = {name: each[rows] for name, each in self.quantiles.items()}
        return Replay(
            self.actual[rows], self.last[rows], self.scale[rows], self.origins[rows], self.symbols[rows], told
        )


def replayed(tables: Mapping[str, pa.Table], held_out: list[str], seed: int) -> Replay:
    """Train without the symbols held out, and forecast them over the test span."""
    panel = panel_of({name: table for name, table in tables.items() if name not in held_out}, Interval.H1)
    shape = NetworkConfig(horizon=HORIZON)
    model = fit(panel, shape, TrainingConfig(seed=seed), shares=SHARES).predictor()
    unseen = panel_of({name: tables[name] for name in held_out}, Interval.H1)
    # The test span is that of the panel trained on: nothing of the other symbols' future may decide where it begins.
    origins = origins_in(unseen, spans_of(panel, SHARES).test, MIN_HISTORY_BARS, HORIZON, STRIDE)
    windows = windows_at(unseen, origins, HISTORY_BARS, HORIZON)
    quantiles = {name: forecast_all(each, windows.past) for name, each in forecasters(model).items()}
    quantiles |= {SEASONAL: seasonal_in(unseen, origins, HORIZON)}
    quantiles |= {FITTED: fitted_ewma(unseen, Span(unseen.times.min(), spans_of(panel, SHARES).test.start), origins)}
    scale = naive_scale(windows.history, windows.past.known)
    return Replay(
        windows.future, windows.past.last, scale, unseen.times[origins], unseen.symbols_at(origins), quantiles
    )


def fitted_ewma(panel: Panel, span: Span, origins: Positions) -> FloatArray:
    """Return last value with EWMA volatility and the quantiles that each symbol and step had in `span`."""
    last, _, scales = _ewma(panel, origins)
    quantiles = np.empty((*scales.shape, len(QUANTILES)))
    earlier = origins_in(panel, span, MIN_HISTORY_BARS, HORIZON, 2 * STRIDE)
    _, moves, widths = _ewma(panel, earlier)
    for symbol in panel.symbols:
        then, now = panel.symbols_at(earlier) == symbol, panel.symbols_at(origins) == symbol
        levels = np.quantile(moves[then] / widths[then], QUANTILES, axis=0).T
        quantiles[now] = last[now, None, None] + scales[now][..., None] * levels
    return quantiles


def _ewma(panel: Panel, origins: Positions) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return last closes (n,), the moves that followed (n, horizon), and the EWMA scale of each step (n, horizon)."""
    windows = windows_at(panel, origins, BASELINE_BARS, HORIZON)
    volatility = ewma_volatility(windows.history, known=windows.past.known)
    return windows.past.last, windows.moves, volatility[:, None] * np.sqrt(np.arange(1, HORIZON + 1))


def forecasters(model: Predictor) -> dict[str, Forecaster]:
    """Return everything that is compared, by name."""
    return {"ewma": baseline_of(model.horizon), **baselines_beside(model), "nhits": model.quantiles}


def together(parts: list[Replay]) -> Replay:
    """Return several replays as one."""
    names = parts[0].quantiles
    return Replay(
        np.concatenate([part.actual for part in parts]),
        np.concatenate([part.last for part in parts]),
        np.concatenate([part.scale for part in parts]),
        np.concatenate([part.origins for part in parts]),
        np.concatenate([part.symbols for part in parts]),
        {name: np.concatenate([part.quantiles[name] for part in parts]) for name in names},
    )


def recalibrated(replay: Replay) -> FloatArray:
    """Return the model's quantiles as they would have been served: refitted daily on what had been resolved."""
    issued, served = replay.quantiles["nhits"], replay.quantiles["nhits"].copy()
    horizon = replay.actual.shape[1]
    for day in np.arange(replay.origins.min(), replay.origins.max() + HOUR, REFIT_EVERY):
        # The last bar of a forecast closes a bar after it opens.
        known = (replay.origins + (horizon + 1) * HOUR <= day + HOUR) & (replay.origins > day - TRAILING)
        today = (replay.origins >= day) & (replay.origins < day + REFIT_EVERY)
        fitted: Recalibration = fit_recalibration(
            Resolved(replay.actual[known], issued[known], replay.origins[known], Interval.H1)
        )
        served[today] = apply(issued[today], fitted)
    return served


def report(title: str, replay: Replay) -> None:
    """Print pinball loss beside the EWMA baseline's, with a 90 % interval, coverage, and the scaled error."""
    print(f"\n{title}: {len(replay.actual):,} forecasts")
    print(f"{'':16}{'pinball':>10}{'gain %':>8}{'90 % interval':>17}{'80 %':>7}{'90 %':>7}{'by step':>21}{'MASE':>7}")
    baseline = losses(replay, "ewma")
    for name, quantiles in replay.quantiles.items():
        own = losses(replay, name)
        low, high = interval(replay.origins, own, baseline, replay.actual.shape[1])
        steps = inside(replay.actual, quantiles, 80).mean(axis=0), inside(replay.actual, quantiles, 90).mean(axis=0)
        ranges = ", ".join(f"{100 * each.min():.1f}-{100 * each.max():.1f}" for each in steps)
        error = np.abs(replay.actual - quantiles[..., MEDIAN]).mean(axis=1) / replay.scale
        print(
            f"{name:16}{own.mean():>10.6f}{100 * (1 - own.mean() / baseline.mean()):>8.2f}"
            f"{f'{low:.2f} to {high:.2f}':>17}{100 * steps[0].mean():>7.1f}{100 * steps[1].mean():>7.1f}{ranges:>21}"
            f"{error.mean():>7.3f}"
        )
    print(f"over {FITTED}: {', '.join(f'{name} {gain_over(replay, name, FITTED)}' for name in MODELS)}")
    evening = replay.of((replay.origins - replay.origins.astype("datetime64[D]")) // HOUR == STUDIED_HOUR)
    told = ", ".join(f"{name} {gain_over(evening, name, FITTED, STUDIED_LEVELS, 24)}" for name in MODELS)
    print(f"over {FITTED}, once a day at {STUDIED_HOUR}:00, five levels, {len(evening.actual):,} forecasts: {told}")


def gain_over(replay: Replay, name: str, other: str, levels: list[int] | None = None, stride: int = STRIDE) -> str:
    """Return the gain in pinball loss over another forecast in percent, with its 90 % interval."""
    own, others = losses(replay, name, levels), losses(replay, other, levels)
    low, high = interval(replay.origins, own, others, HORIZON, stride)
    return f"{100 * (1 - own.mean() / others.mean()):+.2f} % ({low:.2f} to {high:.2f})"


def by_step(replay: Replay) -> None:
    """Print gain, coverage and scaled error at some steps, for what is served."""
    print(f"\n{'step':>6}{'gain %':>9}{'online %':>10}{'80 %':>7}{'90 %':>7}{'MASE':>7}")
    for step in (0, 2, 5, 11, 17, 23):
        actual = replay.actual[:, [step]]
        plain, online, baseline = (
            pinball_losses(actual, replay.quantiles[name][:, [step]]).mean() for name in ("nhits", "online", "ewma")
        )
        served = replay.quantiles["online"][:, [step]]
        error = np.abs(actual - served[..., MEDIAN])[:, 0] / replay.scale
        print(
            f"{step + 1:>6}{100 * (1 - plain / baseline):>9.2f}{100 * (1 - online / baseline):>10.2f}"
            f"{100 * inside(actual, served, 80).mean():>7.1f}{100 * inside(actual, served, 90).mean():>7.1f}"
            f"{error.mean():>7.3f}"
        )


def losses(replay: Replay, name: str, levels: list[int] | None = None) -> FloatArray:
    """Return the mean pinball loss of each forecast, (n,), over all quantiles or those at `levels`."""
    each: FloatArray = pinball_losses(replay.actual, replay.quantiles[name])
    return np.asarray((each if levels is None else each[..., levels]).mean(axis=(1, 2)))


def interval(
    origins: np.ndarray, own: FloatArray, baseline: FloatArray, horizon: int, stride: int = STRIDE
) -> tuple[float, float]:
    """Return the 90 % interval of the gain in percent: circular blocks of instants, all symbols of one together."""
    _, mine = by_instant(origins, own)
    _, theirs = by_instant(origins, baseline)
    ratios = resampled_ratios(mine, theirs, BLOCK_HORIZONS * horizon // stride, seed=1)
    high, low = np.quantile(100 * (1 - ratios), (0.95, 0.05))
    return float(low), float(high)


def main(seed: int = 1) -> None:
    """Print the tables."""
    if not is_there(FILE):
        return
    tables = candles_of(FILE)
    names = sorted(tables)
    pairs = [names[start : start + 2] for start in range(0, len(names), 2)]
    print(f"torch threads {torch.get_num_threads()}, shares {SHARES}, seed {seed}")
    replay = together([replayed(tables, pair, seed) for pair in pairs])
    replay = Replay(
        replay.actual, replay.last, replay.scale, replay.origins, replay.symbols,
        {**replay.quantiles, "online": recalibrated(replay)},
    )  # fmt: skip
    report(f"held out {', '.join(pairs[-1])}", replay.of(np.isin(replay.symbols, pairs[-1])))
    report("every pair held out in turn", replay)
    by_step(replay)


if __name__ == "__main__":
    main()
