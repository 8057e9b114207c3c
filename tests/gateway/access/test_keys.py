"""Keys on disk: only hashes, private files, changes seen by every process that holds the ring."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from deployments.common.errors import Conflict, InvalidRequest, NotFound
from deployments.gateway.access.keys import KeyRing
from deployments.gateway.models import Caller, Scope, scopes_from
from tests.fakes.gateway import NOW


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_scope_includes_the_ones_before_it() -> None:
    assert Caller("a", frozenset({Scope.ADMIN})).may(Scope.READ)
    assert Caller("a", frozenset({Scope.OPERATE})).may(Scope.READ)
    assert not Caller("a", frozenset({Scope.READ})).may(Scope.OPERATE)
    assert not Caller("a", frozenset()).may(Scope.READ)


def test_created_key_verifies_with_its_scopes(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "auth", clock=lambda: NOW)
    key = ring.create("desk", (Scope.OPERATE, Scope.READ))
    record = ring.verify(key)
    assert record is not None
    assert (record.name, record.scopes, record.created_at) == ("desk", (Scope.READ, Scope.OPERATE), NOW)
    assert ring.verify(key + "x") is None
    assert ring.verify("") is None


def test_file_holds_no_key_and_is_private(tmp_path: Path) -> None:
    key = KeyRing(tmp_path / "auth").create("desk", (Scope.READ,))
    path = tmp_path / "auth" / "keys.json"
    assert key not in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_name_is_given_once(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    ring.create("desk", (Scope.READ,))
    with pytest.raises(Conflict):
        ring.create("desk", (Scope.READ,))


@pytest.mark.parametrize("name", ["", " ", "desk ", "de\tsk", "de\nsk", "x" * 65])
def test_a_name_that_fits_no_line_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="name of a key"):
        KeyRing(tmp_path).create(name, (Scope.READ,))
    assert KeyRing(tmp_path).list() == ()


def test_unknown_name_is_not_revoked(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        KeyRing(tmp_path).revoke("nobody")


def test_change_by_another_process_is_seen_within_a_second(tmp_path: Path) -> None:
    ticks = Ticks()
    serving, other = KeyRing(tmp_path, monotonic=ticks), KeyRing(tmp_path)
    assert serving.verify("anything") is None
    key = other.create("desk", (Scope.READ,))
    ticks.now += 1.0
    assert serving.verify(key) is not None
    other.revoke("desk")
    assert serving.verify(key) is not None  # looked at less than a second ago
    ticks.now += 1.0
    assert serving.verify(key) is None


def test_keys_created_at_once_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda n: KeyRing(tmp_path).create(f"k{n}", (Scope.READ,)), range(16)))
    assert all(KeyRing(tmp_path).verify(key) for key in created)


def test_unknown_scope_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="owner"):
        scopes_from(["owner"])


async def test_revoked_key_opens_nothing(anyone: httpx.AsyncClient, app: FastAPI, keys: dict[str, str]) -> None:
    app.state.parts.keys.revoke("read")
    assert (await anyone.get("/api/v1/models", headers={"X-API-Key": keys["read"]})).status_code == 401
