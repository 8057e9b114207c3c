"""From what a query says to the bars it means."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from deployments.common.errors import InvalidRequest
from deployments.market_data.calendars.calendar import Calendar
from deployments.market_data.instants import EPOCH, MICROSECOND, times_of, to_numpy
from deployments.market_data.models import MAX_CANDLES, CandleQuery, Interval

DEFAULT_LOOKBACK_DAYS = 90.0
MAX_LOOKBACK_DAYS = 36_500.0


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a store for one symbol: the newest `limit` bars that open in [start, end)."""

    symbol: str
    calendar: Calendar
    start: datetime | None
    end: datetime
    limit: int


@dataclass(frozen=True, slots=True)
class Window:
    """Openings in [start, end), the newest `limit` of them; only bars closed by `reference` are known.

    `start` None means as far back as `limit` reaches. `forming` asks for the bar that is open at `reference` too.
    """

    interval: Interval
    start: datetime | None
    end: datetime
    limit: int
    reference: datetime
    forming: bool

    @property
    def closed_end(self) -> datetime:
        """The exclusive end of openings that are in the window and closed by the reference instant."""
        return min(self.end, self.reference - self.interval.delta + MICROSECOND)

    def at_most(self, calendar: Calendar) -> int:
        """Return how many closed bars the window can hold."""
        if self.start is None or (self.closed_end - self.start) / self.interval.delta > 8 * self.limit:
            return self.limit
        return min(self.limit, len(calendar.expected(self.interval, self.start, self.closed_end)))

    def span(self, calendar: Calendar) -> tuple[datetime, datetime]:
        """Return the window with a definite start, for a source that knows no limit."""
        if self.start is not None:
            return self.start, self.end
        length = (self.limit + 1) * self.interval.delta
        for _ in range(5):  # doubled until the calendar finds enough bars in it
            start = max(EPOCH, self.end - length)
            if len(calendar.expected(self.interval, start, self.closed_end)) >= self.limit:
                break
            length *= 2
        return start, self.end


def window_of(query: CandleQuery, calendar: Calendar, now: datetime) -> Window:
    """Return the window of a query; raises `InvalidRequest` with the fields that contradict or ask too much."""
    fields = [*_limit_problems(query), *_lookback_problems(query), *_time_problems(query)]
    if fields:
        raise _invalid(fields)
    reference = min(query.as_of or now, now)  # what is yet to come is known at no instant
    end = query.end or reference
    start = _start(query, end)
    if start is not None and start >= end:
        raise _invalid([("start", "must lie before the end of the window")])
    if query.limit is None and _is_wide(query) and start is not None:
        _refuse_too_many(query, calendar, start, end)
    forming = query.include_open and query.as_of is None
    return Window(query.interval, start, end, query.limit or MAX_CANDLES, reference, forming)


def cut(table: pa.Table, start: datetime | None, end: datetime, limit: int) -> pa.Table:
    """Return the newest `limit` rows that open in [start, end) of an ascending table, without copying."""
    times = times_of(table)
    last = int(np.searchsorted(times, to_numpy(end)))
    first = int(np.searchsorted(times, to_numpy(start))) if start is not None else 0
    first = max(first, last - limit)
    return table.slice(first, max(0, last - first))


def _start(query: CandleQuery, end: datetime) -> datetime | None:
    if query.start is not None:
        return query.start
    if query.lookback_days is not None:
        return max(EPOCH, end - timedelta(days=query.lookback_days))
    return end - timedelta(days=DEFAULT_LOOKBACK_DAYS) if query.limit is None else None


def _is_wide(query: CandleQuery) -> bool:
    """Tell a window that was asked for from the default one, which is cut to the newest candles instead."""
    return query.start is not None or query.lookback_days is not None


def _refuse_too_many(query: CandleQuery, calendar: Calendar, start: datetime, end: datetime) -> None:
    slots = (end - start) / query.interval.delta
    # Stocks print a fifth of the slots; only a window that may fit for that reason is counted bar by bar.
    if slots <= MAX_CANDLES:
        return
    if slots > 8 * MAX_CANDLES or len(calendar.expected(query.interval, start, end)) > MAX_CANDLES:
        field = "start" if query.start is not None else "lookback_days"
        raise _invalid([(field, f"asks for more than {MAX_CANDLES:,} candles")])


def _limit_problems(query: CandleQuery) -> list[tuple[str, str]]:
    if query.limit is None or 1 <= query.limit <= MAX_CANDLES:
        return []
    return [("limit", f"must lie between 1 and {MAX_CANDLES:,}")]


def _lookback_problems(query: CandleQuery) -> list[tuple[str, str]]:
    days = query.lookback_days
    if days is None:
        return []
    if query.start is not None:
        return [("lookback_days", "cannot be combined with start")]
    if not (math.isfinite(days) and 0 < days <= MAX_LOOKBACK_DAYS):
        return [("lookback_days", f"must be above 0 and at most {MAX_LOOKBACK_DAYS:,.0f}")]
    return []


def _time_problems(query: CandleQuery) -> list[tuple[str, str]]:
    problems = []
    for field in ("start", "end", "as_of"):
        instant: datetime | None = getattr(query, field)
        if instant is None:
            continue
        if instant.tzinfo is None:
            problems.append((field, "needs a time zone"))
        elif not EPOCH <= instant.astimezone(UTC) <= _LAST:
            problems.append((field, "must lie between 1970 and 2200"))
    return problems


_LAST = datetime(2200, 1, 1, tzinfo=UTC)


def _invalid(fields: list[tuple[str, str]]) -> InvalidRequest:
    return InvalidRequest("; ".join(f"{name} {reason}" for name, reason in fields), tuple(fields))
