"""Every error survives the trip between processes and says what it stands for."""

import pickle

import pytest

from deployments.common import errors
from deployments.common.errors import (
    CandlecastError,
    InvalidRequest,
    TooLittleHistory,
    Unavailable,
    UnknownSymbol,
    meaning_of,
)


def all_errors() -> list[type[CandlecastError]]:
    found = [CandlecastError]
    for kind in found:
        found += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_it_left(kind: type[CandlecastError]) -> None:
    arrived = pickle.loads(pickle.dumps(kind("why")))  # noqa: S301 - our own bytes

    assert type(arrived) is kind
    assert arrived.args == kind("why").args
    assert arrived.detail == "why"


def test_an_error_keeps_what_it_carries_between_processes() -> None:
    missing = pickle.loads(pickle.dumps(TooLittleHistory("short", 3, 20)))  # noqa: S301
    invalid = pickle.loads(pickle.dumps(InvalidRequest("bad", (("limit", "below 1"),))))  # noqa: S301
    later = pickle.loads(pickle.dumps(Unavailable("down", 7.5)))  # noqa: S301

    assert (missing.have, missing.need) == (3, 20)
    assert invalid.fields == (("limit", "below 1"),)
    assert later.retry_after_s == 7.5


def test_every_error_of_the_tree_has_a_slug_of_its_own_family() -> None:
    for kind in all_errors():
        assert 400 <= kind.status < 600
        assert kind.slug == kind.slug.lower()
        assert kind.title


def test_every_concrete_error_is_drawn_in_the_tree() -> None:
    drawn = errors.__doc__ or ""

    assert [kind.__name__ for kind in all_errors() if kind.__name__ not in drawn and kind.__name__ != "Retryable"] == []


class RayTaskError(Exception):
    """What Ray wraps a replica's error in."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("a long traceback")
        self.cause = cause


class BackPressureError(Exception):
    """What Serve raises when a queue is full."""


def test_the_cause_of_a_remote_error_is_its_meaning() -> None:
    cause = UnknownSymbol("no XYZ")

    assert meaning_of(RayTaskError(cause), "MarketData") is cause


def test_a_full_or_dead_replica_means_unavailable() -> None:
    meaning = meaning_of(BackPressureError(), "MarketData")

    assert isinstance(meaning, Unavailable)
    assert "MarketData" in meaning.detail


def test_a_bug_has_no_meaning() -> None:
    assert meaning_of(RayTaskError(ZeroDivisionError()), "MarketData") is None
