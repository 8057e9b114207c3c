"""The stack's own use of its HTTP interface, with the admin key."""

import time
from typing import Any

import httpx

from deployments.local_stack.errors import StackError

POLL_S = 0.5


class StackApi:
    """Call the gateway at `url` as administrator."""

    def __init__(self, url: str, admin_key: str) -> None:
        self._url = url
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {admin_key}"}, timeout=30.0)

    def get(self, path: str) -> Any:
        """Return the JSON answer; raises `StackError` with the problem's own words."""
        return self._json("GET", path)

    def post(self, path: str, body: object | None = None) -> Any:
        """Post JSON and return the JSON answer; raises `StackError` with the problem's own words."""
        return self._json("POST", path, body)

    def _json(self, method: str, path: str, body: object | None = None) -> Any:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise StackError(f"{self._url} does not answer: {error}") from error
        if answer.is_error:
            raise StackError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def await_alive(self, timeout_s: float) -> None:
        """Return once `/livez` answers."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if self._client.get("/livez").is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(POLL_S / 5)
        raise StackError(f"{self._url} did not answer within {timeout_s:g} s")

    def login_link(self) -> str:
        """Return a one-time address that logs a browser in."""
        return self._url + str(self.post("/api/v1/login-links", {})["url_path"])
