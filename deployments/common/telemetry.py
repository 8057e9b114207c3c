"""Logs as fixed messages plus fields, and the request id that runs through them."""

import logging
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request being served, set by the gateway and by shells for calls that arrive by handle."""


class Logger:
    """Write a fixed message with fields, one line each; the request id joins by itself."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, message: str, **fields: object) -> None:
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: object) -> None:
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, exc_info: BaseException | None = None, **fields: object) -> None:
        self._write(logging.ERROR, message, fields, exc_info)

    def _write(
        self, level: int, message: str, fields: dict[str, object], exc_info: BaseException | None = None
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        if request_id.get():
            fields = {**fields, "request_id": request_id.get()}
        text = " ".join([message, *(f"{name}={value}" for name, value in fields.items())])
        # Serve's JSON formatter lists what `extra` holds, so fields stay searchable there as fields.
        self._logger.log(level, text, exc_info=exc_info, extra={f"cc_{name}": value for name, value in fields.items()})


def logger(name: str) -> Logger:
    """Return the logger of a module; Serve's handlers pick up the `ray.serve` tree."""
    return Logger(f"ray.serve.candlecast.{name.removeprefix('deployments.')}")
