"""Turn closed candles into the sentences that are embedded.

A candle reads: `BTCUSDT 1h 2023-03-12 14:00 UTC: strong rise of +1.25%, open 20512.3, high 20790, low 20433.1,
close 20768.7, range 1.74%, volume 1234.5.` A sentence depends on its own row alone, so that a correction of one bar
changes one passage.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deployments.knowledge.models import Passage, PassageKind
from deployments.market_data.models import Interval

_CHARACTERS = ((0.05, ""), (0.3, "slight "), (1.0, ""), (2.5, "strong "), (math.inf, "sharp "))
"""Adverbs by the change in percent of an hourly bar; other intervals scale with the root of their length."""

_PRICE_DIGITS = 8
_VOLUME_DIGITS = 6


def candle_passages(rows: pa.Table, interval: Interval) -> list[Passage]:
    """Return one passage per sound row of a table with `SYMBOL_CANDLE_SCHEMA`, in its order."""
    return [_candle_passage(row, interval) for row in sound(rows).to_pylist()]


def sound(rows: pa.Table) -> pa.Table:
    """Return the rows whose numbers can be told: finite, positive, and with high and low around open and close."""
    opening, high, low, close, volume = (rows[name] for name in ("open", "high", "low", "close", "volume"))
    tests = [
        *(pc.is_finite(column) for column in (opening, high, low, close, volume)),
        pc.greater(low, 0.0),
        pc.greater_equal(volume, 0.0),
        pc.less_equal(low, pc.min_element_wise(opening, close)),
        pc.greater_equal(high, pc.max_element_wise(opening, close)),
    ]
    keep = tests[0]
    for test in tests[1:]:
        keep = pc.and_(keep, test)
    return rows.filter(keep)


def changed(passages: Iterable[Passage], stored: Mapping[int, int]) -> list[Passage]:
    """Return the passages that are new or read differently, given the stored content hash of each id."""
    return [passage for passage in passages if stored.get(passage.id) != passage.content_hash]


def passage_id(kind: PassageKind, symbol: str, interval: Interval, time: datetime) -> int:
    """Return the stable id of a passage, 63 bits."""
    return stable_hash(f"{kind}|{symbol}|{interval}|{time.isoformat()}")


def stable_hash(text: str) -> int:
    """Return a hash of 63 bits that is the same in every process."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") & (2**63 - 1)


def closed_at(kind: PassageKind, interval: Interval, time: datetime) -> datetime:
    """Return the instant from which on everything that a passage tells is known."""
    return time + (timedelta(days=1) if kind is PassageKind.DAY else interval.delta)


def price(value: float) -> str:
    """Write a price with at most eight significant digits and no exponent."""
    return _positional(value, _PRICE_DIGITS)


def volume_text(value: float) -> str:
    """Write a volume with at most six significant digits and no exponent."""
    return _positional(value, _VOLUME_DIGITS)


def character(change_percent: float, bar: timedelta) -> str:
    """Return two words for a move, such as "strong rise", judged against the length of the bar."""
    size = abs(change_percent) / math.sqrt(bar / timedelta(hours=1))
    if size < _CHARACTERS[0][0]:
        return "flat move"
    adverb = next(word for limit, word in _CHARACTERS if size < limit)
    return adverb + ("rise" if change_percent > 0 else "fall")


def make_passage(
    kind: PassageKind, symbol: str, interval: Interval, time: datetime, text: str, low: float, high: float
) -> Passage:
    """Return a passage with its id and content hash."""
    ident = passage_id(kind, symbol, interval, time)
    return Passage(ident, kind, symbol, interval, time, text, stable_hash(text), low, high)


def _candle_passage(row: dict[str, Any], interval: Interval) -> Passage:
    symbol, time = row["symbol"], row["time"]
    opening, high, low, close, volume = (row[name] for name in ("open", "high", "low", "close", "volume"))
    change = (close / opening - 1.0) * 100.0
    told_volume = f", volume {volume_text(volume)}" if volume else ""
    text = (
        f"{symbol} {interval} {time:%Y-%m-%d %H:%M} UTC: {character(change, interval.delta)} of {change:+.2f}%, "
        f"open {price(opening)}, high {price(high)}, low {price(low)}, close {price(close)}, "
        f"range {(high - low) / opening * 100.0:.2f}%{told_volume}."
    )
    return make_passage(PassageKind.CANDLE, symbol, interval, time, text, low, high)


def _positional(value: float, digits: int) -> str:
    return np.format_float_positional(value, precision=digits, unique=False, fractional=False, trim="-")
