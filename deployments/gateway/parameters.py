"""Types of path and query parameters, shared by the routes."""

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator

from deployments.common.errors import CandlecastError, InvalidRequest
from deployments.gateway.settings import MAX_BATCH
from deployments.market_data.models import MAX_CANDLES

SYMBOL = r"^[A-Za-z0-9][A-Za-z0-9._-]{1,19}$"
"""A symbol as callers may write it; market data knows its one true spelling."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
MAX_DAYS = 36_500
MAX_LEVELS = 9


def _as_text(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9.eE+-]*", value) and not re.match(r"\d{4}-", value):
        raise ValueError("write an instant as RFC 3339, such as 2024-01-31T12:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    if not 1900 <= value.year <= 2200:
        raise ValueError("the year must lie between 1900 and 2200")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Instant = Annotated[datetime, BeforeValidator(_as_text), AfterValidator(_in_utc)]
"""An RFC 3339 instant; without a zone it is UTC, and a bare date is its midnight."""

SymbolPath = Annotated[
    str, Path(pattern=SYMBOL, description="A managed symbol, one of its aliases, or any with candles")
]
VersionPath = Annotated[str, Path(pattern=NAME)]
IdPath = Annotated[str, Path(pattern=NAME)]
SymbolFilterQuery = Annotated[str | None, Query(pattern=SYMBOL)]
Horizon = Annotated[int, Query(ge=1, le=168, description="Bars ahead")]
AsOf = Annotated[Instant | None, Query(description="As known at this instant")]
LookbackDays = Annotated[float | None, Query(gt=0, le=MAX_DAYS, allow_inf_nan=False)]
CandleLimit = Annotated[int | None, Query(ge=1, le=MAX_CANDLES)]
Symbols = Annotated[str, Query(max_length=2_000, description=f"Up to {MAX_BATCH} symbols, divided by commas")]
Levels = Annotated[str, Query(max_length=100, description="Prediction interval levels in percent, divided by commas")]


def symbols_of(text: str) -> tuple[tuple[str, ...], dict[str, CandlecastError]]:
    """Return the well-formed symbols of a list, each once, and an error for each of the others."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not 1 <= len(names) <= MAX_BATCH:
        problem = f"name between 1 and {MAX_BATCH} symbols"
        raise InvalidRequest(problem, (("symbols", problem),))
    good = tuple(name for name in names if re.fullmatch(SYMBOL, name))
    problem = "a symbol has 2 to 20 letters, digits, dots, dashes or underscores"
    return good, {name: InvalidRequest(problem, (("symbols", problem),)) for name in names if name not in good}


def levels_of(text: str) -> tuple[float, ...]:
    """Return the levels of a list, ascending, each once; raises `InvalidRequest`."""
    try:
        levels = sorted({float(item) for item in text.split(",")})
    except ValueError:
        levels = []
    if not 1 <= len(levels) <= MAX_LEVELS or not all(0 < level < 100 for level in levels):
        problem = f"give 1 to {MAX_LEVELS} percentages between 0 and 100, such as 80,90"
        raise InvalidRequest(problem, (("level", problem),))
    return tuple(levels)
