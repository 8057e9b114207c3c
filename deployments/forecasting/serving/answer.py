"""Put a prediction into the words of the API: status, warnings, points. Pure functions only."""

from datetime import datetime

from deployments.common.errors import InvalidRequest
from deployments.forecasting.issued import IssuedForecast, points_of
from deployments.forecasting.judging.gate import MAX_CHAMPION_AGE
from deployments.forecasting.models import (
    Fallback,
    Forecast,
    ForecastRequest,
    ForecastStatus,
    ModelCard,
    ModelRef,
    Skill,
)
from deployments.forecasting.predicting.baselines import BASELINE_NAME
from deployments.forecasting.serving.history import History
from deployments.forecasting.serving.ladder import Prediction

MODEL_NAME = "nhits"

MAX_HORIZON = 168
MAX_LEVELS = 10

OLD_MODEL = MAX_CHAMPION_AGE
"""Age of a model from which its answer says so, and from which a newer one that is no worse takes over."""


def check_request(request: ForecastRequest) -> None:
    """Raise `InvalidRequest` naming every field of a forecast request that cannot be."""
    fields = []
    if not 1 <= request.horizon <= MAX_HORIZON:
        fields.append(("horizon", f"must lie between 1 and {MAX_HORIZON}"))
    if not 1 <= len(request.levels) <= MAX_LEVELS:
        fields.append(("level", f"between 1 and {MAX_LEVELS} levels can be asked for"))
    if not all(0 < level < 100 for level in request.levels):
        fields.append(("level", "must lie between 0 and 100 percent"))
    if request.as_of is not None and request.as_of.tzinfo is None:
        fields.append(("as_of", "must say its time zone"))
    if fields:
        raise InvalidRequest("the forecast request cannot be answered", tuple(fields))


def issue(
    request: ForecastRequest,
    history: History,
    prediction: Prediction,
    times: tuple[datetime, ...],
    skill: Skill | None,
    now: datetime,
    issued_at: datetime,
) -> IssuedForecast:
    """Return the forecast to send and to store, made at `issued_at` and told `now`; `times` open the bars ahead."""
    card = prediction.loaded.card if prediction.loaded else None
    status, warnings = standing(card, prediction.reason, history, now, request.as_of)
    forecast = Forecast(
        symbol=history.symbol,
        interval=history.interval,
        horizon=request.horizon,
        issued_at=issued_at,
        data_as_of=history.data_as_of,
        expires_at=times[0] + history.interval.delta,
        status=status,
        model=_ref(card),
        levels=request.levels,
        points=points_of(prediction.quantiles, times, request.levels),
        skill=skill,
        warnings=warnings,
        fallback=None if card else Fallback(prediction.cause, prediction.reason),
    )
    last_close = float(history.log_closes[-1])
    return IssuedForecast(
        forecast=forecast,
        last_time=history.last_time,
        last_close=last_close,
        scale=prediction.scale,
        quantiles=prediction.quantiles,
        baseline=prediction.baseline,
        raw=prediction.raw,
    )


def standing(
    card: ModelCard | None, reason: str, history: History, now: datetime, as_of: datetime | None
) -> tuple[ForecastStatus, tuple[str, ...]]:
    """Return the worst condition of a forecast, fallback before stale data before an old model, and all of them.

    With `as_of` a model cannot be old: it is the one of its time.
    """
    conditions = []
    if card is None:
        conditions.append((ForecastStatus.FALLBACK, f"baseline answered: {reason}"))
    if history.stale:
        conditions.append((ForecastStatus.STALE_DATA, f"the newest bar closed at {history.data_as_of:%Y-%m-%d %H:%M}Z"))
    if card and as_of is None and now - card.trained_at > OLD_MODEL:
        conditions.append((ForecastStatus.OLD_MODEL, f"the model was trained {(now - card.trained_at).days} days ago"))
    warnings = [text for _, text in conditions]
    if history.missing_bars:
        warnings.append(f"{history.missing_bars} bars are missing in the history read")
    if history.incomplete:
        newest = f"{history.incomplete[-1]:%Y-%m-%d %H:%M}Z"
        warnings.append(f"{len(history.incomplete)} bars were added up from too few finer ones, the newest at {newest}")
    return (conditions[0][0] if conditions else ForecastStatus.FRESH), tuple(warnings)


def _ref(card: ModelCard | None) -> ModelRef:
    if card is None:
        return ModelRef(BASELINE_NAME, None, None)
    return ModelRef(MODEL_NAME, card.version, card.trained_at)
