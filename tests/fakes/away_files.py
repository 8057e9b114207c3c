"""An object store that cannot be reached, as its own library tells of it."""

from typing import Any

from fsspec.implementations.memory import MemoryFileSystem


class EndpointError(Exception):
    """What object stores' libraries raise is often no `OSError`."""


class AwayFiles(MemoryFileSystem):  # type: ignore[misc] # fsspec is not typed
    """Every call fails as it does where nobody listens."""

    protocol = "away"

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        raise EndpointError("could not connect")

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> bytes:
        raise EndpointError("could not connect")

    def pipe_file(self, path: str, value: bytes, *args: Any, **kwargs: Any) -> None:
        raise EndpointError("could not connect")
