"""The stack's own use of its HTTP interface, with the admin key."""

import time
from collections.abc import Mapping
from typing import Any

import httpx

from deployments.gateway.models import Scope
from deployments.local_stack.errors import StackError
from deployments.local_stack.refusals import told

POLL_S = 0.5


class StackApi:
    """Call the gateway at `url` as administrator."""

    def __init__(self, url: str, admin_key: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {admin_key}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=30.0, transport=transport)

    def get(self, path: str) -> Any:
        """Return the JSON answer; raises `StackError` with the problem's own words."""
        return self._json("GET", path)

    def post(self, path: str, body: object | None = None) -> Any:
        """Post JSON and return the JSON answer; raises `StackError` with the problem's own words."""
        return self._json("POST", path, body)

    def delete(self, path: str) -> Any:
        """Delete or end something and return the JSON answer; raises `StackError` with the problem's own words."""
        return self._json("DELETE", path)

    def get_with_tag(self, path: str) -> tuple[Any, str] | None:
        """Return the JSON answer with its entity tag, or None where there is no such thing."""
        answer = self._request("GET", path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return _content(answer), answer.headers.get("ETag", "")

    def put(self, path: str, body: object, tag: str) -> Any:
        """Replace what `tag` names; raises `StackError` with the problem's own words, also where it changed since."""
        return _content(self._request("PUT", path, body, {"If-Match": tag}))

    def _json(self, method: str, path: str, body: object | None = None) -> Any:
        return _content(self._request(method, path, body))

    def _request(
        self, method: str, path: str, body: object | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise StackError(f"{self._url} does not answer: {error}") from error

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

    def login_link(self, scope: Scope = Scope.OPERATE) -> str:
        """Return a one-time address that opens a session of this scope in a browser."""
        return self._url + str(self.post("/api/v1/login-links", {"scope": scope.value})["url_path"])


def _content(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise StackError(told(answer))
    return answer.json() if answer.content else None
