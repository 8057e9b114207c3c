"""Value types of knowledge."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from deployments.market_data.models import Interval


class PassageKind(StrEnum):
    CANDLE = "candle"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrievable sentence. `id` is a stable unsigned 64-bit hash of kind, symbol, interval and time, below 2^63.

    `low` and `high` are the prices between which it speaks, in quote currency.
    """

    id: int
    kind: PassageKind
    symbol: str
    interval: Interval
    time: datetime
    text: str
    content_hash: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """Filters apply before similarity; `as_of` hides passages of bars not closed at that instant."""

    q: str
    symbol: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    kind: PassageKind | None = None
    k: int = 5
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A passage with its cosine similarity; `id` as 16 hexadecimal digits."""

    id: str
    score: float
    symbol: str
    interval: Interval
    time: datetime
    kind: PassageKind
    text: str


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """`indexed_until` is the watermark; `stale` says that it lags by two cycles or that data behind a hit ended."""

    hits: tuple[SearchHit, ...]
    passages: int
    indexed_until: datetime | None
    stale: bool


@dataclass(frozen=True, slots=True)
class AnalogueQuery:
    symbol: str
    interval: Interval = Interval.H1
    window: int = 48
    horizon: int = 24
    k: int = 10
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Analogue:
    """A past window of the same shape: opening times of its first and last bar, its distance, and what followed.

    `after` holds the return relative to the window's last close, in percent, for each of the next `horizon` bars.
    """

    symbol: str
    start: datetime
    end: datetime
    distance: float
    after: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ReturnDistribution:
    """Quantiles of the return after `horizon` bars, in percent, keyed `"10"`, `"25"`, `"50"`, `"75"`, `"90"`."""

    quantiles: dict[str, float]
    share_up: float
    n: int


@dataclass(frozen=True, slots=True)
class Analogues:
    """Dated matches and two distributions: what followed the matches, and what follows any bar of this symbol."""

    symbol: str
    interval: Interval
    window: int
    horizon: int
    data_as_of: datetime
    matches: tuple[Analogue, ...]
    conditional: ReturnDistribution
    unconditional: ReturnDistribution
    stale: bool = False


class SyncState(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class SyncCycle:
    """What the last cycle did, in rows and seconds."""

    started_at: datetime
    read: int
    new: int
    changed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """The sync as the API tells it. `busy` is true while a cycle runs; `rate` is passages per second of that cycle.

    Every candle up to `watermark` is indexed; `lag_seconds` is the age of the market data that the index reflects.
    """

    state: SyncState
    busy: bool
    watermark: datetime | None
    lag_seconds: float | None
    passages: int
    last_cycle: SyncCycle | None
    rate: float | None
    last_error: str = ""
    next_run: datetime | None = None
    interval_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class KnowledgeHealth:
    passages: int
    table_version: int
    sync: SyncStatus | None
    reason: str = ""
    details: dict[str, str] = field(default_factory=dict)
