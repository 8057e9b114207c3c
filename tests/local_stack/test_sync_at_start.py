"""The sync cycle that a stack asks for once its candles are in."""

import json

import httpx
import pytest

from deployments.local_stack.api import StackApi
from deployments.local_stack.stack import trigger_sync


class Sync(httpx.BaseTransport):
    """A gateway whose sync stands as told, which remembers the calls that it got."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.asked: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path.rpartition('/')[2]}")
        return httpx.Response(200, content=json.dumps({"state": self.state}), request=request)


@pytest.mark.parametrize(("state", "asked"), [("running", ["GET status", "POST trigger"]), ("stopped", ["GET status"])])
def test_cycle_is_asked_for_unless_the_sync_is_stopped(state: str, asked: list[str]) -> None:
    sync = Sync(state)
    trigger_sync(StackApi("http://stack", "key", sync))
    assert sync.asked == asked
