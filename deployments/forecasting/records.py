"""Our dataclasses as JSON on disk: encoded by their types, written whole or not at all."""

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def to_json(record: object) -> bytes:
    """Return a dataclass as JSON."""
    kind: Any = type(record)
    return _adapter(kind).dump_json(record)


def from_json(kind: type[T], data: bytes | str) -> T:
    """Return a dataclass from its JSON; raises `ValueError` naming what does not fit."""
    hashable: Any = kind
    record: T = _adapter(hashable).validate_json(data)
    return record


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file at `path`, so that a reader sees the old or the new content, also after a crash."""
    draft = _draft(path, data)
    try:
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def create_atomically(path: Path, data: bytes) -> bool:
    """Write the file at `path` unless there is one, and tell whether it was written; of many at once one does."""
    draft = _draft(path, data)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)
    return True


def _draft(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def sync_directory(directory: Path) -> None:
    """Make renames inside `directory` survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
