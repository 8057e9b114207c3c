"""JSON as the contract writes it: field names as they are, times with Z, decimals as text."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_SERIALIZE_NUMPY


def to_json(value: object) -> bytes:
    """Return the JSON of dataclasses, enums, times, decimals and numpy columns; not-a-number becomes null."""
    return orjson.dumps(value, default=_plain, option=OPTIONS)


def plain(value: object) -> Any:
    """Return a value as the dicts, lists and texts that its JSON holds."""
    return orjson.loads(to_json(value))


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):  # subclasses, such as pandas' Timestamp, are not written by orjson itself
        return datetime.fromisoformat(value.isoformat()).astimezone(UTC)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
