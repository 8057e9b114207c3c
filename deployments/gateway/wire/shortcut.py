"""Reads of candles that were answered before, past routing and validation: those cost more than the answer."""

from collections import OrderedDict
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from deployments.common.errors import CandlecastError, Unavailable
from deployments.gateway.models import Caller, Scope
from deployments.gateway.wire.candle_answers import CandleAnswers, WantedCandles
from deployments.gateway.wire.prepared import Prepared
from deployments.gateway.wire.problems import problem_response
from deployments.gateway.wire.representation import Representation

PATHS = "/api/v1/data/"
MAX_KNOWN = 4_096
MAX_SPELLING_BYTES = 500
"""Longer requests take the long way, so that what is known of requests stays below 4 MB."""

Spelling = tuple[str, bytes, str]
"""A request as it came: its path, its query string and what it accepts. Nothing else decides what the route does."""


@dataclass(frozen=True, slots=True)
class _Known:
    wanted: WantedCandles
    route: object


class Shortcut:
    """Remember what the route made of a request, and answer the same request from `answers` next time.

    Stands behind `Access`, so that keys, rates and the query log are what they are without it. A route tells by
    `request.state.wanted` that its answer came from `answers`; whatever it refused is not remembered.
    """

    def __init__(self, app: ASGIApp, answers: CandleAnswers) -> None:
        self._app = app
        self._answers = answers
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
            answer = await self._twice(known.wanted)
        except CandlecastError as error:
            await Representation(problem_response(error))(scope, receive, send)
            return
        scope["state"]["rows"] = answer.rows
        await answer.send(headers, send)

    async def _twice(self, wanted: WantedCandles) -> Prepared:
        """Ask again once where a replica died, as the route itself would."""
        try:
            return await self._answers.get(wanted)
        except Unavailable as error:
            if type(error) is not Unavailable:
                raise
            return await self._answers.get(wanted)

    def _remember(self, spelling: Spelling, scope: AsgiScope) -> None:
        wanted = scope["state"].get("wanted")
        path, query, accept = spelling
        if wanted is None or len(path) + len(query) + len(accept) > MAX_SPELLING_BYTES:
            return
        self._known[spelling] = _Known(wanted, scope.get("route"))
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def _may_read(scope: AsgiScope) -> bool:
    caller: Caller | None = scope["state"].get("caller")
    return caller is not None and caller.may(Scope.READ)
