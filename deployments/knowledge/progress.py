"""How far the index has come against the market data, as told to users."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deployments.knowledge.store import Series


@dataclass(slots=True)
class Progress:
    """What the last look at market data found.

    `newest` and `indexed` hold each series' newest closed bar and newest stored candle; `looked_at` is when the last
    cycle that ran to its end began.
    """

    newest: dict[Series, datetime] = field(default_factory=dict)
    indexed: dict[Series, datetime] = field(default_factory=dict)
    passages: int = 0
    looked_at: datetime | None = None

    def behind(self) -> dict[Series, timedelta | None]:
        """Return how much of each unfinished series is missing, None where nothing of it is stored."""
        missing: dict[Series, timedelta | None] = {}
        for series, newest in self.newest.items():
            indexed = self.indexed.get(series)
            if indexed is None or indexed < newest:
                missing[series] = newest - indexed if indexed is not None else None
        return missing

    def watermark(self) -> datetime | None:
        """Return the time up to which every candle is indexed.

        A series that is complete does not hold it back, even if its data end years ago; one of which nothing is
        stored yet leaves nothing that could be called safe.
        """
        unfinished = self.behind()
        if not self.newest:
            return min(self.indexed.values(), default=None)
        if None in unfinished.values():
            return None
        return min((self.indexed[series] for series in unfinished), default=max(self.newest.values()))

    def lag_seconds(self, now: datetime) -> float | None:
        """Return the age of the market data that the index reflects: since the last look, or the bars missing."""
        gaps = [gap for gap in self.behind().values() if gap is not None]
        if not self.newest or self.watermark() is None:
            return None
        since_look = [now - self.looked_at] if self.looked_at is not None else []
        return max((*gaps, *since_look), default=timedelta()).total_seconds()
