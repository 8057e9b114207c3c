"""Answers in memory, kept as long as the context behind them confirms that they still hold.

Why they are kept here and how they are confirmed: docs/decisions/0008 and 0015.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from deployments.common.errors import CandlecastError
from deployments.common.telemetry import logger, request_id
from deployments.gateway.wire.prepared import Prepared

log = logger(__name__)

FRESH_S = 1.0
"""How long a confirmation is believed."""

RENEW_S = FRESH_S / 2
"""From this age on a confirmation is renewed beside the reads, so that under load none of them waits."""

Question = TypeVar("Question", bound=Hashable)
Question_contra = TypeVar("Question_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Lasting:
    """An answer for everybody, until its generation is another."""

    answer: Prepared
    generation: str


@dataclass(frozen=True, slots=True)
class Passing:
    """An answer only for those who wait for it now: `write` makes it inside the request of each."""

    write: Callable[[], Awaitable[Prepared]]


class Source(Protocol[Question_contra]):
    """Where answers come from."""

    async def changed(self, question: Question_contra, generation: str) -> Lasting | Passing | None:
        """Return the answer, or None where it still has the generation given (empty: none is held)."""
        ...


@dataclass(slots=True)
class _Entry:
    held: Lasting
    confirmed_at: float
    doubts: int
    is_renewed: bool = False


@dataclass(frozen=True, slots=True)
class _Flight:
    began_at: float
    task: asyncio.Task[Lasting | Passing]


class KeptAnswers(Generic[Question]):
    """Answer from memory what was confirmed at most `FRESH_S` seconds ago; ask `source` for the rest.

    However many want the same at once, the source is asked once. Errors and `Passing` answers are not kept.
    `max_bytes` bounds the memory; what was not read for longest goes first. `carry` hands a request id to calls by
    handle, `note` is told of each `hit` and `miss`. For one event loop.
    """

    def __init__(
        self,
        source: Source[Question],
        max_bytes: int,
        carry: Callable[[str], None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self._carry = carry
        self._note = note
        self._monotonic = monotonic
        self._entries: OrderedDict[Question, _Entry] = OrderedDict()
        self._flights: dict[Question, _Flight] = {}
        self._doubts = 0
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    @property
    def entries(self) -> int:
        return len(self._entries)

    async def get(self, question: Question) -> Prepared:
        """Return the answer as the source had it at most `FRESH_S` seconds before this call; raises as it does."""
        asked_at = self._monotonic()
        entry = self._entries.get(question)
        if entry is not None and entry.doubts == self._doubts and asked_at - entry.confirmed_at <= FRESH_S:
            self.hits += 1
            self._note("hit")
            self._entries.move_to_end(question)
            if asked_at - entry.confirmed_at > RENEW_S and not entry.is_renewed:
                entry.is_renewed = True
                self._start(question, asked_at, "").task.add_done_callback(_tell_failure)
            return entry.held.answer
        self.misses += 1
        self._note("miss")
        flight = self._flights.get(question)
        if flight is None or asked_at - flight.began_at > FRESH_S:
            flight = self._start(question, asked_at, request_id.get())
        # Shielded: the others who wait for it must not suffer from one that leaves.
        found = await asyncio.shield(flight.task)
        return await found.write() if isinstance(found, Passing) else found.answer

    def doubt(self) -> None:
        """Believe no confirmation from before, nor one on its way: who asks from now on knows of something newer."""
        self._doubts += 1
        self._flights.clear()

    def _start(self, question: Question, now: float, identity: str) -> _Flight:
        # In a context of its own: Serve ends the calls of a request whose client has left.
        task = asyncio.create_task(self._confirm(question, now, identity), context=Context())
        flight = self._flights[question] = _Flight(now, task)
        task.add_done_callback(lambda _: self._landed(question, flight))
        return flight

    def _landed(self, question: Question, flight: _Flight) -> None:
        if self._flights.get(question) is flight:
            del self._flights[question]
        if not flight.task.cancelled():
            flight.task.exception()  # seen, also where everybody who waited for it has left

    async def _confirm(self, question: Question, began_at: float, identity: str) -> Lasting | Passing:
        if identity:
            request_id.set(identity)
            self._carry(identity)
        doubts = self._doubts
        entry = self._entries.get(question)
        found = await self._source.changed(question, entry.held.generation if entry else "")
        if isinstance(found, Passing):
            return found
        if found is None:
            assert entry is not None, "only a known generation can be confirmed"  # noqa: S101
            found = entry.held
        if doubts == self._doubts:
            self._keep(question, _Entry(found, began_at, doubts))
        return found

    def _keep(self, question: Question, entry: _Entry) -> None:
        known = self._entries.get(question)
        if known is not None and known.doubts == entry.doubts and known.confirmed_at > entry.confirmed_at:
            return  # a later question was answered earlier
        self._drop(question)
        self._entries[question] = entry
        self.bytes += entry.held.answer.size
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, question: Question) -> None:
        entry = self._entries.pop(question, None)
        if entry is not None:
            self.bytes -= entry.held.answer.size


def _tell_failure(task: asyncio.Task[Lasting | Passing]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.warning("answer not confirmed", reason=str(error) if isinstance(error, CandlecastError) else repr(error))
