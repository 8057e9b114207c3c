"""Tell a symbol's finished day in one sentence, against the month before it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deployments.knowledge.models import Passage, PassageKind
from deployments.knowledge.passages import character, make_passage, passage_id, price, sound
from deployments.market_data.models import Interval

MONTH_DAYS = 30
"""Trading days before a day that it is compared with."""

MIN_MONTH_DAYS = 7
"""Fewer days say too little about what is usual."""

MAX_CONTEXT_BARS = 10_000
"""Bars read before a day: a full month down to 5-minute bars, a week of minutes."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Day:
    """One day's figures: prices in quote currency, change and moves in percent, volatility of its bars' log returns."""

    day: date
    open: float
    high: float
    low: float
    close: float
    volume: float
    change: float
    volatility: float
    largest_move: float
    largest_at: datetime


def day_start(day: date) -> datetime:
    """Return the first instant of a day, UTC."""
    return datetime.combine(day, time.min, UTC)


def day_id(symbol: str, interval: Interval, day: date) -> int:
    """Return the id of a day's digest."""
    return passage_id(PassageKind.DAY, symbol, interval, day_start(day))


def finished_days(candles: Iterable[Passage], interval: Interval, now: datetime) -> list[date]:
    """Return the days of these candles that are over; none for daily bars, whose candle says it all."""
    if interval.delta >= _DAY:
        return []
    days = {passage.time.date() for passage in candles}
    return sorted(day for day in days if day_start(day) + _DAY <= now)


def days_to_tell(
    days: Iterable[date], fresh: Iterable[Passage], stored: Mapping[int, int], series: tuple[str, Interval]
) -> list[date]:
    """Return the finished days that have a new or changed candle, or no digest yet."""
    touched = {passage.time.date() for passage in fresh}
    return [day for day in days if day in touched or day_id(*series, day) not in stored]


def context_span(days: Collection[date], interval: Interval) -> tuple[datetime, datetime]:
    """Return the half-open span of candles that the digests of these days need."""
    reach = min((MONTH_DAYS + 1) * _DAY, MAX_CONTEXT_BARS * interval.delta)
    return day_start(min(days)) - reach, day_start(max(days)) + _DAY


def day_passages(rows: pa.Table, interval: Interval, days: Collection[date]) -> list[Passage]:
    """Return the digests of `days` from one symbol's rows over their `context_span`, ascending."""
    figures = day_figures(rows)
    symbol = rows["symbol"][0].as_py() if rows.num_rows else ""
    return [
        _passage(symbol, interval, figures[max(0, at - MONTH_DAYS) : at], today)
        for at, today in enumerate(figures)
        if today.day in days
    ]


def day_figures(rows: pa.Table) -> list[Day]:
    """Return the figures of each day that has sound rows, ascending."""
    good = sound(rows).sort_by("time").combine_chunks()
    if good.num_rows == 0:
        return []
    stamps = good["time"].to_numpy().astype("datetime64[us]")
    columns = {name: good[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    previous = np.concatenate([columns["open"][:1], columns["close"][:-1]])
    moves = np.log(columns["close"] / previous)
    starts = np.flatnonzero(np.diff(stamps.astype("datetime64[D]").astype(np.int64), prepend=-1))
    ends = [*starts[1:], len(stamps)]
    return [_day(slice(start, end), stamps, columns, moves, previous) for start, end in zip(starts, ends, strict=True)]


def _day(
    rows: slice,
    stamps: npt.NDArray[np.datetime64],
    columns: Mapping[str, npt.NDArray[np.float64]],
    moves: npt.NDArray[np.float64],
    previous: npt.NDArray[np.float64],
) -> Day:
    largest = int(np.argmax(np.abs(moves[rows])))
    largest_at = stamps[rows][largest].astype(datetime).replace(tzinfo=UTC)
    close = float(columns["close"][rows][-1])
    return Day(
        day=stamps[rows][0].astype(datetime).date(),
        open=float(columns["open"][rows][0]),
        high=float(columns["high"][rows].max()),
        low=float(columns["low"][rows].min()),
        close=close,
        volume=float(columns["volume"][rows].sum()),
        change=(close / float(previous[rows][0]) - 1.0) * 100.0,
        volatility=float(moves[rows].std()),
        largest_move=float(np.expm1(moves[rows][largest])) * 100.0,
        largest_at=largest_at,
    )


def _passage(symbol: str, interval: Interval, month: list[Day], today: Day) -> Passage:
    parts = [
        f"{symbol} day {today.day}: {character(today.change, _DAY)} of {today.change:+.2f}% to {price(today.close)}",
        f"low {price(today.low)}, high {price(today.high)}, range {(today.high / today.low - 1.0) * 100.0:.2f}%",
        *_against_month(month, today),
        *_streak(month, today),
        f"largest {interval} move {today.largest_move:+.2f}% at {today.largest_at:%H:%M} UTC",
    ]
    text = "; ".join(parts) + "."
    return make_passage(PassageKind.DAY, symbol, interval, day_start(today.day), text, today.low, today.high)


def _against_month(month: list[Day], today: Day) -> list[str]:
    if len(month) < MIN_MONTH_DAYS:
        return []
    told = []
    usual_volatility = float(np.median([day.volatility for day in month]))
    if usual_volatility > 0.0:
        ratio = today.volatility / usual_volatility
        told.append(f"{_regime(ratio)} volatility, {ratio:.1f} times its month")
    usual_volume = float(np.median([day.volume for day in month]))
    if usual_volume > 0.0:
        told.append(f"volume {today.volume / usual_volume:.1f} times its month")
    return [*told, *_extreme(month, today)]


def _regime(ratio: float) -> str:
    if ratio < 0.6:
        return "low"
    if ratio < 1.5:
        return "normal"
    return "high" if ratio < 2.5 else "extreme"


def _extreme(month: list[Day], today: Day) -> list[str]:
    if today.close > max(day.close for day in month):
        return [f"highest close in {len(month)} days"]
    if today.close < min(day.close for day in month):
        return [f"lowest close in {len(month)} days"]
    return []


def _streak(month: list[Day], today: Day) -> list[str]:
    days = [*month, today]
    length = 0
    while length < len(days) and days[-1 - length].change * today.change > 0.0:
        length += 1
    return [f"{length} {'rises' if today.change > 0 else 'falls'} in a row"] if length >= 2 else []
