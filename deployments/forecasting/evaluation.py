"""How good a forecast was, and what follows for a model: scores and the judge. Pure functions only."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deployments.forecasting.models import Skill
from deployments.forecasting.quantiles import MEDIAN, QUANTILES, FloatArray, interval_bounds

TOLERANCE = 1.01
"""A pinball loss may be this many times another before it counts as measurably worse."""

LEAKAGE_DIRECTION = 0.58
"""Share of right first-step directions above which the data must have leaked: honest hourly values end at 0.56."""

LEAKAGE_CALLS = 500
"""Directions called below which that share may be luck."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of `n` forecasts, all in log price and lower is better, except coverage and direction.

    `directional_accuracy` is the share of right directions among the `directional_calls` first steps where forecast
    and price both moved, None without any.
    """

    n: int
    pinball: float
    coverage80: float
    coverage90: float
    mase: float
    directional_accuracy: float | None
    directional_calls: int
    pinball_by_step: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows for a candidate: `promote`, `keep` the champion, or `reject`; why; and the figures behind it."""

    verdict: str
    reason: str
    evidence: dict[str, float]


def score(actual: FloatArray, quantiles: FloatArray, last: FloatArray, scale: FloatArray) -> Scores:
    """Score forecasts against what happened.

    `actual` (n, h) are log closes, `quantiles` (n, h, 9) log-price quantiles, `last` (n,) the last log close known and
    `scale` (n,) the mean absolute one-bar log move before it (`baselines.naive_scale`). Raises `ValueError` on shapes
    that do not fit or on no forecast at all. The scaled error is Hyndman and Koehler's (2006), averaged over forecasts
    whose past was not flat.
    """
    _check_shapes(actual, quantiles, last, scale)
    losses = pinball_losses(actual, quantiles)
    direction, calls = _direction(actual[:, 0], quantiles[:, 0, MEDIAN], last)
    return Scores(
        n=len(actual),
        pinball=float(losses.mean()),
        coverage80=coverage(actual, quantiles, 80),
        coverage90=coverage(actual, quantiles, 90),
        mase=_scaled_error(actual, quantiles[..., MEDIAN], scale),
        directional_accuracy=direction,
        directional_calls=calls,
        pinball_by_step=tuple(float(loss) for loss in losses.mean(axis=(0, 2))),
    )


def pinball_losses(actual: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Return the pinball loss of every quantile: (..., 9) for actual values (...)."""
    error = actual[..., None] - quantiles
    probabilities = np.array(QUANTILES)
    losses: FloatArray = np.maximum(probabilities * error, (probabilities - 1) * error)
    return losses


def coverage(actual: FloatArray, quantiles: FloatArray, level: float) -> float:
    """Return the share of values inside the interval of `level` percent, bounds included."""
    lower, upper = interval_bounds(quantiles, level)
    return float(((actual >= lower) & (actual <= upper)).mean())


def judge(candidate: Scores, baseline: Scores, champion: Scores | None) -> Verdict:
    """Decide over a candidate scored on the same test span as the baseline and the champion.

    Reject what is broken, too good to be true, or measurably worse than the baseline; keep a champion that is
    measurably better; else promote, because a fresh model no worse than an old one knows more of today's market.
    """
    evidence = _evidence(candidate, baseline, champion)
    for verdict, reason in (
        ("reject", _broken(candidate, baseline)),
        ("reject", _leaking(candidate)),
        ("reject", _worse(candidate, baseline, "the EWMA baseline")),
        ("keep", _worse(candidate, champion, "the champion") if champion else ""),
    ):
        if reason:
            return Verdict(verdict, reason, evidence)
    return Verdict("promote", _merit(candidate, baseline, champion), evidence)


def metrics_of(candidate: Scores, baseline: Scores, champion: Scores | None = None) -> dict[str, Any]:
    """Return what a model card keeps of its test span: scores by name and the pinball loss over the baseline's."""
    return {
        "test": asdict(candidate),
        "baseline": asdict(baseline),
        "champion": asdict(champion) if champion else None,
        "pinball_vs_baseline": _ratio(candidate, baseline),
    }


def skill_on_test(metrics: dict[str, Any]) -> Skill | None:
    """Return the skill that a card's metrics (of `metrics_of`) tell, or None where they hold no test span."""
    test = metrics.get("test")
    if not isinstance(test, dict):
        return None
    return Skill(
        pinball_vs_baseline=metrics.get("pinball_vs_baseline"),
        mase=test.get("mase"),
        coverage={"80": test["coverage80"], "90": test["coverage90"]},
        n=int(test["n"]),
        basis="test",
    )


def _broken(candidate: Scores, baseline: Scores) -> str:
    figures = (candidate.pinball, candidate.mase, candidate.coverage80, candidate.coverage90, baseline.pinball)
    return "" if all(math.isfinite(figure) for figure in figures) else "a score is not finite"


def _leaking(candidate: Scores) -> str:
    share, calls = candidate.directional_accuracy, candidate.directional_calls
    if share is None or calls < LEAKAGE_CALLS or share <= LEAKAGE_DIRECTION:
        return ""
    return (
        f"leakage alarm: {share:.1%} of {calls} first-step directions called right, "
        f"honest forecasts stay below {LEAKAGE_DIRECTION:.0%}"
    )


def _worse(candidate: Scores, other: Scores, name: str) -> str:
    ratio = _ratio(candidate, other)
    return (
        "" if ratio <= TOLERANCE else f"pinball loss is {ratio:.3f} times that of {name} over {candidate.n} forecasts"
    )


def _merit(candidate: Scores, baseline: Scores, champion: Scores | None) -> str:
    beside = f" and {_ratio(candidate, champion):.3f} times that of the champion" if champion else ", no champion yet"
    return (
        f"pinball loss is {_ratio(candidate, baseline):.3f} times that of the EWMA baseline over "
        f"{candidate.n} forecasts{beside}"
    )


def _evidence(candidate: Scores, baseline: Scores, champion: Scores | None) -> dict[str, float]:
    figures = {
        "n": float(candidate.n),
        "pinball": candidate.pinball,
        "baseline_pinball": baseline.pinball,
        "champion_pinball": champion.pinball if champion else math.nan,
        "mase": candidate.mase,
        "coverage80": candidate.coverage80,
        "coverage90": candidate.coverage90,
        "directional_accuracy": math.nan if candidate.directional_accuracy is None else candidate.directional_accuracy,
    }
    # JSON knows no NaN: a figure that is none is left out.
    return {name: figure for name, figure in figures.items() if math.isfinite(figure)}


def _ratio(candidate: Scores, other: Scores) -> float:
    return candidate.pinball / other.pinball if other.pinball > 0 else math.inf


def _direction(actual: FloatArray, median: FloatArray, last: FloatArray) -> tuple[float | None, int]:
    called = np.sign(median - last)
    came = np.sign(actual - last)
    moved = (called != 0) & (came != 0)
    calls = int(moved.sum())
    return (float((called == came)[moved].mean()) if calls else None), calls


def _scaled_error(actual: FloatArray, median: FloatArray, scale: FloatArray) -> float:
    moving = scale > 0
    if not moving.any():
        return math.nan
    return float((np.abs(actual - median)[moving].mean(axis=1) / scale[moving]).mean())


def _check_shapes(actual: FloatArray, quantiles: FloatArray, last: FloatArray, scale: FloatArray) -> None:
    n = len(actual)
    if n == 0 or actual.ndim != 2:
        raise ValueError(f"actual values have shape (forecasts, steps) with at least one forecast, not {actual.shape}")
    expected = (*actual.shape, len(QUANTILES))
    if quantiles.shape != expected or last.shape != (n,) or scale.shape != (n,):
        raise ValueError(f"expected quantiles {expected}, got {quantiles.shape}, {last.shape} and {scale.shape}")
