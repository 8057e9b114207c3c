"""Discovered and managed symbols."""

import asyncio
import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response

from deployments.common.errors import CandlecastError, InvalidRequest, PreconditionFailed
from deployments.forecasting.models import ModelRef
from deployments.gateway.bodies import SymbolBody
from deployments.gateway.models import Scope
from deployments.gateway.parameters import SymbolPath
from deployments.gateway.parts import ServicesGiven
from deployments.gateway.routes.routing import BASE, router
from deployments.gateway.services import Services
from deployments.gateway.wire.answers import (
    ManagedSymbolAnswer,
    SymbolPageAnswer,
    SymbolsAnswer,
    fields_of,
    json_answer,
)
from deployments.gateway.wire.encoding import to_json
from deployments.market_data.models import (
    Category,
    LatestCandle,
    ManagedSymbol,
    SymbolFilter,
    SymbolStatus,
)

read = router("symbols", Scope.READ)
operate = router("symbols", Scope.OPERATE)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TAG = re.compile(r'"([0-9]{1,16})(?:\.[0-9a-f]*)?"')


@read.get("/symbols", response_model=SymbolsAnswer)
async def symbols(services: ServicesGiven) -> Response:
    """Return the symbols that EasyInsight and the database know."""
    return json_answer({"symbols": await services.market_data.discovered_symbols()})


@read.get("/managed-symbols", response_model=SymbolPageAnswer)
async def managed_symbols(
    services: ServicesGiven,
    category: Category | None = None,
    status: SymbolStatus | None = None,
    q: Annotated[str, Query(max_length=40)] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Return a page of managed symbols; `next_cursor` asks for the following one."""
    wanted = SymbolFilter(category, status, q, limit, cursor)
    return json_answer(await services.market_data.managed_symbols(wanted))


@operate.post("/managed-symbols", status_code=201, response_model=ManagedSymbol)
async def create_symbol(body: SymbolBody, services: ServicesGiven) -> Response:
    """Add a managed symbol."""
    created = await services.market_data.create_symbol(body.draft())
    headers = {"Location": f"{BASE}/managed-symbols/{created.symbol}", "ETag": tag_of(created)}
    return json_answer(created, 201, headers)


@read.get("/managed-symbols/{symbol}", response_model=ManagedSymbolAnswer)
async def managed_symbol(symbol: SymbolPath, services: ServicesGiven) -> Response:
    """Return a managed symbol with its latest price and how fresh its data and its model are."""
    managed = await services.market_data.managed_symbol(symbol)
    latest, model = await asyncio.gather(_latest(services, managed), _model(services, managed))
    body = {
        **fields_of(managed),
        "latest": latest,
        "last_price": latest and (latest.forming or latest.closed).close,
        "change_24h_percent": latest and latest.change_24h_percent,
        "data_as_of": latest and latest.data_as_of,
        "stale": latest and latest.stale,
        "model": model,
    }
    return json_answer(body, headers={"ETag": tag_of(managed, to_json(body))})


@operate.put("/managed-symbols/{symbol}", response_model=ManagedSymbol)
async def update_symbol(
    symbol: SymbolPath,
    body: SymbolBody,
    services: ServicesGiven,
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Replace what is known of a managed symbol; with `If-Match` only if nobody changed it since."""
    if body.symbol != symbol:
        problem = f"must be {symbol}, as the path says; a symbol is not renamed"
        raise InvalidRequest(problem, (("symbol", problem),))
    updated = await services.market_data.update_symbol(body.draft(), seen_time(if_match))
    return json_answer(updated, headers={"ETag": tag_of(updated)})


@operate.delete("/managed-symbols/{symbol}", status_code=204)
async def delete_symbol(
    symbol: SymbolPath, services: ServicesGiven, if_match: Annotated[str | None, Header()] = None
) -> Response:
    """Stop managing a symbol, with `If-Match` only if nobody changed it since; its candles stay."""
    await services.market_data.delete_symbol(symbol, seen_time(if_match))
    return Response(status_code=204)


def tag_of(managed: ManagedSymbol, body: bytes = b"") -> str:
    """Return the entity tag of a managed symbol: when it changed, and what the answer says beside it.

    `If-Match` compares only the first part: a price that moved must not fail an update.
    """
    version = (managed.updated_at - EPOCH) // timedelta(microseconds=1)
    return f'"{version}.{hashlib.blake2b(body, digest_size=8).hexdigest()}"'


def seen_time(if_match: str | None) -> datetime | None:
    """Return the time of change that an `If-Match` header names, or None for any."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = TAG.fullmatch(if_match.strip())
    if found is None:
        raise PreconditionFailed("`If-Match` is no tag of this symbol; read it again")
    return EPOCH + timedelta(microseconds=int(found[1]))


async def _latest(services: Services, managed: ManagedSymbol) -> LatestCandle | None:
    try:
        return await services.market_data.latest(managed.symbol, managed.interval)
    except CandlecastError:  # no candles yet, which an answer about the symbol may well say
        return None


async def _model(services: Services, managed: ManagedSymbol) -> ModelRef | None:
    try:
        models = await services.forecaster.models()
    except CandlecastError:
        return None
    prefix = f"{managed.interval}-h"
    champions = {version for name, version in models.champions.items() if name.startswith(prefix)}
    cards = [card for card in models.models if card.version in champions and card.interval == managed.interval]
    newest = max(cards, key=lambda card: card.trained_at, default=None)
    return None if newest is None else ModelRef("nhits", newest.version, newest.trained_at)
