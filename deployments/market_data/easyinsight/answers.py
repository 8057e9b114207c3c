"""What EasyInsight's answers say, checked before they are believed. Pure functions; all raise `BadUpstream`."""

import json
import math
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from types import NoneType
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import BadUpstream, InvalidRequest
from deployments.common.telemetry import logger
from deployments.market_data.cells import UTC_MICROSECONDS, BadCell, time_column
from deployments.market_data.instants import times_of, width
from deployments.market_data.models import CANDLE_SCHEMA, Category, Interval, SymbolDraft
from deployments.market_data.symbols.names import guess_draft, validated

log = logger(__name__)

_TEXTS = ("exchange", "base_currency", "quote_currency", "calendar")
_NUMBERS = ("lot_size", "price_increment", "size_increment")
_PRICES = CANDLE_SCHEMA.names[1:]

FEW_ROWS = 3
"""Fewer candles may all lack a number: the page around a hole that the source has, too."""


def parse_candles(body: bytes, interval: Interval, start: datetime, end: datetime) -> pa.Table:
    """Return the candles in [start, end) of an answer with `CANDLE_SCHEMA`, ascending.

    A number that is missing or cannot be read is NaN, for the checks to keep that row aside; no whole row is garbage.
    """
    answer = _parsed(body)
    if answer.get("interval", interval.value) != interval.value:
        raise BadUpstream(f"EasyInsight answered interval {str(answer['interval'])[:40]!r} to {interval.value!r}")
    rows = _list(answer, "candles")
    columns = [_times(rows), *(_numbers(rows, name) for name in _PRICES)]
    table = pa.table(columns, schema=CANDLE_SCHEMA).sort_by("time")
    _refuse_garbage(table, rows)
    times = table["time"]
    if pc.count_distinct(times).as_py() != len(times):
        raise BadUpstream("EasyInsight sent two candles of one time")
    _refuse_shorter_bars(table, interval)
    inside = pc.and_(
        pc.greater_equal(times, pa.scalar(start, UTC_MICROSECONDS)), pc.less(times, pa.scalar(end, UTC_MICROSECONDS))
    )
    return table.filter(inside).combine_chunks()


def _refuse_shorter_bars(table: pa.Table, interval: Interval) -> None:
    # Days that begin at midnight somewhere are an hour shorter once a year.
    apart = np.diff(times_of(table))
    if len(apart) and apart.min() < 0.9 * width(interval.delta):
        raise BadUpstream(f"EasyInsight sent candles {apart.min().item()} apart for {interval.value}")


def parse_drafts(body: bytes) -> dict[str, SymbolDraft]:
    """Return the listed symbols by EasyInsight's own spelling; names that no symbol of ours may have are left out.

    So are entries that are wrong, unless all of them are.
    """
    drafts: dict[str, SymbolDraft] = {}
    wrong: BadUpstream | None = None
    for entry in _list(_parsed(body), "symbols"):
        spelling = str(entry.get("symbol"))
        try:
            drafts[spelling] = validated(replace(guess_draft(spelling), **_given(entry)))
        except (InvalidRequest, BadUpstream) as error:
            wrong = error if isinstance(error, BadUpstream) else wrong
            log.warning("symbol of easyinsight left out", symbol=spelling[:40], reason=str(error))
    if wrong is not None and not drafts:
        raise wrong
    return drafts


def _given(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a draft that an entry of the list states."""
    if not isinstance(entry.get("symbol"), str):
        raise BadUpstream(f"EasyInsight lists a symbol without a name: {str(entry)[:80]}")
    try:
        given: dict[str, Any] = {name: Decimal(str(entry[name])) for name in _NUMBERS if entry.get(name) is not None}
        if entry.get("category"):
            given["category"] = Category(entry["category"])
    except (InvalidOperation, ValueError) as error:
        raise BadUpstream(f"EasyInsight's entry for {entry['symbol'][:40]!r} is wrong: {error}") from None
    return given | {name: str(entry[name]) for name in _TEXTS if entry.get(name)}


def _times(rows: list[dict[str, Any]]) -> pa.Array:
    if not rows:
        return pa.array([], UTC_MICROSECONDS)
    try:
        return time_column(pa.array([row["time"] for row in rows]))
    except KeyError:
        raise BadUpstream("EasyInsight sent a candle without time") from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        raise BadUpstream("EasyInsight mixed kinds of values in time") from None
    except BadCell as error:
        raise BadUpstream(f"EasyInsight's candle {error.row + 1}, time: {error.reason}") from None


def _numbers(rows: list[dict[str, Any]], name: str) -> pa.Array:
    values = [row.get(name) for row in rows]
    if set(map(type, values)) <= {int, float, NoneType}:
        with suppress(OverflowError):
            return pa.array(np.array(values, dtype=np.float64))
    return pa.array([_number(value) for value in values], pa.float64())


def _number(value: object) -> float:
    """Return a number or a text of one, anything else as NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _refuse_garbage(table: pa.Table, rows: list[dict[str, Any]]) -> None:
    """Tell an answer that only lacks numbers here and there from one that is wrong throughout."""
    whole = np.logical_and.reduce([pc.is_finite(table[name]).to_numpy() for name in _PRICES])
    if whole.any() or (len(rows) < FEW_ROWS and all(_lacks_only(row) for row in rows)):
        return
    raise BadUpstream(f"EasyInsight sent no candle with all its numbers, but {str(rows[0])[:80]}")


def _lacks_only(row: dict[str, Any]) -> bool:
    """Whether a candle has every field, each a number or expressly none."""
    return all(name in row and _is_number_or_none(row[name]) for name in _PRICES)


def _is_number_or_none(value: object) -> bool:
    return value is None or str(value).strip().lower() in ("", "nan") or not math.isnan(_number(value))


def _list(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = answer.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadUpstream(f"EasyInsight's answer has no list of {name}")
    return entries


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        answer = _as_python_writes(body, error)
    if not isinstance(answer, dict):
        raise BadUpstream("EasyInsight's answer is no JSON object")
    return answer


def _as_python_writes(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """Read the numbers that Python writes and the faster reader refuses: `NaN`, `Infinity` and endless integers."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        beginning = body[:60].decode("utf-8", "replace")
        raise BadUpstream(f"EasyInsight sent no JSON but {beginning!r}: {error}") from None
