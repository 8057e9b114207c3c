"""How good forecasts were: scores over all of them, by step and by symbol. Pure functions only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.forecasting.models import Skill
from deployments.forecasting.quantiles import MEDIAN, QUANTILES, FloatArray, interval_bounds

_EDGES = np.array([0.0, *QUANTILES, 1.0])
_SHARES = (_EDGES[2:] - _EDGES[:-2]) / 2
"""What each quantile stands for between 0 and 1: the weights of the trapezoidal rule, a loss of 0 at both ends."""


@dataclass(frozen=True, slots=True, eq=False)
class PairedLosses:
    """The mean pinball loss of each forecast, (n,), beside the instant it was made at, (n,) `datetime64`.

    Two forecasters scored on the same windows can be compared instant by instant, see `comparison.py`, and, where
    `symbols` (n,) says whose they are, symbol by symbol, see `setback.py`.
    """

    origins: npt.NDArray[np.datetime64]
    losses: FloatArray
    symbols: npt.NDArray[np.str_] | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of `n` forecasts of log prices: lower is better, except coverage, direction and R².

    `mase` and `rmsse` divide by the moves before the origin. `directional_accuracy` is the share of right directions
    among the `directional_calls` first steps where forecast and price both moved, None without any. `r_squared` is the
    share of the squared moves that the median foresaw: of the first step, or of all steps where that is more; None
    where nothing moved.
    """

    n: int
    pinball: float
    coverage80: float
    coverage90: float
    mase: float
    directional_accuracy: float | None
    directional_calls: int
    pinball_by_step: tuple[float, ...]
    crps: float = float("nan")
    rmsse: float = float("nan")
    r_squared: float | None = None
    mase_by_step: tuple[float, ...] = ()
    rmsse_by_step: tuple[float, ...] = ()
    crps_by_step: tuple[float, ...] = ()
    coverage80_by_step: tuple[float, ...] = ()
    coverage90_by_step: tuple[float, ...] = ()
    direction_by_step: tuple[float | None, ...] = ()
    by_symbol: dict[str, dict[str, float]] = field(default_factory=dict)
    paired: PairedLosses | None = field(default=None, repr=False, compare=False)


def score(
    actual: FloatArray,
    quantiles: FloatArray,
    last: FloatArray,
    scale: FloatArray,
    origins: npt.NDArray[np.datetime64] | None = None,
    symbols: npt.NDArray[np.str_] | None = None,
    deviation: FloatArray | None = None,
) -> Scores:
    """Score forecasts against what happened.

    `actual` (n, h) are log closes, `quantiles` (n, h, 9) log-price quantiles, `last` (n,) the last log close known and
    `scale` (n,) the mean absolute one-bar log move before it (`baselines.naive_scale`). `origins` (n,) are the instants
    of the last bars read and `symbols` (n,) whose they are; without them nothing is paired or told by symbol.
    `deviation` (n,) is the root mean squared one-bar move (`baselines.naive_deviation`), without it there is no RMSSE.
    Raises `ValueError` on shapes that do not fit or on no forecast at all. MASE is Hyndman and Koehler's (2006), RMSSE
    that of the M5 competition (Makridakis et al. 2022), both over forecasts whose past was not flat.
    """
    _check_shapes(actual, quantiles, last, scale)
    losses, error = pinball_losses(actual, quantiles), actual - quantiles[..., MEDIAN]
    within80, within90 = (inside(actual, quantiles, level) for level in (80, 90))
    each = losses.mean(axis=(1, 2))
    return Scores(
        n=len(actual),
        **_of_quantiles(losses),
        **_of_intervals(within80, within90),
        **_of_errors(error, scale, np.zeros(len(actual)) if deviation is None else deviation),
        **_of_direction(actual, quantiles[..., MEDIAN], last),
        by_symbol=_by_symbol(symbols, each, within80, within90, error, scale),
        paired=None if origins is None else PairedLosses(origins, each, symbols),
    )


def _of_quantiles(losses: FloatArray) -> dict[str, Any]:
    crps = 2 * losses @ _SHARES
    return {
        "pinball": float(losses.mean()),
        "pinball_by_step": _steps(losses.mean(axis=2)),
        "crps": float(crps.mean()),
        "crps_by_step": _steps(crps),
    }


def _of_intervals(within80: npt.NDArray[np.bool_], within90: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "coverage80": float(within80.mean()),
        "coverage90": float(within90.mean()),
        "coverage80_by_step": _steps(within80),
        "coverage90_by_step": _steps(within90),
    }


def _of_errors(error: FloatArray, scale: FloatArray, deviation: FloatArray) -> dict[str, Any]:
    absolute, _ = scaled_errors(error, scale)
    _, squared = scaled_errors(error, deviation)
    return {
        "mase": _mean(absolute),
        "mase_by_step": _steps(absolute),
        "rmsse": float(np.sqrt(np.mean(squared))) if squared.size else float("nan"),
        "rmsse_by_step": tuple(float(np.sqrt(step)) for step in _steps(squared)),
    }


def _of_direction(actual: FloatArray, median: FloatArray, last: FloatArray) -> dict[str, Any]:
    directions = [_direction(actual[:, step], median[:, step], last) for step in range(actual.shape[1])]
    return {
        "directional_accuracy": directions[0][0],
        "directional_calls": directions[0][1],
        "direction_by_step": tuple(share for share, _ in directions),
        "r_squared": _foreseen(actual - last[:, None], median - last[:, None]),
    }


def pinball_losses(actual: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Return the pinball loss of every quantile: (..., 9) for actual values (...)."""
    error = actual[..., None] - quantiles
    probabilities = np.array(QUANTILES)
    losses: FloatArray = np.maximum(probabilities * error, (probabilities - 1) * error)
    return losses


def inside(actual: FloatArray, quantiles: FloatArray, level: float) -> npt.NDArray[np.bool_]:
    """Tell which values lie inside the interval of `level` percent, bounds included."""
    lower, upper = interval_bounds(quantiles, level)
    within: npt.NDArray[np.bool_] = (actual >= lower) & (actual <= upper)
    return within


def coverage(actual: FloatArray, quantiles: FloatArray, level: float) -> float:
    """Return the share of values inside the interval of `level` percent, bounds included."""
    return float(inside(actual, quantiles, level).mean())


def scaled_errors(error: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return absolute and squared errors (n, h) in units of each forecast's scale (n,), flat pasts left out."""
    moving = scale > 0
    scaled = error[moving] / scale[moving, None]
    return np.abs(scaled), scaled**2


def metrics_of(
    candidate: Scores, baseline: Scores, champion: Scores | None = None, others: Mapping[str, Scores] | None = None
) -> dict[str, Any]:
    """Return what a model card keeps of its test span: scores by name and the pinball loss over the baseline's.

    `others` are further baselines by name.
    """
    return {
        "test": as_dict(candidate),
        "baseline": as_dict(baseline),
        "champion": as_dict(champion) if champion else None,
        "others": {name: as_dict(scores) for name, scores in (others or {}).items()},
        "pinball_vs_baseline": ratio(candidate, baseline),
    }


def as_dict(scores: Scores) -> dict[str, Any]:
    """Return scores in JSON's own types, without the loss of each forecast; what is no number is None."""
    # Taken out first: `asdict` would copy the arrays.
    plain = {name: value for name, value in _fields(scores).items() if name != "paired"}
    return {name: _number_or_none(value) for name, value in plain.items()}


def ratio(candidate: Scores, other: Scores) -> float:
    """Return the candidate's pinball loss over the other's: below 1 is better."""
    return candidate.pinball / other.pinball if other.pinball > 0 else float("inf")


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


def _by_symbol(
    symbols: npt.NDArray[np.str_] | None,
    losses: FloatArray,
    within80: npt.NDArray[np.bool_],
    within90: npt.NDArray[np.bool_],
    error: FloatArray,
    scale: FloatArray,
) -> dict[str, dict[str, float]]:
    found = {}
    for symbol in [] if symbols is None else np.unique(symbols):
        own = symbols == symbol
        found[str(symbol)] = {
            "n": float(own.sum()),
            "pinball": float(losses[own].mean()),
            "coverage80": float(within80[own].mean()),
            "coverage90": float(within90[own].mean()),
            "mase": _mean(scaled_errors(error[own], scale[own])[0]),
        }
    return found


def _steps(values: npt.NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(step) for step in values.mean(axis=0)) if len(values) else ()


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _foreseen(moves: FloatArray, called: FloatArray) -> float | None:
    """Return the larger R² against "no move" of the first step and of all steps."""
    shares = [
        1 - float(((came - said) ** 2).sum() / (came**2).sum())
        for came, said in ((moves[:, 0], called[:, 0]), (moves, called))
        if (came**2).sum() > 0
    ]
    return max(shares, default=None)


def _direction(actual: FloatArray, median: FloatArray, last: FloatArray) -> tuple[float | None, int]:
    called = np.sign(median - last)
    came = np.sign(actual - last)
    moved = (called != 0) & (came != 0)
    calls = int(moved.sum())
    return (float((called == came)[moved].mean()) if calls else None), calls


def _fields(scores: Scores) -> dict[str, Any]:
    return {name: getattr(scores, name) for name in Scores.__dataclass_fields__}


def _number_or_none(value: Any) -> Any:
    # JSON knows no NaN.
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _check_shapes(actual: FloatArray, quantiles: FloatArray, last: FloatArray, scale: FloatArray) -> None:
    n = len(actual)
    if n == 0 or actual.ndim != 2:
        raise ValueError(f"actual values have shape (forecasts, steps) with at least one forecast, not {actual.shape}")
    expected = (*actual.shape, len(QUANTILES))
    if quantiles.shape != expected or last.shape != (n,) or scale.shape != (n,):
        raise ValueError(f"expected quantiles {expected}, got {quantiles.shape}, {last.shape} and {scale.shape}")
