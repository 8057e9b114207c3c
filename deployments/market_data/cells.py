"""Foreign columns to ours: instants and numbers in whatever form files and services write them."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

_EARLIEST_EPOCH_US = 1e14
"""Smaller numbers are no times but dates such as 20240101, and would all read as 1970."""

_EPOCH_UNITS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (2.0**63, 1e-3))
"""(numbers below this, microseconds per unit): seconds, milliseconds, microseconds, nanoseconds."""

_DATETIME_RANGE_US = (-62_135_596_800_000_000, 253_402_300_800_000_000)
"""Years 1 to 9999: Arrow knows later ones, Python and the database do not."""

_REFUSALS = (pa.ArrowInvalid, pa.ArrowNotImplementedError)
"""What Arrow raises where a value, or a whole type, does not convert."""

_NUMBER = r"^[+-]?\d+(\.\d*)?$"
_ZONE = r":.*(Z|[+-]\d{2}(:?\d{2})?)$"


class BadCell(ValueError):
    """Name the first cell that cannot be read: its row, counted from 0, and what is wrong with it."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(row, reason)
        self.row = row
        self.reason = reason


def time_column(values: pa.Array) -> pa.Array:
    """Return instants as UTC microseconds.

    Reads timestamps and ISO 8601 text (without a zone they are UTC), dates, and epoch seconds, milli-, micro- or
    nanoseconds as numbers or text. Raises `BadCell`.
    """
    values = _present(_plain(values))
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return _in_utc(values)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return _since_epoch(_to_float(values))
    if not pa.types.is_string(values.type):
        raise BadCell(0, f"{values[0].as_py()!r} is not a time")
    if len(values) and pc.match_substring_regex(values[:1], _NUMBER)[0].as_py():
        return _since_epoch(_converted(values, _to_float, "a time"))
    return _converted(values, _from_iso, "a time")


def number_column(values: pa.Array) -> pa.Array:
    """Return numbers as float64, empty cells as NaN; raises `BadCell`."""
    values = _plain(values)
    if pa.types.is_string(values.type):
        values = pc.if_else(pc.equal(values, ""), None, values)
    elif pa.types.is_boolean(values.type) or pa.types.is_temporal(values.type):
        raise BadCell(0, f"{values[0].as_py()!r} is not a number")
    return pc.fill_null(_converted(values, _to_float, "a number"), np.nan)


def text_column(values: pa.Array) -> pa.Array:
    """Return trimmed, non-empty text; raises `BadCell`."""
    return _present(_converted(_plain(values), lambda part: part.cast(pa.string()), "text"))


def _plain(values: pa.Array) -> pa.Array:
    """Return one array, dictionaries decoded, text trimmed and of one type."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return values


def _present(values: pa.Array) -> pa.Array:
    empty = pc.is_null(values, nan_is_null=True)
    if pa.types.is_string(values.type):
        empty = pc.or_kleene(empty, pc.equal(values, ""))
    if pc.any(empty).as_py():
        raise BadCell(pc.index(empty, True).as_py(), "is empty")
    return values


def _in_utc(values: pa.Array) -> pa.Array:
    try:
        return _within_years(values)
    except _REFUSALS:
        raise BadCell(_first_failure(values, _within_years), "is out of range") from None


def _within_years(values: pa.Array) -> pa.Array:
    kind = pa.timestamp("us", tz=getattr(values.type, "tz", None))
    # Unsafe for nanoseconds only, which may lose digits; for wider units it would let an overflow read as 1970.
    # Arrow reads an instant without a zone as UTC in this cast.
    instants = values.cast(kind, safe=getattr(values.type, "unit", "") != "ns").cast(UTC_MICROSECONDS)
    earliest, end = _DATETIME_RANGE_US
    micros = instants.cast(pa.int64())
    if pc.any(pc.or_(pc.less(micros, earliest), pc.greater_equal(micros, end))).as_py():
        raise pa.ArrowInvalid("beyond year 9999")
    return instants


def _since_epoch(numbers: pa.Array) -> pa.Array:
    _refuse(numbers, pc.greater_equal(numbers, _EPOCH_UNITS[-1][0]))
    largest = pc.max(numbers).as_py() or 0.0
    factor = next(factor for limit, factor in _EPOCH_UNITS if largest < limit)
    micros = pc.round(pc.multiply(numbers, factor))
    _refuse(numbers, pc.less(micros, _EARLIEST_EPOCH_US))
    return micros.cast(pa.int64()).cast(UTC_MICROSECONDS)


def _refuse(numbers: pa.Array, wrong: pa.Array) -> None:
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise BadCell(row, f"{numbers[row].as_py():.15g} is not a time")


def _to_float(values: pa.Array) -> pa.Array:
    # Unsafe: epoch nanoseconds and very large volumes may lose their last digits.
    return values.cast(pa.float64(), safe=False)


def _from_iso(texts: pa.Array) -> pa.Array:
    date_only = pc.equal(pc.utf8_length(texts), 10)
    zoned = pc.match_substring_regex(texts, _ZONE)
    suffix = pc.if_else(zoned, "", pc.if_else(date_only, "T00:00Z", "Z"))
    # Through nanoseconds, because services write up to nine decimals.
    instants = pc.binary_join_element_wise(texts, suffix, "").cast(pa.timestamp("ns", tz="UTC"))
    return instants.cast(UTC_MICROSECONDS, safe=False)


def _converted(values: pa.Array, convert: Callable[[pa.Array], pa.Array], what: str) -> pa.Array:
    try:
        return convert(values)
    except _REFUSALS:
        row = _first_failure(values, convert)
        raise BadCell(row, f"{str(values[row].as_py())[:40]!r} is not {what}") from None


def _first_failure(values: pa.Array, convert: Callable[[pa.Array], pa.Array]) -> int:
    """Return the first row at which the conversion fails, by halving: Arrow names the value, not the row."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(values[low:middle])
            low = middle
        except _REFUSALS:
            high = middle
    return low
