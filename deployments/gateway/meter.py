"""What the gateway counts while it serves, in plain numbers: telling Ray's metrics takes longer than a hot answer."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import Protocol

BOUNDS_MS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0)
"""Upper ends of the latency buckets; what took longer still falls into the last, `+Inf`."""

READS = ("candle_reads", "forecast_reads")
"""What is read from memory where it can be."""

Tags = tuple[tuple[str, str], ...]


class Meter(Protocol):
    """Takes measurements; called for every request, so it must be cheap and never fail."""

    def request(self, endpoint: str, method: str, status: int, duration_ms: float) -> None:
        """Note an answered request by the template of its route."""
        ...

    def read(self, name: str, outcome: str) -> None:
        """Note a read that came from memory (`hit`) or from the context behind (`miss`), under a name of `READS`."""
        ...


class Tally:
    """Add up measurements until somebody takes them; `wake` is told of the first one after that.

    Counts are `(name, tags)`: `requests`, `request_ms` (their sum), `request_ms_bucket` (how many took at most `le`
    milliseconds, as Prometheus has it) and the names in `READS`. For one event loop.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._requests: dict[tuple[str, str, int], tuple[list[int], list[float]]] = {}
        self._reads: Counter[tuple[str, str]] = Counter()
        self._is_empty = True

    def request(self, endpoint: str, method: str, status: int, duration_ms: float) -> None:
        """Note an answered request."""
        key = (endpoint, method, status)
        found = self._requests.get(key)
        if found is None:
            found = self._requests[key] = ([0] * (len(BOUNDS_MS) + 1), [0.0])
        found[0][bisect_left(BOUNDS_MS, duration_ms)] += 1
        found[1][0] += duration_ms
        self._noted()

    def read(self, name: str, outcome: str) -> None:
        """Note a read of what may come from memory."""
        self._reads[name, outcome] += 1
        self._noted()

    def take(self) -> dict[tuple[str, Tags], float]:
        """Return what was counted since the last time, without what is zero."""
        requests, reads = self._requests, self._reads
        self._requests, self._reads, self._is_empty = {}, Counter(), True
        counts: dict[tuple[str, Tags], float] = {
            (name, (("outcome", outcome),)): count for (name, outcome), count in reads.items()
        }
        for (endpoint, method, status), (buckets, total_ms) in requests.items():
            tags: Tags = (("endpoint", endpoint), ("method", method), ("status", str(status)))
            counts["requests", tags] = sum(buckets)
            counts["request_ms", tags] = total_ms[0]
            for place, bound in enumerate([*(f"{each:g}" for each in BOUNDS_MS), "+Inf"]):
                counts["request_ms_bucket", (*tags, ("le", bound))] = sum(buckets[: place + 1])
        return {key: count for key, count in counts.items() if count}

    def _noted(self) -> None:
        if self._is_empty:
            self._is_empty = False
            self._wake()


class NoMeter:
    """Nobody measures, as in tests."""

    def request(self, endpoint: str, method: str, status: int, duration_ms: float) -> None:
        pass

    def read(self, name: str, outcome: str) -> None:
        pass
