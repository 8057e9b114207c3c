"""Candles as answers that may be kept: which there are, how they are asked for, and what is sent."""

import asyncio
from dataclasses import dataclass

from deployments.gateway.services import MarketDataApi
from deployments.gateway.wire.candle_formats import (
    ARROW_TYPE,
    CSV_TYPE,
    JSON_TYPE,
    Layout,
    candles_arrow,
    candles_csv,
    candles_json,
    provenance,
)
from deployments.gateway.wire.kept_answers import Lasting
from deployments.gateway.wire.prepared import Prepared
from deployments.market_data.models import CandleQuery, Candles
from deployments.market_data.reading.generation import generation_of

THREAD_ROWS = 5_000
"""More rows than this take over two milliseconds to write and leave the event loop."""


@dataclass(frozen=True, slots=True)
class WantedCandles:
    """What tells one answer from another."""

    query: CandleQuery
    layout: Layout
    media_type: str


class CandleSource:
    """Ask market data for candles by generation, and write them."""

    def __init__(self, market_data: MarketDataApi) -> None:
        self._market_data = market_data

    async def changed(self, wanted: WantedCandles, generation: str) -> Lasting | None:
        """Return the candles ready for the wire, or None where they are those of `generation`."""
        found = await self._market_data.changed_candles(wanted.query, generation)
        return None if found is None else Lasting(await _encoded(found, wanted), generation_of(found))


async def _encoded(found: Candles, wanted: WantedCandles) -> Prepared:
    if found.table.num_rows > THREAD_ROWS:
        return await asyncio.to_thread(prepared_candles, found, wanted.layout, wanted.media_type)
    return prepared_candles(found, wanted.layout, wanted.media_type)


def prepared_candles(found: Candles, layout: Layout, media_type: str) -> Prepared:
    """Return candles ready for the wire, in one of the three media types."""
    headers = {"Vary": "Accept"}
    rows = found.table.num_rows
    if media_type == ARROW_TYPE:
        return Prepared(candles_arrow(found), ARROW_TYPE, headers | provenance(found), rows)
    if media_type == CSV_TYPE:
        return Prepared(candles_csv(found), CSV_TYPE, headers | provenance(found), rows)
    return Prepared(candles_json(found, layout), JSON_TYPE, headers, rows)
