"""Value types of market data. Times are aware UTC; a candle's time is its opening instant."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import pyarrow as pa

CANDLE_SCHEMA = pa.schema(
    [
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("open", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("close", pa.float64(), nullable=False),
        pa.field("volume", pa.float64(), nullable=False),
    ]
)
"""One symbol's candles, ascending by time."""

SYMBOL_CANDLE_SCHEMA = pa.schema([pa.field("symbol", pa.string(), nullable=False), *CANDLE_SCHEMA])
"""Many symbols' candles, ascending by (time, symbol)."""

WINDOW_SCHEMA = pa.schema([*CANDLE_SCHEMA, pa.field("incomplete", pa.bool_(), nullable=False)])
"""Candles as a store tells them: whether a bar was aggregated from fewer finer bars than its calendar expects."""

MAX_CANDLES = 50_000
"""Candles a single read may ask for."""


class Interval(StrEnum):
    """Bar length."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"

    @property
    def delta(self) -> timedelta:
        return _DELTAS[self]

    @property
    def table(self) -> str:
        """The candle table of this interval."""
        return f"ohlcv_{self.value}"


_DELTAS = {
    Interval.M1: timedelta(minutes=1),
    Interval.M5: timedelta(minutes=5),
    Interval.M15: timedelta(minutes=15),
    Interval.M30: timedelta(minutes=30),
    Interval.H1: timedelta(hours=1),
    Interval.H4: timedelta(hours=4),
    Interval.D1: timedelta(days=1),
}


class Source(StrEnum):
    """Where candles were read."""

    DATABASE = "timescaledb"
    EASYINSIGHT = "easyinsight"
    CACHE = "cache"


class Category(StrEnum):
    CRYPTO = "crypto"
    FOREX = "forex"
    STOCK = "stock"
    INDEX = "index"
    COMMODITY = "commodity"


class SymbolStatus(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars that the calendar expects and the data lack: opening times of the first and last, and their number."""

    start: datetime
    end: datetime
    bars: int


@dataclass(frozen=True, slots=True)
class CandleQuery:
    """A bounded read of one symbol.

    The window ends at `end`, else `as_of`, else now, and starts at `start`, else `lookback_days` earlier; with
    neither, the newest `limit` candles. `as_of` hides everything that was not yet closed at that instant.
    """

    symbol: str
    interval: Interval = Interval.H1
    start: datetime | None = None
    end: datetime | None = None
    lookback_days: float | None = None
    limit: int | None = None
    as_of: datetime | None = None
    include_open: bool = False


@dataclass(frozen=True, slots=True)
class Candles:
    """The answer to a `CandleQuery`: `table` has `CANDLE_SCHEMA`, ascending, without duplicates.

    `data_as_of` is the close of the newest closed candle of the symbol known at the reference instant (`as_of` or now),
    also when it lies before the window. `stale` says that bars due by then are missing. `forming` tells that the last
    row is not closed yet (only with `include_open`). `incomplete` are the openings of closed bars in the table that
    were aggregated from fewer finer bars than the calendar expects.
    """

    symbol: str
    interval: Interval
    table: pa.Table
    source: Source
    data_as_of: datetime | None
    stale: bool
    gaps: tuple[Gap, ...] = ()
    forming: bool = False
    incomplete: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle as a row."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class LatestCandle:
    """The last closed candle, the forming one if any, and the change of the close over 24 hours in percent."""

    symbol: str
    interval: Interval
    closed: Bar
    forming: Bar | None
    change_24h_percent: float | None
    source: Source
    data_as_of: datetime
    stale: bool


@dataclass(frozen=True, slots=True)
class SymbolDraft:
    """What a user says of a managed symbol."""

    symbol: str
    category: Category = Category.CRYPTO
    status: SymbolStatus = SymbolStatus.ACTIVE
    exchange: str = ""
    interval: Interval = Interval.H1
    enabled: bool = True
    base_currency: str = ""
    quote_currency: str = ""
    lot_size: Decimal = Decimal(1)
    price_increment: Decimal = Decimal("0.01")
    size_increment: Decimal = Decimal("0.0001")
    calendar: str = "24/7"
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ManagedSymbol(SymbolDraft):
    """A symbol that we serve, forecast and index."""

    created_at: datetime = field(kw_only=True)
    updated_at: datetime = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class SymbolFilter:
    """`q` matches a part of the symbol or of an alias; `cursor` is the last symbol of the page before."""

    category: Category | None = None
    status: SymbolStatus | None = None
    q: str = ""
    limit: int = 100
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class SymbolPage:
    symbols: tuple[ManagedSymbol, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class DiscoveredSymbol:
    """A symbol that EasyInsight or the database knows, managed or not; counts are of its own interval's bars.

    `bars_estimated` says that `bars` was not counted but estimated, because the table is too big to count.
    """

    symbol: str
    category: Category
    managed: bool
    interval: Interval
    bars: int
    first_time: datetime | None
    last_time: datetime | None
    sources: tuple[Source, ...]
    bars_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """The openings of the oldest and newest closed bar that an interval's own table holds, and the holes between."""

    symbol: str
    interval: Interval
    first_time: datetime | None = None
    last_time: datetime | None = None
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an upsert did, in rows; `quarantined` were refused by a check and kept aside with the reason."""

    received: int
    inserted: int
    changed: int
    unchanged: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class DependencyHealth:
    """One outside system as seen by its owner; `latency_ms` of the last probe."""

    name: str
    status: str
    latency_ms: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MarketDataHealth:
    database_host: str
    dependencies: tuple[DependencyHealth, ...]


@dataclass(frozen=True, slots=True)
class QueryLogEntry:
    """One served HTTP request with the SQL inside it: `(statement, duration_ms, rows)`."""

    time: datetime
    endpoint: str
    method: str
    status: int
    duration_ms: float
    rows: int
    request_id: str
    sql: tuple[tuple[str, float, int], ...] = ()
