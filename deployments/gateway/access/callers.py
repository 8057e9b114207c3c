"""Who calls, and whether they may: keys, session cookies, scopes, same-origin checks and rates."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.params import Depends as Dependency
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from deployments.common.errors import Forbidden, RateLimited, Unauthenticated
from deployments.gateway.access.keys import KeyRing
from deployments.gateway.access.limits import RateLimiter
from deployments.gateway.access.login import Sessions
from deployments.gateway.models import Caller, CallerKind, Scope

GUARDED = "/api/"
"""Below this path nothing answers without a key, not even that a path is unknown."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Find out who calls before the app reads a byte of the body, and turn away who shows nothing valid."""

    def __init__(self, app: ASGIApp, keys: KeyRing, sessions: Sessions, limiter: RateLimiter) -> None:
        self._app = app
        self._keys = keys
        self._sessions = sessions
        self._limiter = limiter

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            caller = self._caller(headers)
            scope.setdefault("state", {})["caller"] = caller
            if caller is not None:
                _check_origin(scope["method"], headers, caller)
            if scope["path"].startswith(GUARDED):
                self._admit(caller)
        await self._app(scope, receive, send)

    def _caller(self, headers: Headers) -> Caller | None:
        key = _shown_key(headers)
        if key is not None:
            record = self._keys.verify(key)
            return None if record is None else Caller(f"key {record.name}", frozenset(record.scopes))
        cookie = cookie_parser(headers.get("cookie", "")).get(self._sessions.cookie_name)
        return self._sessions.read(cookie) if cookie else None

    def _admit(self, caller: Caller | None) -> None:
        if caller is None:
            raise Unauthenticated("send a valid key as `Authorization: Bearer …` or `X-API-Key`, or sign in at /login")
        wait_s = self._limiter.wait_s(caller.name)
        if wait_s > 0:
            raise RateLimited("this key asks more often than it may", wait_s)


class Requires:
    """A dependency of routes: the caller has a scope; declares both key headers in the OpenAPI document."""

    def __init__(self, needed: Scope) -> None:
        self.needed = needed

    async def __call__(
        self,
        request: Request,
        _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))] = None,
        _header: Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))] = None,
    ) -> Caller:
        caller: Caller | None = request.state.caller
        if caller is None:
            raise Unauthenticated("send a valid key, or sign in at /login")
        if not caller.may(self.needed):
            raise Forbidden(f"this needs the scope {self.needed}")
        return caller


def requires(needed: Scope) -> Dependency:
    """Return the dependency that lets only callers with a scope pass."""
    dependency: Dependency = Depends(Requires(needed))
    return dependency


def _shown_key(headers: Headers) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return headers.get("x-api-key")


def _check_origin(method: str, headers: Headers, caller: Caller) -> None:
    """Refuse a change that another site's page asked a signed-in browser for."""
    if method in SAFE_METHODS or caller.kind is not CallerKind.SESSION:
        return
    site = headers.get("sec-fetch-site")
    if site is not None:  # set by browsers, out of reach of pages
        same = site == "same-origin"
    else:
        same = urlsplit(headers.get("origin", "")).netloc == headers.get("host", "-")
    if not same:
        raise Forbidden("a signed-in page may change things only from this very origin")
