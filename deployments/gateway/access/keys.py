"""API keys: a file of hashes that the command line and every replica share."""

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from deployments.common.clock import Clock, utc_now
from deployments.common.disk import locked
from deployments.common.errors import Conflict, InvalidRequest, NotFound
from deployments.gateway.models import KeyRecord, Scope

PREFIX = "cck_"
MOST_OF_A_NAME = 64
LOOK_AGAIN_S = 1.0
"""A revoked key may work for this much longer; looking at the file costs a system call."""


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a random secret; 256 random bits need no slow hash and no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyRing:
    """Keep keys in `directory/keys.json` (mode 0600), re-read when another process changes it."""

    def __init__(
        self, directory: Path, clock: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = directory / "keys.json"
        self._clock = clock
        self._monotonic = monotonic
        self._records: tuple[KeyRecord, ...] = ()
        self._seen: tuple[int, int] | None = None
        self._looked_at = float("-inf")

    def create(self, name: str, scopes: Iterable[Scope]) -> str:
        """Add a key and return it, the only time that it is seen.

        Raises `InvalidRequest` where the name would not fit a line of a list, and `Conflict` where it is taken.
        """
        if name != name.strip() or not 1 <= len(name) <= MOST_OF_A_NAME or not name.isprintable():
            problem = f"must be 1 to {MOST_OF_A_NAME} printable characters"
            raise InvalidRequest(f"the name of a key {problem}", (("name", problem),))
        key = PREFIX + secrets.token_urlsafe(32)
        with self._locked():
            records = self.list()
            if any(record.name == name for record in records):
                raise Conflict(f"a key named {name} exists")
            wanted = tuple(sorted(scopes, key=lambda scope: scope.rank))
            self._write((*records, KeyRecord(name, digest_of(key), wanted, self._clock())))
        return key

    def revoke(self, name: str) -> None:
        """Remove a key; raises `NotFound`."""
        with self._locked():
            records = self.list()
            left = tuple(record for record in records if record.name != name)
            if len(left) == len(records):
                raise NotFound(f"no key is named {name}")
            self._write(left)

    def list(self) -> tuple[KeyRecord, ...]:
        """Return the keys as the file has them now."""
        self._looked_at = float("-inf")
        return self._current()

    def verify(self, key: str) -> KeyRecord | None:
        """Return the record of a key, or None; the time taken does not tell how near a guess came."""
        digest = digest_of(key)
        found: KeyRecord | None = None
        for record in self._current():
            if hmac.compare_digest(record.digest, digest):
                found = record
        return found

    def _current(self) -> tuple[KeyRecord, ...]:
        now = self._monotonic()
        if now - self._looked_at >= LOOK_AGAIN_S:
            self._looked_at = now
            self._reread()
        return self._records

    def _reread(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._records, self._seen = (), None
            return
        # Writers replace the file, so its inode changes even within one tick of its clock.
        state = (status.st_mtime_ns, status.st_ino)
        if state != self._seen:
            self._records = tuple(_records(json.loads(self._path.read_text(encoding="utf-8"))))
            self._seen = state

    def _write(self, records: tuple[KeyRecord, ...]) -> None:
        write_private(self._path, json.dumps({"keys": [_stored(record) for record in records]}, indent=2))
        self._looked_at = float("-inf")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        private_folder(self._path.parent)
        with locked(self._path.parent / "keys.lock"):
            yield


def private_folder(directory: Path) -> None:
    """Create a folder that only its owner may open."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner may read, whole or not at all."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)


def shared_secret(path: Path) -> str:
    """Return the secret in `path`, made by whoever comes first; nobody ever reads a half-written one."""
    if not path.exists():
        candidate = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        write_private(candidate, secrets.token_hex(32))
        try:
            os.link(candidate, path)  # fails where another process was first
        except FileExistsError:
            pass
        finally:
            candidate.unlink()
    return path.read_text(encoding="utf-8").strip()


def _stored(record: KeyRecord) -> dict[str, object]:
    return {
        "name": record.name,
        "sha256": record.digest,
        "scopes": list(record.scopes),
        "created_at": record.created_at.isoformat(),
    }


def _records(document: dict[str, list[dict[str, object]]]) -> Iterator[KeyRecord]:
    for item in document["keys"]:
        scopes = item["scopes"]
        assert isinstance(scopes, list)  # noqa: S101  (we wrote the file)
        yield KeyRecord(
            str(item["name"]),
            str(item["sha256"]),
            tuple(Scope(scope) for scope in scopes),
            datetime.fromisoformat(str(item["created_at"])),
        )
