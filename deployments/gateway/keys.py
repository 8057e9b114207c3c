"""API keys: a file of hashes that the command line and every replica share."""

import fcntl
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
from deployments.common.errors import Conflict, NotFound
from deployments.gateway.models import KeyRecord, Scope

PREFIX = "cck_"
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
        """Add a key and return it, the only time that it is seen; raises `Conflict` where the name is taken."""
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
        with (self._path.parent / "keys.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
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
