"""Errors as RFC 9457 problem documents."""

import math
import re
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from deployments.common.errors import (
    BodyTooLarge,
    CandlecastError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    Retryable,
    TooLittleHistory,
    Unauthenticated,
    UnknownRoute,
)
from deployments.common.telemetry import request_id
from deployments.gateway.wire.encoding import to_json

MEDIA_TYPE = "application/problem+json"
PAGE = "/docs/problems"

_SLASHED = re.compile(rb"/api/v1/([a-z-]+)/[^/?]*%2f", re.IGNORECASE)
_NAMED = {"models": "version", "training": "id", "analyses": "id"}
"""The parameter in the paths of these resources; all others are about a symbol."""


def problem_of(error: CandlecastError) -> dict[str, Any]:
    """Return the problem document of an error; `instance` is the id of the request being served."""
    document: dict[str, Any] = {
        "type": f"{PAGE}#{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": request_id.get(),
    }
    if isinstance(error, InvalidRequest):
        document["fields"] = [{"field": field, "problem": problem} for field, problem in error.fields]
    if isinstance(error, TooLittleHistory):
        document |= {"have": error.have, "need": error.need}
    return document


def problem_response(error: CandlecastError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that tells a client of an error."""
    extra = dict(headers or {})
    if isinstance(error, Retryable):
        extra["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, Unauthenticated):
        extra["WWW-Authenticate"] = "Bearer"
    return Response(to_json(problem_of(error)), error.status, extra, MEDIA_TYPE)


def from_validation(error: RequestValidationError) -> InvalidRequest:
    """Name each field that FastAPI refused; a body field goes by its own name."""
    fields = tuple((_field(tuple(item["loc"])), _said(item)) for item in error.errors())
    names = ", ".join(dict.fromkeys(name for name, _ in fields))
    return InvalidRequest(f"the request is malformed: {names}", fields)


def from_http(error: HTTPException) -> CandlecastError:
    """Give an error that the framework raised its place in our tree."""
    match error.status_code:
        case 404:
            return UnknownRoute("no such path; the routes are listed at /docs")
        case 405:
            return MethodNotAllowed("this path does not answer that method")
        case 413:
            return BodyTooLarge("the body is larger than 1 MB")
        case status if 400 <= status < 500:
            return InvalidRequest(str(error.detail))
        case _:
            return InternalError()


async def on_error(_: Request, error: Exception) -> Response:
    """Answer errors of ours that a route raised."""
    assert isinstance(error, CandlecastError)  # noqa: S101  (registered for this class only)
    return problem_response(error)


async def on_validation_error(_: Request, error: Exception) -> Response:
    """Answer requests that do not fit a route's types."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  (registered for this class only)
    return problem_response(from_validation(error))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses, keeping its headers, such as `Allow`."""
    assert isinstance(error, HTTPException)  # noqa: S101  (registered for this class only)
    slashed = _slashed_name(request.scope) if error.status_code == UnknownRoute.status else None
    return problem_response(slashed or from_http(error), error.headers)


def _slashed_name(scope: Scope) -> InvalidRequest | None:
    """Return what is wrong with a name that was written with an encoded slash.

    The server decodes it before it looks for a route, so that `/data/..%2fetc` finds none.
    """
    found = _SLASHED.match(scope.get("raw_path") or b"")
    if found is None:
        return None
    field = _NAMED.get(found[1].decode(), "symbol")
    problem = "may not contain a slash"
    return InvalidRequest(f"the {field} in the path {problem}", ((field, problem),))


def _field(location: tuple[int | str, ...]) -> str:
    match location:
        case ("body", int()):  # where the JSON breaks off, which is no field
            return "body"
        case ("path" | "query" | "header" | "cookie" | "body", _, *_):
            location = location[1:]
    return ".".join(map(str, location))


def _said(item: Mapping[str, Any]) -> str:
    if tuple(item["loc"]) == ("body",) and item["type"] == "model_attributes_type":
        return "must be a JSON object, sent with `Content-Type: application/json`"
    return str(item["msg"]).removeprefix("Value error, ")
