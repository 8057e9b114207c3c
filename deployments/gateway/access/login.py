"""How a person signs in to the dashboard: a link that works once, then a signed cookie."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from deployments.common.clock import Clock, utc_now
from deployments.gateway.access.keys import digest_of, private_folder, shared_secret, write_private
from deployments.gateway.models import Caller, CallerKind, Scope, scopes_from

DEFAULT_SCOPES = (Scope.OPERATE,)


class LoginLinks:
    """Keep one file per unused link in `directory/links`, named by the hash of its token."""

    def __init__(self, directory: Path, clock: Clock = utc_now) -> None:
        self._directory = directory / "links"
        self._clock = clock

    def create(self, ttl_s: float, scopes: Iterable[Scope] = DEFAULT_SCOPES) -> str:
        """Return the token of a new link that lasts `ttl_s` seconds and gives a session these scopes."""
        private_folder(self._directory.parent)
        private_folder(self._directory)
        self._remove_expired()
        token = secrets.token_urlsafe(32)
        expires_at = self._clock() + timedelta(seconds=ttl_s)
        content = {"expires_at": expires_at.isoformat(), "scopes": sorted(scopes)}
        write_private(self._directory / digest_of(token), json.dumps(content))
        return token

    def redeem(self, token: str) -> frozenset[Scope] | None:
        """Use up a link and return its scopes, or None where it is unknown, used or expired."""
        path = self._directory / digest_of(token)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            path.unlink()  # of several replicas only one succeeds, which makes the link work once
        except FileNotFoundError:
            return None
        if datetime.fromisoformat(content["expires_at"]) <= self._clock():
            return None
        return scopes_from(content["scopes"])

    def _remove_expired(self) -> None:
        for path in self._directory.glob("[0-9a-f]*"):
            try:
                expires_at = json.loads(path.read_text(encoding="utf-8"))["expires_at"]
            except FileNotFoundError:
                continue
            if datetime.fromisoformat(expires_at) <= self._clock():
                path.unlink(missing_ok=True)


class Sessions:
    """Sign and read session cookies with a secret that all replicas share, `directory/session.secret`.

    A cookie carries its scopes and its end; signing out forgets it in the browser, and removing the secret's file
    before a start ends every session.
    """

    def __init__(self, directory: Path, clock: Clock = utc_now) -> None:
        private_folder(directory)
        self._secret = shared_secret(directory / "session.secret").encode()
        self._clock = clock
        # Cookies know no ports: two stacks on one host would overwrite each other's.
        self.cookie_name = f"candlecast_session_{hashlib.sha256(self._secret).hexdigest()[:8]}"

    def issue(self, scopes: Iterable[Scope], lasts_s: float) -> str:
        """Return the value of a new session cookie."""
        end = int((self._clock() + timedelta(seconds=lasts_s)).timestamp())
        claims = {"id": secrets.token_hex(8), "scopes": sorted(scopes), "exp": end}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
        return f"{body}.{self._signature(body)}"

    def read(self, cookie: str) -> Caller | None:
        """Return who a cookie stands for, or None where it is forged or expired."""
        body, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            return None
        try:
            claims = json.loads(base64.urlsafe_b64decode(body))
        except (binascii.Error, ValueError):
            return None
        if claims["exp"] <= self._clock().timestamp():
            return None
        return Caller(f"session {claims['id']}", scopes_from(claims["scopes"]), CallerKind.SESSION)

    def _signature(self, body: str) -> str:
        return hmac.new(self._secret, body.encode(), hashlib.sha256).hexdigest()
