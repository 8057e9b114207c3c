"""When a model should be trained again. A pure function that says why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from deployments.forecasting.judging.comparison import compare
from deployments.forecasting.judging.resolving import Outcomes
from deployments.forecasting.models import ModelCard, TrainingRequest, TrainingRun
from deployments.forecasting.quantiles import QUANTILES

ERROR_RATE = 0.01
"""Chance of calling the skill of a model gone that is as good as the baseline: it is asked many times a week."""

MIN_OUTCOMES = 200
"""Resolved forecasts below which lost skill may be luck."""


@dataclass(frozen=True, slots=True)
class RetrainingPolicy:
    """Train again a champion older than `after`, None never, but no series more often than every `pause`."""

    after: timedelta | None = timedelta(days=7)
    pause: timedelta = timedelta(days=1)


def retraining_reason(
    card: ModelCard,
    outcomes: Outcomes,
    runs: Iterable[TrainingRun],
    data_end: datetime | None,
    policy: RetrainingPolicy,
    now: datetime,
) -> str:
    """Return why the champion `card` should be trained again, empty where it should not.

    `outcomes` are those of its own live forecasts, `data_end` the close of the newest bar there is: without a bar that
    the champion has not seen there is nothing to learn.
    """
    if policy.after is None or data_end is None or data_end <= card.data_end:
        return ""
    if any(is_for(card, run) and now - run.created_at < policy.pause for run in runs):
        return ""
    if now - card.trained_at > policy.after:
        return f"the champion is {(now - card.trained_at).days} days old"
    return _lost_skill(card, outcomes)


def request_like(card: ModelCard) -> TrainingRequest:
    """Return the request that trains a successor of `card` on every enabled symbol."""
    steps = card.config.get("training", {}).get("max_steps", TrainingRequest().max_steps)
    own = tuple(card.config.get("network", {}).get("quantiles", QUANTILES))
    return TrainingRequest(
        interval=card.interval,
        horizon=card.horizon,
        input_size=card.input_size,
        max_steps=int(steps),
        seed=card.seed or TrainingRequest().seed,
        quantiles=() if own == QUANTILES else own,
    )


def is_for(card: ModelCard, run: TrainingRun) -> bool:
    """Tell whether a run trains a rival of `card`."""
    return run.request.interval is card.interval and run.request.horizon == card.horizon


def _lost_skill(card: ModelCard, outcomes: Outcomes) -> str:
    if len(outcomes) < MIN_OUTCOMES:
        return ""
    beside = compare(outcomes.own_losses, outcomes.baseline_losses, card.horizon)
    if beside.p_worse >= ERROR_RATE:
        return ""
    return (
        f"its live skill is gone: pinball loss {beside.ratio:.3f} times the baseline's over {len(outcomes)} forecasts "
        f"(p = {beside.p_worse:.3f})"
    )
