"""SQL statements as they are seen: a short name, how long, how many rows. Never their text or values."""

import re
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Observation:
    """One executed statement; `error` names the class of what it raised."""

    name: str
    duration_ms: float
    rows: int
    error: str = ""


Observe = Callable[[Observation], None]

_OBJECT = re.compile(r"\b(?:from|into|update|table|join|on)\s+(?:only\s+)?([a-z_][\w.]*)", re.IGNORECASE)
MAX_NAME = 80


def ignore(observation: Observation) -> None:
    """Observe nothing."""


def name_of(statement: str) -> str:
    """Return a name for a statement that has none: its verb and the first table in it, such as `select ohlcv_1h`."""
    verb = statement.split(maxsplit=1)[0].lower() if statement.strip() else "empty"
    found = _OBJECT.search(statement)
    return f"{verb} {found[1]}"[:MAX_NAME] if found else verb[:MAX_NAME]


class Sighting:
    """A statement under way; whoever runs it says how many rows it had."""

    rows = 0


@contextmanager
def observed(observe: Observe, name: str) -> Iterator[Sighting]:
    """Time a statement and tell `observe`, also where it fails."""
    sighting, began = Sighting(), time.perf_counter()
    error = ""
    try:
        yield sighting
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        observe(Observation(name, (time.perf_counter() - began) * 1000.0, sighting.rows, error))


class ObservedConnection:
    """A lent connection whose statements are observed; everything else is the connection's own.

    Each method takes `name=` beside what asyncpg takes.
    """

    def __init__(self, connection: Any, observe: Observe) -> None:
        self._connection = connection
        self._observe = observe

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._connection, attribute)

    async def fetch(self, statement: str, *values: object, name: str = "", **options: Any) -> Any:
        with observed(self._observe, name or name_of(statement)) as seen:
            records = await self._connection.fetch(statement, *values, **options)
            seen.rows = len(records)
        return records

    async def fetchrow(self, statement: str, *values: object, name: str = "", **options: Any) -> Any:
        with observed(self._observe, name or name_of(statement)) as seen:
            record = await self._connection.fetchrow(statement, *values, **options)
            seen.rows = int(record is not None)
        return record

    async def fetchval(self, statement: str, *values: object, name: str = "", **options: Any) -> Any:
        with observed(self._observe, name or name_of(statement)) as seen:
            value = await self._connection.fetchval(statement, *values, **options)
            seen.rows = int(value is not None)
        return value

    async def execute(self, statement: str, *values: object, name: str = "", **options: Any) -> Any:
        with observed(self._observe, name or name_of(statement)) as seen:
            tag = await self._connection.execute(statement, *values, **options)
            seen.rows = rows_in(tag)
        return tag

    async def executemany(self, statement: str, records: Any, name: str = "", **options: Any) -> None:
        with observed(self._observe, name or name_of(statement)) as seen:
            await self._connection.executemany(statement, records, **options)
            seen.rows = len(records) if isinstance(records, Sized) else 0

    async def copy_records_to_table(self, table: str, *, name: str = "", **options: Any) -> Any:
        with observed(self._observe, name or f"copy {table}") as seen:
            tag = await self._connection.copy_records_to_table(table, **options)
            seen.rows = rows_in(tag)
        return tag

    async def copy_to_table(self, table: str, *, name: str = "", **options: Any) -> Any:
        with observed(self._observe, name or f"copy {table}") as seen:
            tag = await self._connection.copy_to_table(table, **options)
            seen.rows = rows_in(tag)
        return tag


def rows_in(tag: object) -> int:
    """Return the rows that PostgreSQL's answer to a command counts, such as 5 of `INSERT 0 5`."""
    last = str(tag).rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
