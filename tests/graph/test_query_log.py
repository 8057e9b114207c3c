"""The query log of a running graph: a request, the parts that it went through, and the SQL inside it."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.running_stack import RunningStack, until

pytestmark = [pytest.mark.ray, pytest.mark.db, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def api(stack: RunningStack) -> Iterator[httpx.Client]:
    with stack.api() as client:
        yield client


def logged(api: httpx.Client, identity: str) -> dict[str, Any]:
    """Return the log's entry of a request, empty while there is none."""
    entries = api.get("/api/v1/query-logs?limit=1000").json()["entries"]
    return next((entry for entry in entries if entry["request_id"] == identity), {})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/data/BTCUSD?interval=4h&start=2024-01-03&end=2024-01-04", None),
        ("GET", "/api/v1/forecast/ETHUSD?horizon=3", None),
        ("POST", "/api/v1/analyze", {"symbol": "SOLUSD", "horizon": 3}),
    ],
)
def test_request_is_logged_with_the_sql_inside_it(
    method: str, path: str, body: dict[str, Any] | None, api: httpx.Client
) -> None:
    found: dict[str, Any] = {}

    def asked_and_logged() -> bool:
        """Ask, and ask again where everything came from memory just then."""
        identity = uuid.uuid4().hex
        assert api.request(method, path, json=body, headers={"X-Request-ID": identity}).status_code == 200
        until(lambda: bool(logged(api, identity)), 30, "the log of the request")
        found.update(logged(api, identity))
        return bool(found["sql"])

    until(asked_and_logged, 60, "a request with SQL inside it")
    assert (found["method"], found["status"]) == (method, 200)
    assert all(name and duration_ms > 0 for name, duration_ms, _ in found["sql"])


def test_log_says_nothing_of_its_own_statements(api: httpx.Client) -> None:
    identity = uuid.uuid4().hex
    api.get("/api/v1/query-logs", headers={"X-Request-ID": identity})
    until(lambda: bool(logged(api, identity)), 30, "the log of the request")
    assert logged(api, identity)["sql"] == []
