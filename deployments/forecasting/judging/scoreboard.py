"""Issued forecasts beside what happened: realised closes, losses, and live skill."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from deployments.common.errors import CandlecastError
from deployments.common.telemetry import logger
from deployments.forecasting.issued import IssuedForecast
from deployments.forecasting.judging.evaluation import Scores, pinball_losses, score
from deployments.forecasting.models import AccuracyRow, PastForecast, Skill
from deployments.forecasting.quantiles import FloatArray
from deployments.market_data.models import MAX_CANDLES, CandleQuery, Candles, Interval

log = logger(__name__)

SCORED_FORECASTS = 500
"""Newest forecasts that a scoreboard looks at."""

Closes = Mapping[datetime, float]
"""Log closes by the opening time of their bar."""


class CandleReader(Protocol):
    """Whoever can read candles."""

    async def candles(self, query: CandleQuery) -> Candles: ...


async def realised_closes(market: CandleReader, issued: Sequence[IssuedForecast]) -> dict[tuple[str, Interval], Closes]:
    """Return the closes that followed forecasts, by symbol and interval; what cannot be read is left out."""
    groups: dict[tuple[str, Interval], list[IssuedForecast]] = defaultdict(list)
    for one in issued:
        groups[one.forecast.symbol, one.forecast.interval].append(one)
    return {group: await _closes(market, *group, members) for group, members in groups.items()}


def past_forecast(issued: IssuedForecast, closes: Closes) -> PastForecast:
    """Return a forecast with the prices that followed; losses, in log price, only once every bar has arrived."""
    logs = [closes.get(point.time) for point in issued.forecast.points]
    realised = tuple(None if close is None else float(np.exp(close)) for close in logs)
    actual = _complete(logs)
    if actual is None:
        return PastForecast(issued.forecast, realised, None, None)
    return PastForecast(
        issued.forecast,
        realised,
        float(pinball_losses(actual, issued.quantiles).mean()),
        float(pinball_losses(actual, issued.baseline).mean()),
    )


def accuracy_rows(
    issued: Iterable[IssuedForecast], closes: Mapping[tuple[str, Interval], Closes]
) -> tuple[AccuracyRow, ...]:
    """Return the live skill of each model on each symbol, interval and horizon over its resolved forecasts.

    In the order of their names: the same scores are the same answer, in whichever order the forecasts came.
    """
    groups: dict[_Model, list[_Resolved]] = defaultdict(list)
    for one in issued:
        told = one.forecast
        known = closes.get((told.symbol, told.interval), {})
        actual = _complete([known.get(point.time) for point in told.points])
        if actual is not None:
            key = (told.symbol, told.interval, told.horizon, told.model.name, told.model.version)
            groups[key].append((one, actual))
    names = sorted(groups, key=lambda key: (*key[:4], key[4] or ""))
    return tuple(AccuracyRow(*key, skill=_live_skill(groups[key])) for key in names)


_Model = tuple[str, Interval, int, str, str | None]
_Resolved = tuple[IssuedForecast, FloatArray]


def _live_skill(resolved: Sequence[_Resolved]) -> Skill:
    own = _scores(resolved, [one.quantiles for one, _ in resolved])
    baseline = _scores(resolved, [one.baseline for one, _ in resolved])
    return Skill(
        pinball_vs_baseline=own.pinball / baseline.pinball if baseline.pinball > 0 else None,
        mase=own.mase if np.isfinite(own.mase) else None,
        coverage={"80": own.coverage80, "90": own.coverage90},
        n=own.n,
        basis="live",
    )


def _scores(resolved: Sequence[_Resolved], quantiles: Sequence[FloatArray]) -> Scores:
    return score(
        actual=np.stack([actual for _, actual in resolved]),
        quantiles=np.stack(quantiles),
        last=np.array([one.last_close for one, _ in resolved]),
        scale=np.array([one.scale for one, _ in resolved]),
    )


def _complete(logs: Sequence[float | None]) -> FloatArray | None:
    known = [close for close in logs if close is not None]
    return np.array(known) if len(known) == len(logs) and known else None


async def _closes(market: CandleReader, symbol: str, interval: Interval, issued: Sequence[IssuedForecast]) -> Closes:
    end = max(one.forecast.points[-1].time for one in issued) + interval.delta
    start = max(min(one.forecast.points[0].time for one in issued), end - MAX_CANDLES * interval.delta)
    try:
        table = (await market.candles(CandleQuery(symbol, interval, start=start, end=end))).table
    except CandlecastError as error:
        log.warning("forecasts not resolved", symbol=symbol, interval=interval, reason=str(error))
        return {}
    times = [time.astimezone(UTC) for time in table["time"].to_pylist()]
    return dict(zip(times, np.log(table["close"].to_numpy()).tolist(), strict=True))
