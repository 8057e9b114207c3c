"""Time: the one place that asks what time it is, and deadlines on what may never answer."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from deployments.common.errors import UpstreamTimeout, meaning_of

T = TypeVar("T")

Clock = Callable[[], datetime]
"""Returns the present instant as aware UTC; tests pass their own."""


def utc_now() -> datetime:
    """Return the present instant as aware UTC."""
    return datetime.now(UTC)


async def within(timeout_s: float, answer: Awaitable[T], what: str) -> T:
    """Await the answer of a handle call for at most `timeout_s` seconds.

    A Serve handle call has no deadline of its own and goes on after its caller has left, so a `DeploymentResponse`
    is cancelled downstream. Raises `UpstreamTimeout` naming `what`, or the error of ours that the replica raised.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except TimeoutError:
        _cancel(answer)
        raise UpstreamTimeout(f"{what} did not answer within {timeout_s:g} s") from None
    except asyncio.CancelledError:
        _cancel(answer)
        raise
    except Exception as error:
        meaning = meaning_of(error, what)
        if meaning is None or meaning is error:
            raise
        raise meaning from None


def _cancel(answer: object) -> None:
    cancel = getattr(answer, "cancel", None)
    if callable(cancel):
        cancel()
