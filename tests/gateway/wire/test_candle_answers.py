"""Candles as answers that may be kept: what is asked of market data, and what is made of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from deployments.gateway.wire.candle_answers import THREAD_ROWS, CandleSource, WantedCandles
from deployments.gateway.wire.candle_formats import JSON_TYPE, Layout
from deployments.gateway.wire.kept_answers import Lasting
from deployments.market_data.models import CandleQuery, Candles, Interval, Source
from deployments.market_data.reading.generation import generation_of
from tests.fakes.gateway import FakeMarket
from tests.fakes.market_data import candle_table, walk_table

START = datetime(2024, 1, 1, tzinfo=UTC)
WANTED = WantedCandles(CandleQuery("BTCUSD", limit=2), Layout.ROWS, JSON_TYPE)


def candles_of(close: float) -> Candles:
    table = candle_table(START, [1.0, close])
    return Candles("BTCUSD", Interval.H1, table, Source.DATABASE, START, False)


async def test_candles_that_are_held_are_neither_sent_nor_written_again() -> None:
    market = FakeMarket()
    source = CandleSource(market)
    first = await source.changed(WANTED, "")
    assert isinstance(first, Lasting)
    assert first.answer.rows == 2
    assert await source.changed(WANTED, first.generation) is None
    market.append("BTCUSD", 123.0)
    again = await source.changed(WANTED, first.generation)
    assert isinstance(again, Lasting)
    assert (again.generation, again.answer.tag) != (first.generation, first.answer.tag)


async def test_many_rows_are_written_as_few_are() -> None:
    market = FakeMarket()
    market.held.tables["BTCUSD"] = walk_table(datetime(2023, 6, 1, tzinfo=UTC), THREAD_ROWS + 1)
    source, wanted = CandleSource(market), replace(WANTED, query=CandleQuery("BTCUSD", limit=THREAD_ROWS + 1))
    many = await source.changed(wanted, "")
    assert isinstance(many, Lasting)
    assert many.answer.rows == THREAD_ROWS + 1


def test_generation_is_that_of_the_content() -> None:
    one, same, other = candles_of(1.0), candles_of(1.0), candles_of(2.0)
    assert generation_of(one) == generation_of(same) != generation_of(other)
    later = Candles(one.symbol, one.interval, one.table, one.source, START + timedelta(microseconds=1), one.stale)
    assert generation_of(later) != generation_of(one)
