"""Value types of the gateway: who calls and what they may do."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What a key allows, each including the one before."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {scope: rank for rank, scope in enumerate(Scope)}


class CallerKind(StrEnum):
    """How a caller proved who they are; a session rides on a cookie that browsers send unasked."""

    KEY = "key"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who showed a key or a session cookie."""

    name: str
    scopes: frozenset[Scope]
    kind: CallerKind = CallerKind.KEY

    def may(self, needed: Scope) -> bool:
        """Tell whether one of the caller's scopes includes `needed`."""
        return any(scope.rank >= needed.rank for scope in self.scopes)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is stored: the SHA-256 of a 256-bit random text, never the text."""

    name: str
    digest: str
    scopes: tuple[Scope, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HealthEntry:
    """One deployment or dependency: `status` healthy, degraded, unhealthy or absent, and why."""

    name: str
    kind: str
    status: str
    latency_ms: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of the whole graph as the gateway sees it."""

    service: str
    status: str
    version: str
    timescaledb_host: str | None
    sync_service_status: str
    entries: tuple[HealthEntry, ...]


def scopes_from(words: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes that the words name; raises `ValueError` on an unknown one."""
    return frozenset(Scope(word) for word in words)
