"""The event hub: looks at the graph while somebody listens and tells what changed."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime, timedelta

from deployments.common.clock import Clock
from deployments.common.telemetry import logger
from deployments.gateway.wire.sse import ServerEvent

log = logger(__name__)

QUEUE = 512
"""Events that may wait for a slow listener before it is cut off; it comes back with `Last-Event-ID`."""
RING = 10_000
KNOWN = 20_000
"""Things whose last sight is remembered, ten times what is watched: anybody may ask for forecasts of any horizon."""

EVENT_ID = re.compile(r"([0-9]{1,15})-([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Sight:
    """One thing as it was last seen: `data` is told, `mark` decides whether it changed."""

    data: object
    mark: object


Key = tuple[str, str]
Snapshot = Mapping[Key, Sight]
"""Sights by (event name, what it is about)."""

Look = Callable[[], Awaitable[Snapshot]]


def changes(before: Snapshot, after: Snapshot) -> list[tuple[str, object]]:
    """Return the events between two snapshots; what is missing later was not seen, which is no event."""
    return [
        (name, sight.data)
        for (name, about), sight in after.items()
        if (known := before.get((name, about))) is None or known.mark != sight.mark
    ]


@dataclass(frozen=True, slots=True)
class _Told:
    at: datetime
    id: tuple[int, int]
    event: ServerEvent


class EventHub:
    """Poll `look` every `poll_s` seconds while at least one listener is there, and keep events for `keep_s` seconds.

    Ids are `<milliseconds>-<number>`, so that a listener may resume at another replica. Whoever hears of
    something asks for it: `forewarn` is called before anybody is told of what a look found or of what has changed.
    """

    def __init__(
        self,
        look: Look,
        clock: Clock,
        poll_s: float = 2.0,
        keep_s: float = 300.0,
        forewarn: Callable[[], None] = lambda: None,
    ) -> None:
        self._look = look
        self._clock = clock
        self._poll_s = poll_s
        self._keep = timedelta(seconds=keep_s)
        self._forewarn = forewarn
        self._known: dict[Key, Sight] = {}
        self._looked_at: datetime | None = None
        self._told: deque[_Told] = deque(maxlen=RING)
        self._last_id = (0, 0)
        self._queues: set[asyncio.Queue[ServerEvent | None]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        return len(self._queues)

    async def poll(self) -> None:
        """Look once and tell what changed; the first look, or one after a long pause, only takes stock."""
        after = await self._look()
        now = self._clock()
        fresh = self._looked_at is None or now - self._looked_at > self._keep
        self._looked_at = now
        if fresh or changes(self._known, after):
            self._forewarn()
        if fresh:
            self._known = dict(after)
        else:
            self.observe(after)

    def observe(self, seen: Snapshot) -> None:
        """Take in what is known to be the case now, and tell what of it is new."""
        known = {key: self._known.get(key, sight) for key, sight in seen.items()}
        if changes(known, seen):  # what is seen for the first time outdates nothing
            self._forewarn()
        for name, data in changes(self._known, seen):
            self._tell(name, data)
        for key, sight in seen.items():
            self._known.pop(key, None)
            self._known[key] = sight
        while len(self._known) > KNOWN:
            # The one seen the longest ago; were it seen again, it would be told once more.
            self._known.pop(next(iter(self._known)))

    async def listen(self, last_id: str = "") -> AsyncIterator[ServerEvent]:
        """Yield the events kept since `last_id`, then each as it happens; ends when the listener is too slow."""
        queue: asyncio.Queue[ServerEvent | None] = asyncio.Queue(QUEUE)
        missed = self._since(last_id)
        self._queues.add(queue)
        self._wake()
        try:
            for event in missed:
                yield event
            while (event_or_end := await queue.get()) is not None:
                yield event_or_end
        finally:
            self._queues.discard(queue)

    async def close(self) -> None:
        """Stop looking and let every listener go."""
        for queue in tuple(self._queues):
            self._offer_end(queue)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _tell(self, name: str, data: object) -> None:
        now = self._clock()
        milliseconds = max(int(now.timestamp() * 1000), self._last_id[0])
        number = self._last_id[1] + 1 if milliseconds == self._last_id[0] else 0
        self._last_id = (milliseconds, number)
        event = ServerEvent(name, data, f"{milliseconds}-{number}")
        self._told.append(_Told(now, self._last_id, event))
        self._forget(now)
        for queue in tuple(self._queues):
            self._offer(queue, event)

    def _offer(self, queue: asyncio.Queue[ServerEvent | None], event: ServerEvent) -> None:
        if queue.qsize() < QUEUE - 1:
            queue.put_nowait(event)
        else:
            self._offer_end(queue)

    def _offer_end(self, queue: asyncio.Queue[ServerEvent | None]) -> None:
        queue.put_nowait(None)  # the last place is kept free for it
        self._queues.discard(queue)

    def _forget(self, now: datetime) -> None:
        while self._told and now - self._told[0].at > self._keep:
            self._told.popleft()

    def _since(self, last_id: str) -> list[ServerEvent]:
        found = EVENT_ID.fullmatch(last_id)
        if found is None:
            return []
        self._forget(self._clock())
        last = (int(found[1]), int(found[2]))
        return [told.event for told in self._told if told.id > last]

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            # In a context of its own: Serve ends the calls of a request whose listener has left.
            self._task = asyncio.create_task(self._run(), context=Context())

    async def _run(self) -> None:
        while self._queues:
            try:
                await self.poll()
            except Exception as error:
                log.error("looking for events failed", exc_info=error)
            await asyncio.sleep(self._poll_s)
