"""Clean candles of any market, and faults to plant in them one by one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from deployments.market_data.calendars.calendar import Calendar
from deployments.market_data.instants import to_datetime
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.quality.checks import CLOCK_TOLERANCE

Row = dict[str, Any]
SEGMENT = 40
"""Bars between two faults, so that none can hide another; the first as many are clean."""


@dataclass
class Delivery:
    """What a source delivers of one symbol: `rows` in its order, and what is wrong with them."""

    symbol: str
    interval: Interval
    calendar: Calendar
    now: datetime
    rows: list[Row] = field(repr=False)
    planted: set[tuple[str, datetime]] = field(default_factory=set)
    lost: set[datetime] = field(default_factory=set)
    """Openings of bars that a planted fault keeps out, which leaves a hole."""

    def table(self) -> pa.Table:
        schema = pa.schema([column.with_nullable(True) for column in SYMBOL_CANDLE_SCHEMA])
        return pa.Table.from_pylist([{"symbol": self.symbol, **row} for row in self.rows], schema=schema)

    def refuse(self, check: str, time: datetime) -> None:
        self.planted.add((check, time))
        self.lost.add(time)


def clean(calendar: Calendar, interval: Interval, start: datetime, bars: int, seed: int) -> Delivery:
    """Return a seeded walk over the bars that a calendar expects after `start`, all of them closed."""
    times = [to_datetime(time) for time in calendar.next_bars(interval, start, bars)]
    returns = np.random.default_rng(seed).normal(0.0, 0.002, bars)
    close = 100.0 * np.exp(np.cumsum(returns))
    opening = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opening, close) * 1.0005, np.minimum(opening, close) * 0.9995
    rows = [
        {"time": time, "open": o, "high": h, "low": lo, "close": c, "volume": 5.0}
        for time, o, h, lo, c in zip(times, opening.tolist(), high.tolist(), low.tolist(), close.tolist(), strict=True)
    ]
    return Delivery("BTCUSD", interval, calendar, times[-1] + interval.delta, rows)


def plant(delivery: Delivery, kind: str, segment: int, amount: int) -> None:
    """Plant one fault in a segment of the delivery, counted from its newest, or at its end; `amount` varies it."""
    place = len(delivery.rows) - segment * SEGMENT + SEGMENT // 4
    PLANTERS[kind](delivery, place, amount)


def _gap(delivery: Delivery, place: int, amount: int) -> None:
    length = 1 + amount % 5
    place = next(n for n in range(place, place + SEGMENT) if _is_inside(delivery, n, length))
    delivery.planted.add(("gap", delivery.rows[place]["time"]))
    del delivery.rows[place : place + length]


def _is_inside(delivery: Delivery, place: int, length: int) -> bool:
    """Whether bars that go missing cannot be taken for a session that began late or ended early."""
    rows, step = delivery.rows, delivery.interval.delta
    if length * step > delivery.calendar.soft_edge or place + length >= len(rows):
        return place + length < len(rows)
    around = [rows[n]["time"] - rows[n - 1]["time"] for n in (place, place + length)]
    return around == [step, step]


def _duplicate(delivery: Delivery, place: int, amount: int) -> None:
    row = delivery.rows[place]
    again = row if amount % 2 else {**row, "volume": row["volume"] + 1.0}
    delivery.rows.insert(place + 1, again)
    delivery.planted.add(("duplicate", row["time"]))


def _out_of_order(delivery: Delivery, place: int, amount: int) -> None:
    distance = 2 + amount % 6
    row = delivery.rows.pop(place)
    delivery.rows.insert(place + distance if amount % 2 else place - distance, row)
    delivery.refuse("out_of_order", row["time"])


def _not_finite(delivery: Delivery, place: int, amount: int) -> None:
    row = delivery.rows[place]
    column = ("open", "high", "low", "close", "volume")[amount % 5]
    delivery.rows[place] = {**row, column: (float("nan"), None, float("inf"), -float("inf"))[amount % 4]}
    delivery.refuse("not_finite", row["time"])


def _non_positive(delivery: Delivery, place: int, amount: int) -> None:
    row = delivery.rows[place]
    changes = ({"low": 0.0}, {"close": -1.0}, {"volume": -0.5}, {"open": 0.0}, {"high": -5.0})[amount % 5]
    delivery.rows[place] = {**row, **changes}
    delivery.refuse("non_positive", row["time"])


def _high_low(delivery: Delivery, place: int, amount: int) -> None:
    row = delivery.rows[place]
    top, bottom = max(row["open"], row["close"]), min(row["open"], row["close"])
    changes = ({"high": bottom * 0.99}, {"low": top * 1.01}, {"high": top * 0.999}, {"low": bottom * 1.001})
    delivery.rows[place] = {**row, **changes[amount % 4]}
    delivery.refuse("high_low", row["time"])


def _jump(delivery: Delivery, place: int, amount: int) -> None:
    factor = 1.3 if amount % 2 else 1 / 1.3
    delivery.planted.add(("jump", delivery.rows[place]["time"]))
    _scale(delivery, place, factor)


def _flat_line(delivery: Delivery, place: int, amount: int) -> None:
    length = 12 + amount % 8
    price = delivery.rows[place]["close"]
    after = delivery.rows[place + length - 1]["close"]
    for n in range(place, place + length):
        delivery.rows[n] = {**delivery.rows[n], "open": price, "high": price, "low": price, "close": price}
    _scale(delivery, place + length, price / after)  # no step behind the run
    delivery.planted.add(("flat_line", delivery.rows[place]["time"]))


def _scale(delivery: Delivery, place: int, factor: float) -> None:
    for n in range(place, len(delivery.rows)):
        row = delivery.rows[n]
        delivery.rows[n] = {
            **row,
            **{name: row[name] * factor for name in ("open", "high", "low", "close") if row[name]},
        }


def _unfinished(delivery: Delivery, place: int, amount: int) -> None:
    del place
    newest = max((row for row in delivery.rows if row["time"] < delivery.now), key=lambda row: row["time"])
    opens = to_datetime(delivery.calendar.next_bars(delivery.interval, newest["time"], 1)[0])
    delivery.now = opens + delivery.interval.delta * (amount % 10) / 10
    delivery.rows.append({**newest, "time": opens})
    delivery.planted.add(("unfinished", opens))


def _future_time(delivery: Delivery, place: int, amount: int) -> None:
    del place
    time = delivery.now + CLOCK_TOLERANCE + timedelta(microseconds=1 + amount)
    delivery.rows.append({**delivery.rows[-1], "time": time})
    delivery.planted.add(("future_time", time))


PLANTERS: dict[str, Callable[[Delivery, int, int], None]] = {
    # In the order in which they are planted: prices are scaled before rows are broken or moved, and what lies at the
    # end comes last.
    "jump": _jump,
    "flat_line": _flat_line,
    "gap": _gap,
    "not_finite": _not_finite,
    "non_positive": _non_positive,
    "high_low": _high_low,
    "duplicate": _duplicate,
    "out_of_order": _out_of_order,
    "unfinished": _unfinished,
    "future_time": _future_time,
}
