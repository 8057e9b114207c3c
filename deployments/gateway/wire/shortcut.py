"""Reads that were answered from memory before, past routing and validation: those cost more than the answer."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from deployments.common.errors import CandlecastError, Unavailable
from deployments.gateway.models import Caller, Scope
from deployments.gateway.wire.kept_answers import KeptAnswers
from deployments.gateway.wire.prepared import Prepared, PreparedResponse
from deployments.gateway.wire.problems import problem_response
from deployments.gateway.wire.representation import Representation

PATHS = ("/api/v1/data/", "/api/v1/forecast/")
MAX_KNOWN = 4_096
MAX_SPELLING_BYTES = 500
"""Longer requests take the long way, so that what is known of requests stays below 4 MB."""

Question = TypeVar("Question", bound=Hashable)
Spelling = tuple[str, bytes, str]
"""A request as it came: its path, its query string and what it accepts. Nothing else decides what the route does."""
Ask = Callable[[], Awaitable[Prepared]]


@dataclass(frozen=True, slots=True)
class _Known:
    ask: Ask
    route: object


async def kept_response(request: Request, answers: KeptAnswers[Question], question: Question) -> PreparedResponse:
    """Return the answer to a question for a route, and let `Shortcut` ask the same for the same request from now on."""
    answer = await answers.get(question)
    request.state.rows, request.state.ask = answer.rows, partial(answers.get, question)
    return PreparedResponse(answer)


class Shortcut:
    """Remember what the route asked for a request, and ask it without the route next time.

    Stands behind `Access`, so that keys, rates and the query log are what they are without it. A route tells by
    `kept_response` what it asked; whatever it refused is not remembered.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known: OrderedDict[Spelling, _Known] = OrderedDict()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(PATHS):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        spelling = (scope["path"], scope["query_string"], headers.get("accept", ""))
        known = self._known.get(spelling)
        if known is None or not _may_read(scope):
            await self._app(scope, receive, send)
            self._remember(spelling, scope)
            return
        self._known.move_to_end(spelling)
        scope["route"] = known.route
        try:
            answer = await _twice(known.ask)
        except CandlecastError as error:
            await Representation(problem_response(error))(scope, receive, send)
            return
        scope["state"]["rows"] = answer.rows
        await answer.send(headers, send)

    def _remember(self, spelling: Spelling, scope: AsgiScope) -> None:
        ask: Ask | None = scope["state"].get("ask")
        path, query, accept = spelling
        if ask is None or len(path) + len(query) + len(accept) > MAX_SPELLING_BYTES:
            return
        self._known[spelling] = _Known(ask, scope.get("route"))
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


async def _twice(ask: Ask) -> Prepared:
    """Ask again once where a replica died, as the route itself would."""
    try:
        return await ask()
    except Unavailable as error:
        if type(error) is not Unavailable:
            raise
        return await ask()


def _may_read(scope: AsgiScope) -> bool:
    caller: Caller | None = scope["state"].get("caller")
    return caller is not None and caller.may(Scope.READ)
