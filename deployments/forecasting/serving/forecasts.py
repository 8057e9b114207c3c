"""Answer forecast requests: read history, climb the ladder, put it into words, note it down."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Protocol

from deployments.common.clock import Clock
from deployments.common.errors import CandlecastError
from deployments.forecasting.issued import IssuedForecast
from deployments.forecasting.models import Forecast, ForecastRequest, Skill
from deployments.forecasting.predicting.baselines import BASELINE_NAME
from deployments.forecasting.serving.answer import MODEL_NAME, check_request, issue
from deployments.forecasting.serving.history import History, coming_times, history_of
from deployments.forecasting.serving.journal import ForecastJournal
from deployments.forecasting.serving.ladder import LeastRecent, Prediction, Task, bars_wanted, predict
from deployments.forecasting.serving.listings import Listings
from deployments.forecasting.serving.shelf import Choice, ModelShelf
from deployments.forecasting.serving.skillbook import Skillbook
from deployments.market_data.models import CandleQuery, Candles, Interval

CACHED_PREDICTIONS = 2_048
CACHED_HISTORIES = 1_024

HISTORY_FRESH_FOR = timedelta(seconds=1)
"""Age up to which candles are not asked for again: market data itself confirms them that often."""

Predict = Callable[[Sequence[Task]], Awaitable[list[Prediction]]]
"""Carries out tasks off the event loop; a deployment puts those of many requests together."""

Histories = dict[str, History | CandlecastError]


class BatchReader(Protocol):
    """Whoever reads the candles of many symbols at once."""

    async def candles_batch(
        self, symbols: tuple[str, ...], query: CandleQuery
    ) -> dict[str, Candles | CandlecastError]: ...


async def predict_in_thread(tasks: Sequence[Task]) -> list[Prediction]:
    """Carry out tasks by themselves in a thread."""
    return await asyncio.to_thread(predict, tasks)


@dataclass(frozen=True, slots=True)
class _Read:
    """Which history was read: two of these are equal where the answer is the same."""

    symbol: str
    interval: Interval
    bars: int
    as_of: datetime | None


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A prediction and when it was made: every answer that tells it again was issued then."""

    prediction: Prediction
    at: datetime


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
        predict: Predict = predict_in_thread,
    ) -> None:
        self._market = market
        self._listings = listings
        self._shelf = shelf
        self._journal = journal
        self._skillbook = skillbook
        self._clock = clock
        self._predict = predict
        self._predictions: LeastRecent[str, _Made] = LeastRecent(CACHED_PREDICTIONS)
        self._histories: LeastRecent[_Read, tuple[datetime, History]] = LeastRecent(CACHED_HISTORIES)

    async def one(self, request: ForecastRequest) -> Forecast:
        """Forecast one symbol; raises `InvalidRequest`, `UnknownSymbol`, `NoCandles` or `TooLittleHistory`."""
        answer = (await self.many((request.symbol,), request))[request.symbol]
        if isinstance(answer, CandlecastError):
            raise answer
        return answer

    async def many(self, symbols: tuple[str, ...], request: ForecastRequest) -> dict[str, Forecast | CandlecastError]:
        """Forecast many symbols in one pass, each answered by its forecast or its error.

        The model is chosen once: all answers come from one version, whatever is promoted meanwhile.
        """
        check_request(request)
        choice = await self._shelf.choose(request.interval, request.horizon, request.as_of)
        read = await self._read(symbols, request, bars_wanted(choice))
        histories = {symbol: history for symbol, history in read.items() if isinstance(history, History)}
        made = await self._foresee(choice, histories, request.horizon)
        now = self._clock()
        answers: dict[str, Forecast | CandlecastError] = {
            symbol: error for symbol, error in read.items() if isinstance(error, CandlecastError)
        }
        for symbol, each in made.items():
            answers[symbol] = self._tell(request, histories[symbol], each, now)
        return {symbol: answers[symbol] for symbol in symbols}

    async def _read(self, symbols: tuple[str, ...], request: ForecastRequest, bars: int) -> Histories:
        now, found = self._clock(), Histories()
        for symbol in symbols:
            held = self._histories.get(_Read(symbol, request.interval, bars, request.as_of))
            if held and now - held[0] < HISTORY_FRESH_FOR:
                found[symbol] = held[1]
        missing = tuple(symbol for symbol in symbols if symbol not in found)
        if not missing:
            return found
        query = CandleQuery("", request.interval, limit=bars, as_of=request.as_of)
        answers = await self._market.candles_batch(missing, query)
        fresh = await asyncio.gather(*(self._history(answers[symbol], symbol) for symbol in missing))
        for symbol, history in zip(missing, fresh, strict=True):
            found[symbol] = history
            if isinstance(history, History):
                self._histories.put(_Read(symbol, request.interval, bars, request.as_of), (now, history))
        return found

    async def _history(self, answer: Candles | CandlecastError, symbol: str) -> History | CandlecastError:
        try:
            if isinstance(answer, CandlecastError):
                raise answer
            return history_of(answer, (await self._listings.listing(symbol)).calendar)
        except CandlecastError as error:
            return error

    async def _foresee(self, choice: Choice, histories: Mapping[str, History], horizon: int) -> dict[str, _Made]:
        # One version for all, and the baseline for those symbols that the version has lost to it.
        choices = {symbol: choice.serving(symbol) for symbol in histories}
        keys = {symbol: _key(choices[symbol], history, horizon) for symbol, history in histories.items()}
        known = {symbol: held for symbol, key in keys.items() if (held := self._predictions.get(key))}
        missing = [symbol for symbol in histories if symbol not in known]
        if missing:
            tasks = [Task(choices[symbol], histories[symbol], horizon) for symbol in missing]
            for symbol, prediction in zip(missing, await self._predict(tasks), strict=True):
                known[symbol] = _Made(prediction, self._clock())
                # A model that failed may answer the next time; the bars stay the same for an hour or a day.
                if not prediction.failed:
                    self._predictions.put(keys[symbol], known[symbol])
        return known

    def _tell(self, request: ForecastRequest, history: History, made: _Made, now: datetime) -> Forecast:
        prediction = made.prediction
        times = coming_times(history.calendar, history.interval, history.last_time, request.horizon)
        issued = issue(request, history, prediction, times, self._skill(request, history, prediction), now, made.at)
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


def _key(choice: Choice, history: History, horizon: int) -> str:
    # The bars themselves take part: a corrected one changes the forecast without changing the last candle.
    model = choice.loaded.card.version if choice.loaded else choice.reason
    digest = blake2b(history.log_closes.tobytes(), digest_size=16)
    digest.update(history.bars.variances.tobytes())
    digest.update(history.bars.known.tobytes())
    if choice.recalibration:
        digest.update(choice.recalibration.stretch.tobytes())
    key = (history.symbol, history.interval, horizon, history.calendar, history.last_time.isoformat(), model)
    return "|".join(map(str, (*key, digest.hexdigest())))


def _unskilled(issued: IssuedForecast) -> IssuedForecast:
    return replace(issued, forecast=replace(issued.forecast, skill=None))
