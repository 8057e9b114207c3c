"""The graph for Python callers: the HTTP answers as dicts, candles as a data frame."""

from datetime import datetime
from typing import Annotated, Any, TypeVar

import pandas as pd
from pydantic import Field, ValidationError

from deployments.common.errors import InvalidRequest
from deployments.forecasting.models import ForecastRequest
from deployments.gateway.bodies import AnalysisBody, Body, Symbol
from deployments.gateway.parameters import MAX_DAYS, MAX_LEVELS, Instant
from deployments.gateway.services import Services
from deployments.gateway.wire.encoding import plain
from deployments.market_data.models import MAX_CANDLES, CandleQuery, Interval

B = TypeVar("B", bound=Body)

Level = Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)]


class _ForecastCall(Body):
    symbol: Symbol
    interval: Interval
    horizon: Annotated[int, Field(ge=1, le=168)]
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=MAX_LEVELS)]
    as_of: Instant | None


class _CandlesCall(Body):
    symbol: Symbol
    interval: Interval
    start: Instant | None
    end: Instant | None
    lookback_days: Annotated[float | None, Field(gt=0, le=MAX_DAYS, allow_inf_nan=False)]
    limit: Annotated[int | None, Field(ge=1, le=MAX_CANDLES)]
    as_of: Instant | None


class PythonApi:
    """Answer calls that arrive by handle, checked like those that arrive by HTTP; raises errors of our tree."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def forecast(
        self, symbol: str, interval: str, horizon: int, level: tuple[float, ...], as_of: datetime | str | None
    ) -> dict[str, Any]:
        """Return a forecast as the HTTP answer has it."""
        call = _checked(
            _ForecastCall, symbol=symbol, interval=interval, horizon=horizon, levels=tuple(level), as_of=as_of
        )
        request = ForecastRequest(call.symbol, call.interval, call.horizon, tuple(sorted(set(call.levels))), call.as_of)
        answer: dict[str, Any] = plain(await self._services.forecaster.forecast(request))
        return answer

    async def candles(self, symbol: str, **window: Any) -> pd.DataFrame:
        """Return candles as a frame with the columns time (UTC), open, high, low, close, volume, ascending.

        `window` holds `interval`, `start`, `end`, `lookback_days`, `limit` and `as_of`; `frame.attrs` tell source,
        data_as_of and stale.
        """
        call = _checked(_CandlesCall, symbol=symbol, **window)
        found = await self._services.market_data.candles(CandleQuery(**dict(call)))
        frame: pd.DataFrame = found.table.to_pandas()
        frame.attrs = plain({"source": found.source, "data_as_of": found.data_as_of, "stale": found.stale})
        return frame

    async def analyze(self, symbol: str, **wanted: Any) -> dict[str, Any]:
        """Return an analysis as the HTTP answer has it; `wanted` are the fields of the HTTP request."""
        request = _checked(AnalysisBody, symbol=symbol, **wanted).request()
        answer: dict[str, Any] = plain(await self._services.analyst.analyze(request))
        return answer


def _checked(kind: type[B], **given: Any) -> B:
    try:
        return kind(**given)
    except ValidationError as error:
        found = tuple((".".join(map(str, item["loc"])), item["msg"]) for item in error.errors())
        names = ", ".join(dict.fromkeys(name for name, _ in found))
        # pydantic's own error does not survive the way to another process
        raise InvalidRequest(f"the call is malformed: {names}", found) from None
