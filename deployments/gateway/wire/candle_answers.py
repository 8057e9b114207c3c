"""Encoded candles, kept as long as market data confirms that they still hold.

Why they are kept here and how they are confirmed: `docs/decisions/0008-answers-carry-a-generation.md`.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass

from deployments.common.errors import CandlecastError
from deployments.common.telemetry import logger, request_id
from deployments.gateway.meter import Meter, NoMeter
from deployments.gateway.wire.candle_formats import (
    ARROW_TYPE,
    CSV_TYPE,
    JSON_TYPE,
    Layout,
    candles_arrow,
    candles_csv,
    candles_json,
    provenance,
)
from deployments.gateway.wire.prepared import Prepared
from deployments.market_data.models import CandleQuery, Candles
from deployments.market_data.reading.generation import generation_of

log = logger(__name__)

FRESH_S = 1.0
"""How long a confirmation is believed."""

RENEW_S = FRESH_S / 2
"""From this age on a confirmation is renewed beside the reads, so that under load none of them waits."""

THREAD_ROWS = 5_000
"""More rows than this take over two milliseconds to write and leave the event loop."""

Ask = Callable[[CandleQuery, str], Awaitable[Candles | None]]
"""Asks market data for candles whose generation differs from the one given."""


@dataclass(frozen=True, slots=True)
class WantedCandles:
    """What tells one answer from another."""

    query: CandleQuery
    layout: Layout
    media_type: str


@dataclass(slots=True)
class _Entry:
    answer: Prepared
    generation: str
    confirmed_at: float
    is_renewed: bool = False


@dataclass(frozen=True, slots=True)
class _Flight:
    began_at: float
    task: asyncio.Task[Prepared]


class CandleAnswers:
    """Answer from memory what was confirmed at most `FRESH_S` seconds ago; ask market data for the rest.

    However many want the same at once, market data is asked once. Errors are not kept. `max_bytes` bounds the
    memory; what was not read for longest goes first. `carry` hands a request id to calls by handle. For one event loop.
    """

    def __init__(
        self,
        ask: Ask,
        max_bytes: int,
        carry: Callable[[str], None] = lambda _: None,
        meter: Meter | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._max_bytes = max_bytes
        self._carry = carry
        self._meter = meter or NoMeter()
        self._monotonic = monotonic
        self._entries: OrderedDict[WantedCandles, _Entry] = OrderedDict()
        self._flights: dict[WantedCandles, _Flight] = {}
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    @property
    def entries(self) -> int:
        return len(self._entries)

    async def get(self, wanted: WantedCandles) -> Prepared:
        """Return the answer as market data had it at most `FRESH_S` seconds before this call; raises as it does."""
        asked_at = self._monotonic()
        entry = self._entries.get(wanted)
        if entry is not None and asked_at - entry.confirmed_at <= FRESH_S:
            self.hits += 1
            self._meter.candles("hit")
            self._entries.move_to_end(wanted)
            if asked_at - entry.confirmed_at > RENEW_S and not entry.is_renewed:
                entry.is_renewed = True
                self._start(wanted, asked_at, "").task.add_done_callback(_tell_failure)
            return entry.answer
        self.misses += 1
        self._meter.candles("miss")
        flight = self._flights.get(wanted)
        if flight is None or asked_at - flight.began_at > FRESH_S:
            flight = self._start(wanted, asked_at, request_id.get())
        # Shielded: the others who wait for it must not suffer from one that leaves.
        return await asyncio.shield(flight.task)

    def _start(self, wanted: WantedCandles, now: float, identity: str) -> _Flight:
        # In a context of its own: Serve ends the calls of a request whose client has left.
        task = asyncio.create_task(self._confirm(wanted, now, identity), context=Context())
        flight = self._flights[wanted] = _Flight(now, task)
        task.add_done_callback(lambda _: self._landed(wanted, flight))
        return flight

    def _landed(self, wanted: WantedCandles, flight: _Flight) -> None:
        if self._flights.get(wanted) is flight:
            del self._flights[wanted]
        if not flight.task.cancelled():
            flight.task.exception()  # seen, also where everybody who waited for it has left

    async def _confirm(self, wanted: WantedCandles, began_at: float, identity: str) -> Prepared:
        if identity:
            request_id.set(identity)
            self._carry(identity)
        held = self._entries.get(wanted)
        found = await self._ask(wanted.query, held.generation if held else "")
        if found is not None:
            answer, generation = await _encoded(found, wanted), generation_of(found)
        else:
            assert held is not None, "only a known generation can be confirmed"  # noqa: S101
            answer, generation = held.answer, held.generation
        self._keep(wanted, _Entry(answer, generation, began_at))
        return answer

    def _keep(self, wanted: WantedCandles, entry: _Entry) -> None:
        held = self._entries.get(wanted)
        if held is not None and held.confirmed_at > entry.confirmed_at:
            return  # a later question was answered earlier
        self._drop(wanted)
        self._entries[wanted] = entry
        self.bytes += entry.answer.size
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, wanted: WantedCandles) -> None:
        entry = self._entries.pop(wanted, None)
        if entry is not None:
            self.bytes -= entry.answer.size


def _tell_failure(task: asyncio.Task[Prepared]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.warning("candles not confirmed", reason=str(error) if isinstance(error, CandlecastError) else repr(error))


async def _encoded(found: Candles, wanted: WantedCandles) -> Prepared:
    if found.table.num_rows > THREAD_ROWS:
        return await asyncio.to_thread(prepared_candles, found, wanted.layout, wanted.media_type)
    return prepared_candles(found, wanted.layout, wanted.media_type)


def prepared_candles(found: Candles, layout: Layout, media_type: str) -> Prepared:
    """Return candles ready for the wire, in one of the three media types."""
    headers = {"Vary": "Accept"}
    rows = found.table.num_rows
    if media_type == ARROW_TYPE:
        return Prepared(candles_arrow(found), ARROW_TYPE, headers | provenance(found), rows)
    if media_type == CSV_TYPE:
        return Prepared(candles_csv(found), CSV_TYPE, headers | provenance(found), rows)
    return Prepared(candles_json(found, layout), JSON_TYPE, headers, rows)
