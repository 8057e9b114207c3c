"""The ladder: the champion where it can answer, else the baseline with the reason, else nothing at all."""

from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from deployments.common.telemetry import logger
from deployments.forecasting.baselines import BASELINE_BARS, ewma_quantiles, naive_scale
from deployments.forecasting.history import History
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.shelf import Choice, LoadedModel

log = logger(__name__)

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Log-price quantiles of one symbol and the baseline's, both (horizon, 9).

    `loaded` is the model behind `quantiles`; None says that they are the baseline's, and `reason` why. `scale` is the
    mean absolute one-bar log move before.
    """

    loaded: LoadedModel | None
    reason: str
    quantiles: FloatArray
    baseline: FloatArray
    scale: float


def bars_wanted(choice: Choice) -> int:
    """Return how many bars are worth reading for a request."""
    return max(BASELINE_BARS, choice.loaded.model.history_bars if choice.loaded else 0)


def predict(choice: Choice, histories: Mapping[str, History], horizon: int) -> dict[str, Prediction]:
    """Forecast every history in as few forward passes as there are different lengths. Blocking, CPU-heavy."""
    by_length: dict[int, list[str]] = defaultdict(list)
    for symbol, history in histories.items():
        by_length[len(history)].append(symbol)
    answers: dict[str, Prediction] = {}
    for symbols in by_length.values():
        answers |= _predict_equal(choice, symbols, [histories[symbol] for symbol in symbols], horizon)
    return answers


def _predict_equal(
    choice: Choice, symbols: Sequence[str], histories: Sequence[History], horizon: int
) -> dict[str, Prediction]:
    closes = np.stack([history.log_closes for history in histories])
    baseline = ewma_quantiles(closes[:, -BASELINE_BARS:], horizon)
    loaded, reason, quantiles = _climb(choice, closes, horizon, baseline)
    scales = naive_scale(closes)
    return {
        symbol: Prediction(loaded, reason, quantiles[row], baseline[row], float(scales[row]))
        for row, symbol in enumerate(symbols)
    }


def _climb(
    choice: Choice, closes: FloatArray, horizon: int, baseline: FloatArray
) -> tuple[LoadedModel | None, str, FloatArray]:
    if choice.loaded is None:
        return None, choice.reason, baseline
    model, have = choice.loaded.model, closes.shape[1]
    if have < model.input_size:
        return None, f"the model reads {model.input_size} bars and there are {have}", baseline
    quantiles = model.quantiles(closes)[:, :horizon]
    if not np.isfinite(quantiles).all():
        log.error("model answered no number", version=choice.loaded.card.version)
        return None, "the model's answer was not a number", baseline
    return choice.loaded, "", quantiles


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
