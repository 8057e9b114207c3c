"""Logs as fixed messages plus fields, and the request id that runs through them."""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

from deployments.common.errors import CandlecastError

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the HTTP request being served, as the gateway sets it; elsewhere ask `current_request_id`."""


class ServedCall(Protocol):
    """A call that arrived by handle; `route` is empty where no HTTP request is behind it."""

    @property
    def request_id(self) -> str: ...
    @property
    def route(self) -> str: ...


_served: list[Callable[[], ServedCall]] = []


def follow_calls(served: Callable[[], ServedCall]) -> None:
    """Take request ids from the calls that `served` describes; a replica's shell says this once, at its start."""
    _served[:] = [served]


def current_request_id() -> str:
    """Return the id of the HTTP request that this task works for, empty where it works for none."""
    known = request_id.get()
    if known or not _served:
        return known
    call = _served[0]()
    return call.request_id if call.route else ""


class _Refusals(logging.Filter):
    """Hold back records of an error that says the request was wrong; its caller handles it and tells of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, CandlecastError) and error.status < 500)


_REFUSALS = _Refusals()


def pass_over_refusals() -> None:
    """Keep Serve from logging refused calls as failures with a traceback; a replica's shell says this at its start.

    It logs whatever a call raises, so that an unknown symbol looks like a bug of ours.
    """
    logging.getLogger("ray.serve").addFilter(_REFUSALS)


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
        if identity := current_request_id():
            fields = {**fields, "request_id": identity}
        text = " ".join([message, *(f"{name}={value}" for name, value in fields.items())])
        # Serve's JSON formatter lists what `extra` holds, so fields stay searchable there as fields.
        self._logger.log(level, text, exc_info=exc_info, extra={f"cc_{name}": value for name, value in fields.items()})


def logger(name: str) -> Logger:
    """Return the logger of a module; Serve's handlers pick up the `ray.serve` tree."""
    return Logger(f"ray.serve.candlecast.{name.removeprefix('deployments.')}")
