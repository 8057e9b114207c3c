"""Where the registry's files lie: a local folder, or an object store that fsspec knows. The only file with fsspec.

Paths are relative to the root, with slashes. A file is replaced whole or not at all: locally by a rename, on an object
store because one `put` is one object.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from deployments.common.disk import locked
from deployments.common.errors import Unavailable
from deployments.forecasting.records import write_atomically

RETRY_AFTER_S = 5.0


class Storage(Protocol):
    """Files below one root. A file that is not there raises `FileNotFoundError`.

    Other trouble is an `OSError` of a local disk, `Unavailable` where an object store cannot be reached.
    """

    @property
    def root(self) -> str: ...

    def read(self, path: str) -> bytes: ...

    def write(self, path: str, data: bytes) -> None: ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of everything in a folder, sorted; nothing for a folder that is not there."""
        ...

    def files(self, folder: str) -> tuple[str, ...]:
        """Return the names of the plain files in a folder, sorted."""
        ...

    def remove(self, folder: str) -> None:
        """Delete a folder with all that is in it; one that is not there is left alone."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Hold the right to change what is there: of this machine's processes one at a time."""
        ...


def storage_at(location: Path | str) -> Storage:
    """Return the storage at a path or a URI such as `s3://bucket/models`; `file://` is a local folder too."""
    text = str(location)
    if "://" not in text:
        return LocalStorage(Path(text))
    if text.startswith("file://"):
        return LocalStorage(Path(text.removeprefix("file://")))
    return ObjectStorage(text)


class LocalStorage:
    """Files in a local folder, which is created at the first write."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> str:
        return str(self._root)

    def read(self, path: str) -> bytes:
        return (self._root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        write_atomically(self._root / path, data)

    def names(self, folder: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(self._root / folder)))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def files(self, folder: str) -> tuple[str, ...]:
        # A link may lead anywhere, so it is no file of ours.
        found = os.scandir(self._root / folder) if (self._root / folder).is_dir() else ()
        return tuple(sorted(entry.name for entry in found if entry.is_file(follow_symlinks=False)))

    def remove(self, folder: str) -> None:
        path = self._root / folder
        if not path.exists():
            return
        # Out of sight first: nobody may find half of it, a kill in between included.
        with tempfile.TemporaryDirectory(prefix=".gone-", dir=path.parent, ignore_cleanup_errors=True) as gone:
            path.rename(Path(gone) / path.name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with locked(self._root / ".lock"):
            yield


class ObjectStorage:
    """Objects under a URI, by whatever file system fsspec has installed for it (`s3fs` for `s3://`, and so on)."""

    def __init__(self, uri: str) -> None:
        # Imported here: a local registry, the usual case, needs no fsspec.
        import fsspec

        self._uri = uri.rstrip("/")
        # No listings cache: another process publishes into the same folder.
        self._files, root = fsspec.core.url_to_fs(self._uri, use_listings_cache=False)
        self._root = root.rstrip("/")

    @property
    def root(self) -> str:
        return self._uri

    def read(self, path: str) -> bytes:
        with _reached():
            return bytes(self._files.cat_file(f"{self._root}/{path}"))

    def write(self, path: str, data: bytes) -> None:
        with _reached():
            self._files.pipe_file(f"{self._root}/{path}", data)

    def names(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(_name(entry) for entry in self._entries(folder)))

    def files(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(_name(entry) for entry in self._entries(folder) if entry["type"] == "file"))

    def remove(self, folder: str) -> None:
        if self._entries(folder):
            with _reached():
                self._files.rm(f"{self._root}/{folder}", recursive=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        # Object stores have no lock. Across machines the last `put` of the pointer wins and the history keeps both.
        digest = hashlib.sha256(self._uri.encode()).hexdigest()[:16]
        with locked(Path(tempfile.gettempdir()) / f"candlecast-registry-{os.getuid()}-{digest}.lock"):
            yield

    def _entries(self, folder: str) -> list[dict[str, Any]]:
        try:
            with _reached():
                found: list[dict[str, Any]] = self._files.ls(f"{self._root}/{folder}".rstrip("/"), detail=True)
        except FileNotFoundError:
            return []
        return found


@contextmanager
def _reached() -> Iterator[None]:
    """Tell whatever an object store's own library raises as what it means; a missing object stays one."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        detail = f"the model registry cannot be reached: {type(error).__name__}"
        raise Unavailable(detail, RETRY_AFTER_S) from error


def _name(entry: dict[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]
