"""Whether a server answers: while it is away one task asks, and everybody else is told at once."""

import asyncio
from collections.abc import Awaitable, Callable

from deployments.common.errors import DatabaseUnavailable
from deployments.common.telemetry import logger

log = logger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
"""Between two questions to a server that is away: the longest time for which its return goes unnoticed."""

Pause = Callable[[float], Awaitable[None]]


class Presence:
    """Keep callers from waiting for a server that is away, and notice when it is back.

    `answers` asks the server itself and says whether it answered. For one event loop: nothing here is locked.
    """

    def __init__(self, name: str, answers: Callable[[], Awaitable[bool]], pause: Pause = asyncio.sleep) -> None:
        self._name = name
        self._answers = answers
        self._pause = pause
        self._is_away = False
        self._watch: asyncio.Task[None] | None = None

    @property
    def is_away(self) -> bool:
        """Whether the server failed to answer and has not been found again."""
        return self._is_away

    def check(self) -> None:
        """Raise `DatabaseUnavailable` while the server is away."""
        if self._is_away:
            raise DatabaseUnavailable(f"{self._name} is away", LONGEST_PAUSE_S)

    def lost(self) -> None:
        """Take the server for away until it answers again."""
        self._is_away = True
        self.suspect()

    def suspect(self) -> None:
        """Ask the server in the background whether it is still there."""
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._until_it_answers())

    async def close(self) -> None:
        """Stop asking."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

    async def _until_it_answers(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not await self._is_there():
            if not self._is_away:
                log.warning("server does not answer", server=self._name)
            self._is_away = True
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        if self._is_away:
            log.info("server answers again", server=self._name)
        self._is_away = False

    async def _is_there(self) -> bool:
        try:
            return await self._answers()
        except Exception as error:  # a server that talks nonsense; were this task to end, nobody would ask again
            log.warning("server cannot be asked", server=self._name, reason=repr(error))
            return False
