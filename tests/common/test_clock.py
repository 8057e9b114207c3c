"""Deadlines on handle calls."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from deployments.common.clock import utc_now, within
from deployments.common.errors import UnknownSymbol, UpstreamTimeout


class SlowAnswer:
    """A handle's response that never comes; it notes whether it was cancelled downstream."""

    def __init__(self) -> None:
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, None]:
        return asyncio.Event().wait().__await__()  # type: ignore[return-value]

    def cancel(self) -> None:
        self.cancelled = True


class RemoteError(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__("traceback")
        self.cause = cause


async def answer(value: int) -> int:
    return value


async def fail(error: Exception) -> int:
    raise error


async def test_an_answer_in_time_is_returned() -> None:
    assert await within(5.0, answer(7), "MarketData") == 7


async def test_a_late_answer_is_cancelled_downstream_and_named() -> None:
    slow = SlowAnswer()

    with pytest.raises(UpstreamTimeout, match="MarketData did not answer"):
        await within(0.01, slow, "MarketData")

    assert slow.cancelled


async def test_a_caller_that_leaves_cancels_downstream() -> None:
    slow = SlowAnswer()
    task = asyncio.create_task(within(60.0, slow, "MarketData"))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert slow.cancelled


async def test_an_error_of_ours_arrives_without_its_wrapping() -> None:
    with pytest.raises(UnknownSymbol):
        await within(5.0, fail(RemoteError(UnknownSymbol("no XYZ"))), "MarketData")


async def test_a_bug_arrives_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        await within(5.0, fail(ZeroDivisionError()), "MarketData")


def test_now_is_aware() -> None:
    offset = utc_now().utcoffset()

    assert offset is not None
    assert offset.total_seconds() == 0
