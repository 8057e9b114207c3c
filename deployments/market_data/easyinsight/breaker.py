"""A circuit breaker: stop asking a source that keeps failing, and try it again after a while."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deployments.common.errors import BadUpstream, Unavailable, UpstreamTimeout

FAILURES = (BadUpstream, Unavailable, UpstreamTimeout)
"""What counts against a source; an answer that merely says no, such as an unknown symbol, does not."""

SLOW_S = 1.0
"""A call that its caller gave up on after this long counts against the source; one cut short earlier does not."""


class Breaker:
    """Open after `failures` failures in a row for `open_s` seconds, then let one call through to find out.

    For one event loop: nothing here is locked.
    """

    def __init__(
        self, name: str, failures: int = 3, open_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failed = 0
        self._closed_from = -math.inf
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Whether a call now would be refused without asking the source."""
        return self._failed >= self._limit and (self._trying or self._clock() < self._closed_from)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Run one call to the source; raises `Unavailable` at once while the breaker is open."""
        if self.is_open:
            wait_s = max(self._closed_from - self._clock(), 0.1)
            raise Unavailable(f"{self._name} failed {self._failed} times in a row; not asked again just now", wait_s)
        self._trying = True
        started = self._clock()
        try:
            yield
        except FAILURES:
            self._count_failure()
            raise
        except asyncio.CancelledError:
            if self._clock() - started >= SLOW_S:
                self._count_failure()
            raise
        except Exception:
            self._failed = 0
            raise
        else:
            self._failed = 0
        finally:
            self._trying = False

    def _count_failure(self) -> None:
        self._failed += 1
        self._closed_from = self._clock() + self._open_s
