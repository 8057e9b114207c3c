"""The ladder: the champion where it can answer, else the baseline with the reason, else nothing at all."""

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from deployments.common.telemetry import logger
from deployments.forecasting.models import Fallback, FallbackCause
from deployments.forecasting.predicting.baselines import BASELINE_BARS, ewma_quantiles_after, mean_move
from deployments.forecasting.predicting.recalibration import Recalibration, apply
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.series.windows import Past
from deployments.forecasting.serving.history import History, past_of
from deployments.forecasting.serving.shelf import Choice, LoadedModel

log = logger(__name__)

MOST_MISSING = 0.5
"""Share of the bars that a model reads which may be masked: beyond it, it would tell of what was filled in."""

TOGETHER = 128
"""Histories in one pass. Fewer leave the networks slower; with 256 of 1,024 bars the allocator gives memory back after
each pass and the kernel fetches it anew: 200 to 2,500 page faults a pass, up to a third of its time."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One history to forecast. `choice` was made when the request came in: whatever is promoted meanwhile, it stays."""

    choice: Choice
    history: History
    horizon: int


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Log-price quantiles of one symbol and the baseline's, both (horizon, 9).

    `loaded` is the model behind `quantiles`; None says that they are the baseline's, `reason` and `cause` why. `scale`
    is the mean absolute one-bar log move before. `raw` are the model's own quantiles where a recalibration changed
    them. `failed` says that a model was there, read enough and gave no answer.
    """

    loaded: LoadedModel | None
    reason: str
    quantiles: FloatArray
    baseline: FloatArray
    scale: float
    raw: FloatArray | None = None
    failed: bool = False
    cause: FallbackCause = FallbackCause.NO_MODEL


def bars_wanted(choice: Choice) -> int:
    """Return how many bars are worth reading for a request."""
    return max(BASELINE_BARS, choice.loaded.model.history_bars if choice.loaded else 0)


def predict(tasks: Sequence[Task]) -> list[Prediction]:
    """Carry out tasks, of many requests together, in as few forward passes as there are models and lengths.

    Blocking, CPU-heavy. Answers are in the order of the tasks.
    """
    # Histories of one length need no padding, and so none is forecast otherwise for the company it keeps.
    groups: dict[tuple[object, int], list[int]] = defaultdict(list)
    for place, task in enumerate(tasks):
        groups[id(task.choice.loaded), len(task.history.bars.times)].append(place)
    answers: dict[int, Prediction] = {}
    for group in groups.values():
        for first in range(0, len(group), TOGETHER):
            places = group[first : first + TOGETHER]
            answers.update(zip(places, _predict_alike([tasks[place] for place in places]), strict=True))
    return [answers[place] for place in range(len(tasks))]


def _predict_alike(tasks: Sequence[Task]) -> list[Prediction]:
    asked = tasks[0].choice.loaded
    steps = max([task.horizon for task in tasks] + [asked.model.horizon if asked else 0])
    past = past_of([task.history for task in tasks], bars_wanted(tasks[0].choice), steps)
    unreadable = _unreadable(asked, past)
    if unreadable:
        # Without a model they read fewer bars, so they are a group of their own.
        return predict([replace(task, choice=unreadable.get(row, task.choice)) for row, task in enumerate(tasks)])
    baseline = ewma_quantiles_after(past.last, past.moves.newest(BASELINE_BARS - 1), steps)
    scales = mean_move(past.moves).tolist()
    have = len(tasks[0].history)
    loaded, fallback, quantiles = _climb(asked, past, have, baseline)
    failed = asked is not None and loaded is None and have >= asked.model.input_size
    return [
        _recalibrated(
            Prediction(
                loaded=loaded,
                reason=fallback.reason if fallback else task.choice.reason,
                quantiles=own[: task.horizon],
                baseline=naive[: task.horizon],
                scale=scale,
                failed=failed,
                cause=fallback.cause if fallback else task.choice.cause,
            ),
            task.choice.recalibration,
        )
        for task, own, naive, scale in zip(tasks, quantiles, baseline, scales, strict=True)
    ]


def _unreadable(loaded: LoadedModel | None, past: Past) -> dict[int, Choice]:
    """Return what answers instead for the rows of which most of what the model reads was quarantined or never came."""
    if loaded is None:
        return {}
    window = past.known[:, -loaded.model.input_size :]
    bars = window.shape[1]
    missing = bars - np.count_nonzero(window, axis=1)
    return {
        int(row): Choice(None, f"{missing[row]} of the last {bars} bars are missing", cause=FallbackCause.BARS_MISSING)
        for row in np.flatnonzero(missing > MOST_MISSING * bars)
    }


def _climb(
    loaded: LoadedModel | None, past: Past, have: int, baseline: FloatArray
) -> tuple[LoadedModel | None, Fallback | None, FloatArray]:
    """Return who answers, why not the model that was asked, and the answer."""
    if loaded is None:
        return None, None, baseline
    if have < loaded.model.input_size:
        reason = f"the model reads {loaded.model.input_size} bars and there are {have}"
        return None, Fallback(FallbackCause.TOO_LITTLE_HISTORY, reason), baseline
    try:
        quantiles = loaded.model.quantiles(past)
    except Exception as error:
        # Whatever is wrong with a model, the baseline still answers, and says so.
        log.error("model failed", exc_info=error, version=loaded.card.version)
        reason = f"the model failed with {type(error).__name__}"
        return None, Fallback(FallbackCause.MODEL_FAILED, reason), baseline
    if not np.isfinite(quantiles).all():
        log.error("model answered no number", version=loaded.card.version)
        return None, Fallback(FallbackCause.MODEL_FAILED, "the model's answer was not a number"), baseline
    return loaded, None, quantiles


def _recalibrated(prediction: Prediction, recalibration: Recalibration | None) -> Prediction:
    if prediction.loaded is None or recalibration is None:
        return prediction
    return replace(prediction, quantiles=apply(prediction.quantiles, recalibration), raw=prediction.quantiles)


class LeastRecent(Generic[K, V]):
    """A bounded map that forgets what was used least recently."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return what is held for `key`, None without."""
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def put(self, key: K, value: V) -> None:
        """Hold `value` for `key`."""
        self._held[key] = value
        self._held.move_to_end(key)
        while len(self._held) > self._size:
            self._held.popitem(last=False)
