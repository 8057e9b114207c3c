"""One contract for every place that a registry may lie in."""

import threading
from pathlib import Path

import fsspec
import pytest

from deployments.common.errors import Unavailable
from deployments.forecasting.registry.storage import LocalStorage, ObjectStorage, Storage, storage_at
from tests.fakes.away_files import AwayFiles


@pytest.fixture(params=["folder", "file", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    places = {"folder": str(tmp_path / "a"), "file": f"file://{tmp_path}/b", "memory": f"memory://{tmp_path.name}/c"}
    return storage_at(places[request.param])


def test_uri_decides_the_kind(tmp_path: Path) -> None:
    assert isinstance(storage_at(tmp_path), LocalStorage)
    assert storage_at(f"file://{tmp_path}").root == str(tmp_path)
    assert isinstance(storage_at("memory://somewhere"), ObjectStorage)


def test_written_file_is_read_back_and_replaced_whole(storage: Storage) -> None:
    storage.write("x/y.json", b"a long first content")
    storage.write("x/y.json", b"second")
    assert storage.read("x/y.json") == b"second"


def test_file_that_is_not_there_is_not_found(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read("nothing")


def test_names_are_those_of_one_folder(storage: Storage) -> None:
    for path in ("b/file", "b/deeper/file", "a/file"):
        storage.write(path, b"")
    assert storage.names("") == ("a", "b")
    assert storage.names("b") == ("deeper", "file")
    assert storage.files("b") == ("file",)
    assert storage.names("c") == storage.files("c") == ()


def test_removed_folder_is_gone_and_its_neighbour_is_not(storage: Storage) -> None:
    for path in ("b/file", "b/deeper/file", "a/file"):
        storage.write(path, b"")
    storage.remove("b")
    storage.remove("never")
    assert storage.names("") == ("a",)


def test_lock_lets_one_in_at_a_time(storage: Storage) -> None:
    inside, most = 0, 0

    def enter() -> None:
        nonlocal inside, most
        for _ in range(50):
            with storage.locked():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=enter, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert most == 1


def test_link_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    assert LocalStorage(tmp_path).files("") == ()
    assert LocalStorage(tmp_path).names("") == ("link",)


def test_object_store_that_is_away_is_a_typed_problem() -> None:
    fsspec.register_implementation("away", AwayFiles, clobber=True)
    storage = storage_at("away://bucket/models")
    for use in (
        lambda: storage.read("x"),
        lambda: storage.names("x"),
        lambda: storage.files("x"),
        lambda: storage.write("x", b""),
    ):
        with pytest.raises(Unavailable):
            use()
