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
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


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
