"""The query log in lists; it passes the same contract tests as the one on PostgreSQL."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from deployments.common.errors import DatabaseUnavailable
from deployments.market_data.models import QueryLogEntry
from deployments.market_data.query_log import QueryFilter, StatementEntry

T = TypeVar("T", QueryLogEntry, StatementEntry)

SLACK = timedelta(seconds=15)


class MemoryQueryLog:
    """Requests and statements; `is_away` makes every call fail as a lost database does."""

    def __init__(self) -> None:
        self.is_away = False
        self._requests: list[QueryLogEntry] = []
        self._statements: list[StatementEntry] = []

    async def add_requests(self, entries: Sequence[QueryLogEntry]) -> None:
        self._answer()
        self._requests += [replace(entry, sql=()) for entry in entries]

    async def add_statements(self, entries: Sequence[StatementEntry]) -> None:
        self._answer()
        self._statements += entries

    async def requests(self, wanted: QueryFilter) -> tuple[QueryLogEntry, ...]:
        self._answer()
        found = [
            entry
            for entry in reversed(self._requests)
            if wanted.endpoint in ("", entry.endpoint)
            and entry.duration_ms >= wanted.min_duration_ms
            and (wanted.since is None or entry.time >= wanted.since)
        ]
        found.sort(key=lambda entry: entry.time, reverse=True)
        return tuple(replace(entry, sql=self._inside(entry)) for entry in found[: wanted.limit])

    async def prune(self, before: datetime, max_rows: int, at_most: int) -> int:
        self._answer()
        kept = len(self._requests) + len(self._statements)
        self._requests = _pruned(self._requests, lambda entry: entry.time < before, max_rows, at_most)
        self._statements = _pruned(self._statements, lambda entry: entry.time < before, max_rows, at_most)
        return kept - len(self._requests) - len(self._statements)

    async def close(self) -> None:
        self.is_away = True

    def _inside(self, entry: QueryLogEntry) -> tuple[tuple[str, float, int], ...]:
        end = entry.time + timedelta(milliseconds=entry.duration_ms) + SLACK
        return tuple(
            (each.name, each.duration_ms, each.rows)
            for each in self._statements
            if each.request_id == entry.request_id and entry.time - SLACK <= each.time <= end
        )

    def _answer(self) -> None:
        if self.is_away:
            raise DatabaseUnavailable("the database is away", 2.0)


def _pruned(entries: list[T], is_old: Callable[[T], bool], max_rows: int, at_most: int) -> list[T]:
    surplus = len(entries) - max_rows
    doomed = [place for place, entry in enumerate(entries) if is_old(entry) or place < surplus][:at_most]
    return [entry for place, entry in enumerate(entries) if place not in set(doomed)]
