"""Forecasts as answers that may be kept: which there are, how they are asked for, and what is sent."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from deployments.common.errors import CandlecastError
from deployments.forecasting.models import Forecast, ForecastRequest
from deployments.gateway.parameters import symbols_of
from deployments.gateway.services import ForecasterApi
from deployments.gateway.wire.answers import batch_body
from deployments.gateway.wire.candle_formats import JSON_TYPE
from deployments.gateway.wire.encoding import to_json
from deployments.gateway.wire.kept_answers import Lasting, Passing
from deployments.gateway.wire.prepared import Prepared
from deployments.gateway.wire.tags import tag_of_content

THREAD_POINTS = 1_000
"""More points than this take over a millisecond to write and leave the event loop."""


@dataclass(frozen=True, slots=True)
class WantedForecasts:
    """What tells one answer from another: a symbol in `request`, or the symbols of a batch as the query has them."""

    request: ForecastRequest
    batch: str | None = None


class ForecastSource:
    """Ask the forecaster, tell `announce` of every forecast about now, and write what it answered.

    The generation of an answer is its entity tag, which a forecast issued again does not change: then the bytes that
    are held, compressed ones included, are as good as new ones.
    """

    def __init__(self, forecaster: ForecasterApi, announce: Callable[[Forecast], None]) -> None:
        self._forecaster = forecaster
        self._announce = announce

    async def changed(self, wanted: WantedForecasts, generation: str) -> Lasting | Passing | None:
        """Return the answer, or None where its content is that of `generation`.

        A batch that holds errors passes: they may be over in a moment, and each names the request that met it.
        """
        if wanted.batch is None:
            forecast = await self._forecaster.forecast(wanted.request)
            answer = await _encoded(forecast, wanted.request.horizon)
            self._tell(wanted.request, forecast)
        else:
            results, errors = await self._batch(wanted.batch, wanted.request)
            points = wanted.request.horizon * len(results)
            if errors:
                self._tell(wanted.request, *results.values())
                return Passing(partial(_encoded_batch, results, errors, points))
            answer = await _encoded_batch(results, {}, points)
            self._tell(wanted.request, *results.values())
        return None if answer.tag == generation else Lasting(answer, answer.tag)

    async def _batch(
        self, symbols: str, request: ForecastRequest
    ) -> tuple[dict[str, Forecast], dict[str, CandlecastError]]:
        names, malformed = symbols_of(symbols)
        found = await self._forecaster.forecast_batch(names, request) if names else {}
        results = {name: item for name, item in found.items() if isinstance(item, Forecast)}
        failed = {name: item for name, item in found.items() if isinstance(item, CandlecastError)}
        return results, failed | malformed

    def _tell(self, request: ForecastRequest, *forecasts: Forecast) -> None:
        # Last of all, because whoever hears of a forecast asks for it.
        if request.as_of is None:  # one about the past is no news
            for forecast in forecasts:
                self._announce(forecast)


async def _encoded_batch(
    results: Mapping[str, Forecast], errors: Mapping[str, CandlecastError], points: int
) -> Prepared:
    return await _encoded(batch_body(results, errors), points)


async def _encoded(content: object, points: int) -> Prepared:
    return await asyncio.to_thread(_written, content) if points > THREAD_POINTS else _written(content)


def _written(content: object) -> Prepared:
    body = to_json(content)
    return Prepared(body, JSON_TYPE, {}, 0, tag_of_content(body))
