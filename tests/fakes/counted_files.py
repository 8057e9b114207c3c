"""An object store in memory that counts the round trips to it."""

from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFileSystem


class CountedFiles(MemoryFileSystem):  # type: ignore[misc] # fsspec is not typed
    """Counts what asks the store, in `trips`."""

    protocol = "counted"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    trips: ClassVar[int] = 0

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        type(self).trips += 1
        return super().ls(path, detail=detail, **kwargs)

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> bytes:
        type(self).trips += 1
        return bytes(super().cat_file(path, *args, **kwargs))
