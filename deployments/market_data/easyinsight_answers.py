"""What EasyInsight's answers say, checked before they are believed. Pure functions; all raise `BadUpstream`."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from deployments.common.errors import BadUpstream, InvalidRequest
from deployments.common.telemetry import logger
from deployments.market_data.cells import UTC_MICROSECONDS, BadCell, number_column, time_column
from deployments.market_data.models import CANDLE_SCHEMA, Category, Interval, SymbolDraft
from deployments.market_data.symbols import guess_draft, validated

log = logger(__name__)

_TEXTS = ("exchange", "base_currency", "quote_currency", "calendar")
_NUMBERS = ("lot_size", "price_increment", "size_increment")


def parse_candles(body: bytes, interval: Interval, start: datetime, end: datetime) -> pa.Table:
    """Return the candles in [start, end) of an answer with `CANDLE_SCHEMA`, ascending."""
    answer = _parsed(body)
    if answer.get("interval", interval.value) != interval.value:
        raise BadUpstream(f"EasyInsight answered interval {answer['interval']!r} to {interval.value!r}")
    rows = _list(answer, "candles")
    table = pa.table([_column(rows, name) for name in CANDLE_SCHEMA.names], schema=CANDLE_SCHEMA).sort_by("time")
    times = table["time"]
    if pc.count_distinct(times).as_py() != len(times):
        raise BadUpstream("EasyInsight sent two candles of one time")
    inside = pc.and_(
        pc.greater_equal(times, pa.scalar(start, UTC_MICROSECONDS)), pc.less(times, pa.scalar(end, UTC_MICROSECONDS))
    )
    return table.filter(inside).combine_chunks()


def parse_drafts(body: bytes) -> dict[str, SymbolDraft]:
    """Return the listed symbols by EasyInsight's own spelling; names that no symbol of ours may have are left out."""
    drafts: dict[str, SymbolDraft] = {}
    for entry in _list(_parsed(body), "symbols"):
        spelling = entry.get("symbol")
        if not isinstance(spelling, str):
            raise BadUpstream(f"EasyInsight lists a symbol without a name: {str(entry)[:80]}")
        try:
            drafts[spelling] = validated(replace(guess_draft(spelling), **_given(entry)))
        except InvalidRequest as error:
            log.warning("symbol of easyinsight left out", symbol=spelling[:40], reason=str(error))
    return drafts


def _given(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a draft that an entry of the list states."""
    try:
        given: dict[str, Any] = {name: Decimal(str(entry[name])) for name in _NUMBERS if entry.get(name) is not None}
        if entry.get("category"):
            given["category"] = Category(entry["category"])
    except (InvalidOperation, ValueError) as error:
        raise BadUpstream(f"EasyInsight's entry for {entry['symbol'][:40]!r} is wrong: {error}") from None
    return given | {name: str(entry[name]) for name in _TEXTS if entry.get(name)}


def _column(rows: list[dict[str, Any]], name: str) -> pa.Array:
    try:
        values = pa.array([row[name] for row in rows])
    except KeyError:
        raise BadUpstream(f"EasyInsight sent a candle without {name}") from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        raise BadUpstream(f"EasyInsight mixed kinds of values in {name}") from None
    if not rows:
        return pa.array([], CANDLE_SCHEMA.field(name).type)
    try:
        return time_column(values) if name == "time" else _finite(number_column(values))
    except BadCell as error:
        raise BadUpstream(f"EasyInsight's candle {error.row + 1}, {name}: {error.reason}") from None


def _finite(numbers: pa.Array) -> pa.Array:
    finite = pc.is_finite(numbers)
    if not pc.all(finite).as_py():
        raise BadCell(pc.index(finite, False).as_py(), "is missing or not finite")
    return numbers


def _list(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = answer.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadUpstream(f"EasyInsight's answer has no list of {name}")
    return entries


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        beginning = body[:60].decode("utf-8", "replace")
        raise BadUpstream(f"EasyInsight sent no JSON but {beginning!r}: {error}") from None
    if not isinstance(answer, dict):
        raise BadUpstream("EasyInsight's answer is no JSON object")
    return answer
