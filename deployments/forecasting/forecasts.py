"""Answer forecast requests: read history, climb the ladder, put it into words, note it down."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Protocol

from deployments.common.clock import Clock
from deployments.common.errors import CandlecastError
from deployments.forecasting.answer import MODEL_NAME, check_request, issue
from deployments.forecasting.baselines import BASELINE_NAME
from deployments.forecasting.history import History, coming_times, history_of
from deployments.forecasting.issued import IssuedForecast
from deployments.forecasting.journal import ForecastJournal
from deployments.forecasting.ladder import LeastRecent, Prediction, bars_wanted, predict
from deployments.forecasting.listings import Listings
from deployments.forecasting.models import Forecast, ForecastRequest, Skill
from deployments.forecasting.shelf import Choice, ModelShelf
from deployments.forecasting.skillbook import Skillbook
from deployments.market_data.models import CandleQuery, Candles

CACHED_PREDICTIONS = 2_048

_Foreseen = tuple[Prediction, tuple[datetime, ...]]


class BatchReader(Protocol):
    """Whoever reads the candles of many symbols at once."""

    async def candles_batch(
        self, symbols: tuple[str, ...], query: CandleQuery
    ) -> dict[str, Candles | CandlecastError]: ...


class Forecasts:
    """Forecast symbols with the models of `shelf`; what is issued without `as_of` goes to `journal`."""

    def __init__(
        self,
        market: BatchReader,
        listings: Listings,
        shelf: ModelShelf,
        journal: ForecastJournal,
        skillbook: Skillbook,
        clock: Clock,
    ) -> None:
        self._market = market
        self._listings = listings
        self._shelf = shelf
        self._journal = journal
        self._skillbook = skillbook
        self._clock = clock
        self._cache: LeastRecent[str, _Foreseen] = LeastRecent(CACHED_PREDICTIONS)

    async def one(self, request: ForecastRequest) -> Forecast:
        """Forecast one symbol; raises `InvalidRequest`, `UnknownSymbol`, `NoCandles` or `TooLittleHistory`."""
        answer = (await self.many((request.symbol,), request))[request.symbol]
        if isinstance(answer, CandlecastError):
            raise answer
        return answer

    async def many(self, symbols: tuple[str, ...], request: ForecastRequest) -> dict[str, Forecast | CandlecastError]:
        """Forecast many symbols in one pass, each answered by its forecast or its error."""
        check_request(request)
        choice = await self._shelf.choose(request.interval, request.horizon, request.as_of)
        query = CandleQuery("", request.interval, limit=bars_wanted(choice), as_of=request.as_of)
        histories, errors = _histories(await self._market.candles_batch(symbols, query))
        foreseen = await self._foresee(choice, histories, request.horizon)
        now = self._clock()
        answers: dict[str, Forecast | CandlecastError] = dict(errors)
        for symbol, (prediction, times) in foreseen.items():
            answers[symbol] = self._tell(request, histories[symbol], prediction, times, now)
        return {symbol: answers[symbol] for symbol in symbols}

    async def _foresee(self, choice: Choice, histories: Mapping[str, History], horizon: int) -> dict[str, _Foreseen]:
        keys = {symbol: _key(choice, history, horizon) for symbol, history in histories.items()}
        known = {symbol: held for symbol, key in keys.items() if (held := self._cache.get(key))}
        missing = {symbol: history for symbol, history in histories.items() if symbol not in known}
        if missing:
            calendars = {symbol: (await self._listings.listing(symbol)).calendar for symbol in missing}
            fresh = await asyncio.to_thread(_compute, choice, missing, calendars, horizon)
            for symbol, foreseen in fresh.items():
                self._cache.put(keys[symbol], foreseen)
            known |= fresh
        return known

    def _tell(
        self,
        request: ForecastRequest,
        history: History,
        prediction: Prediction,
        times: tuple[datetime, ...],
        now: datetime,
    ) -> Forecast:
        issued = issue(request, history, prediction, times, self._skill(request, history, prediction), now)
        if request.as_of is None:
            self._journal.add(_unskilled(issued))
        return issued.forecast

    def _skill(self, request: ForecastRequest, history: History, prediction: Prediction) -> Skill | None:
        card = prediction.loaded.card if prediction.loaded else None
        if request.as_of is not None:
            # Live skill would tell of a time after `as_of`.
            return self._skillbook.on_test(card)
        name = MODEL_NAME if card else BASELINE_NAME
        return self._skillbook.skill(history.symbol, request.interval, request.horizon, name, card)


def _histories(
    answers: Mapping[str, Candles | CandlecastError],
) -> tuple[dict[str, History], dict[str, CandlecastError]]:
    histories: dict[str, History] = {}
    errors: dict[str, CandlecastError] = {}
    for symbol, answer in answers.items():
        try:
            if isinstance(answer, CandlecastError):
                raise answer
            histories[symbol] = history_of(answer)
        except CandlecastError as error:
            errors[symbol] = error
    return histories, errors


def _compute(
    choice: Choice, histories: Mapping[str, History], calendars: Mapping[str, str], horizon: int
) -> dict[str, _Foreseen]:
    predictions = predict(choice, histories, horizon)
    return {
        symbol: (
            predictions[symbol],
            coming_times(calendars[symbol], history.interval, history.last_time, horizon),
        )
        for symbol, history in histories.items()
    }


def _key(choice: Choice, history: History, horizon: int) -> str:
    # The closes themselves take part: a corrected bar changes the forecast without changing the last candle.
    model = choice.loaded.card.version if choice.loaded else choice.reason
    digest = blake2b(history.log_closes.tobytes(), digest_size=16).hexdigest()
    return f"{history.symbol}|{history.interval}|{horizon}|{history.last_time.isoformat()}|{model}|{digest}"


def _unskilled(issued: IssuedForecast) -> IssuedForecast:
    return replace(issued, forecast=replace(issued.forecast, skill=None))
