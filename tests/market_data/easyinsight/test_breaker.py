"""The circuit breaker, by a clock of our own."""

import asyncio

import pytest

from deployments.common.errors import BadUpstream, Unavailable, UnknownSymbol
from deployments.market_data.easyinsight.breaker import Breaker


class Seconds:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def breaker(seconds: Seconds) -> Breaker:
    return Breaker("source", failures=3, open_s=10.0, clock=seconds)


def fail(breaker: Breaker, error: Exception, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(type(error)), breaker.guard():
            raise error


def succeed(breaker: Breaker) -> None:
    with breaker.guard():
        pass


def test_three_failures_in_a_row_open_it_and_say_for_how_long(breaker: Breaker, seconds: Seconds) -> None:
    fail(breaker, BadUpstream(), 3)
    seconds.now += 4
    with pytest.raises(Unavailable, match="3 times") as refused, breaker.guard():
        pytest.fail("the source was asked")
    assert refused.value.retry_after_s == 6.0


def test_a_success_between_failures_keeps_it_closed(breaker: Breaker) -> None:
    fail(breaker, Unavailable(), 2)
    succeed(breaker)
    fail(breaker, Unavailable(), 2)
    assert not breaker.is_open


def test_an_answer_that_says_no_is_no_failure(breaker: Breaker) -> None:
    fail(breaker, UnknownSymbol(), 5)
    assert not breaker.is_open


def test_after_the_pause_one_call_finds_out_and_closes_it(breaker: Breaker, seconds: Seconds) -> None:
    fail(breaker, Unavailable(), 3)
    seconds.now += 10
    with breaker.guard():
        assert breaker.is_open
    assert not breaker.is_open


def test_after_the_pause_one_failure_opens_it_again(breaker: Breaker, seconds: Seconds) -> None:
    fail(breaker, Unavailable(), 3)
    seconds.now += 10
    fail(breaker, Unavailable())
    assert breaker.is_open


def give_up(breaker: Breaker, seconds: Seconds, after_s: float) -> None:
    def call() -> None:
        with breaker.guard():
            seconds.now += after_s
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        call()


def test_calls_given_up_on_as_too_slow_open_it(breaker: Breaker, seconds: Seconds) -> None:
    for _ in range(3):
        give_up(breaker, seconds, after_s=2.0)
    assert breaker.is_open


def test_calls_cut_short_at_once_do_not_count(breaker: Breaker, seconds: Seconds) -> None:
    for _ in range(5):
        give_up(breaker, seconds, after_s=0.1)
    assert not breaker.is_open
