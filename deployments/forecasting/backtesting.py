"""A published version on candles of a time of one's choice: how it would have done beside every baseline."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from deployments.common.errors import TooLittleHistory
from deployments.forecasting.judging.comparison import Comparison, compare
from deployments.forecasting.judging.evaluation import Scores, ratio
from deployments.forecasting.models import ModelCard
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.predictor import Predictor
from deployments.forecasting.series.panel import MIN_WINDOWS, Panel, Span
from deployments.forecasting.training.fitting import Contest, contest_in, origins_of
from deployments.market_data.instants import to_numpy

_COLUMNS = (
    *(("", 16), ("pinball", 10), ("vs ewma", 9), ("low", 8), ("high", 8)),
    *((name, 7) for name in ("MASE", "RMSSE", "80 %", "90 %", "sign")),
)


@dataclass(frozen=True, slots=True)
class Backtest:
    """Scores of a version on the bars since `since`; `seen` says that it was trained on some of them."""

    card: ModelCard
    since: datetime
    seen: bool
    contest: Contest


def backtest(panel: Panel, card: ModelCard, model: Predictor, since: datetime) -> Backtest:
    """Score a version from rolling origins whose horizons begin at `since`; raises `TooLittleHistory`."""
    shape = NetworkConfig.from_dict(card.config["network"])
    span = Span(to_numpy(since), panel.times.max() + np.timedelta64(1, "us"))
    have = len(origins_of(panel, span, shape))
    if have < MIN_WINDOWS:
        raise TooLittleHistory(
            f"{have} windows begin after {since:%Y-%m-%d}, a backtest needs {MIN_WINDOWS}", have, MIN_WINDOWS
        )
    return Backtest(card, since, since < card.data_end, contest_in(panel, span, model, shape))


def described(found: Backtest) -> Iterator[str]:
    """Yield a backtest in lines for people: all forecasters, then the version by symbol and by step."""
    model = found.contest.candidate
    yield f"version {found.card.version}, {model.n:,} forecasts since {found.since:%Y-%m-%d %H:%M} UTC"
    if found.seen:
        yield f"it was trained on data up to {found.card.data_end:%Y-%m-%d %H:%M} UTC: it has seen some of these bars"
    yield "".join(f"{name:>{width}}" for name, width in _COLUMNS)
    baseline = found.contest.baseline
    for name, scores in {"the version": model, "ewma": baseline, **found.contest.others}.items():
        yield _line(name, scores, baseline)
    for symbol, own in model.by_symbol.items():
        yield f"{symbol:<16}{own['pinball']:>10.6f}{own['mase']:>32.3f}{_percent(own, 14)}"
    for step, pinball in enumerate(model.pinball_by_step):
        yield (
            f"{f'step {step + 1}':<16}{pinball:>10.6f}{pinball / baseline.pinball_by_step[step]:>9.3f}"
            f"{model.mase_by_step[step]:>23.3f}{100 * model.coverage80_by_step[step]:>14.1f}"
            f"{100 * model.coverage90_by_step[step]:>7.1f}"
        )


def _line(name: str, scores: Scores, baseline: Scores) -> str:
    beside = _beside(scores, baseline)
    direction = 100 * scores.directional_accuracy if scores.directional_accuracy is not None else float("nan")
    return (
        f"{name:<16}{scores.pinball:>10.6f}{ratio(scores, baseline):>9.3f}{beside.low:>8.3f}{beside.high:>8.3f}"
        f"{scores.mase:>7.3f}{scores.rmsse:>7.3f}{100 * scores.coverage80:>7.1f}{100 * scores.coverage90:>7.1f}"
        f"{direction:>7.1f}"
    )


def _beside(scores: Scores, baseline: Scores) -> Comparison:
    if scores.paired is None or baseline.paired is None:
        raise ValueError("a backtest compares forecasts instant by instant")
    return compare(scores.paired, baseline.paired, len(scores.pinball_by_step))


def _percent(scores: dict[str, float], width: int) -> str:
    return f"{100 * scores['coverage80']:>{width}.1f}{100 * scores['coverage90']:>7.1f}"
