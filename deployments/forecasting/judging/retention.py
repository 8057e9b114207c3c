"""Which model versions may be deleted. Pure functions only."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_TRAINED_AT = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept beside champions and rollback targets.

    The `newest` versions of each series; candidates that never served for `candidate_age`; former champions for
    `champion_age`, because questions about the past are answered by the model of their time.
    """

    newest: int = 10
    candidate_age: timedelta = timedelta(days=30)
    champion_age: timedelta = timedelta(days=365)


def expired(
    versions: Iterable[str], kept: set[str], promoted: set[str], retention: Retention, now: datetime
) -> tuple[str, ...]:
    """Return the versions of one series that may go, oldest first; `kept` may never, `promoted` served once."""
    ordered = sorted(versions)
    newest = set(ordered[max(0, len(ordered) - retention.newest) :])
    return tuple(
        version
        for version in ordered
        if version not in kept | newest
        and now - trained_at(version) > (retention.champion_age if version in promoted else retention.candidate_age)
    )


def trained_at(version: str) -> datetime:
    """Return the instant that a version's name begins with; raises `ValueError` for another kind of name."""
    match = _TRAINED_AT.match(version)
    if match is None:
        raise ValueError(f"{version!r} is not the name of a version")
    return datetime.strptime(match[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
