"""What one key may use up: requests in a time, by a token bucket each, and streams at once."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from deployments.common.errors import RateLimited

MAX_BUCKETS = 10_000
RETRY_STREAM_S = 5.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimiter:
    """Let each name through `rate_per_s` times a second, and `burst` times at once after a pause."""

    def __init__(self, rate_per_s: float, burst: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate_per_s
        self._burst = float(burst)
        self._monotonic = monotonic
        self._buckets: dict[str, _Bucket] = {}

    def wait_s(self, name: str) -> float:
        """Take one token and return 0, or return the seconds until there is one."""
        now = self._monotonic()
        bucket = self._buckets.get(name) or self._new(name, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._rate)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._rate
        bucket.tokens -= 1
        return 0.0

    def _new(self, name: str, now: float) -> _Bucket:
        if len(self._buckets) >= MAX_BUCKETS:
            self._buckets.pop(next(iter(self._buckets)))
        bucket = self._buckets[name] = _Bucket(self._burst, now)
        return bucket


class StreamSlots:
    """Let each name hold `per_name` streams at a time: each of them keeps one of the replica's places for hours."""

    def __init__(self, per_name: int) -> None:
        self._per_name = per_name
        self._held: Counter[str] = Counter()

    def take(self, name: str) -> Callable[[], None]:
        """Return what gives the slot back, to be called once; raises `RateLimited` where all are taken."""
        if self._held[name] >= self._per_name:
            raise RateLimited(f"this key listens to {self._per_name} streams already", RETRY_STREAM_S)
        self._held[name] += 1
        return lambda: self._give_back(name)

    def _give_back(self, name: str) -> None:
        self._held[name] -= 1
        if not self._held[name]:
            del self._held[name]
