"""Many symbols in one answer."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.common.errors import CandlecastError, InvalidRequest
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, CandleQuery, Candles, Interval, Source, SymbolDraft
from deployments.market_data.reading.batch import BATCH_ROWS
from tests.fakes.market_data import walk_table
from tests.fakes.market_desk import NOW, Desk

LAST_CLOSED = NOW.replace(minute=0) - timedelta(hours=1)


async def filled(desk: Desk, symbol: str, bars: int = 48, interval: Interval = Interval.H1) -> None:
    table = walk_table(NOW.replace(minute=0) - bars * interval.delta, bars, interval, seed=len(symbol))
    rows = table.add_column(0, "symbol", pa.array([symbol] * bars)).cast(SYMBOL_CANDLE_SCHEMA)
    await desk.service.ingest(interval, rows)


async def test_cold_symbols_are_read_with_one_statement(desk: Desk) -> None:
    names = tuple(f"COIN{n}USD" for n in range(20))
    for name in names:
        await filled(desk, name)
    desk.seconds += 10.0
    await desk.service.managed_symbol(names[0])  # the list of symbols is fresh again
    before = desk.store.reads
    answers = await desk.service.candles_batch(names, CandleQuery("", limit=5))
    assert [answer.table.num_rows for answer in answers.values() if isinstance(answer, Candles)] == [5] * 20
    assert desk.store.reads == before + 1


async def answered(desk: Desk, query: CandleQuery) -> Candles | CandlecastError:
    try:
        return await desk.service.candles(query)
    except CandlecastError as error:
        return error


queries = st.builds(
    CandleQuery,
    st.just(""),
    st.sampled_from([Interval.H1, Interval.H4, Interval.M15]),
    limit=st.none() | st.integers(0, 60),
    lookback_days=st.none() | st.floats(0.1, 5),
    as_of=st.none() | st.integers(0, 60).map(lambda hours: NOW - timedelta(hours=hours)),
    include_open=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(queries)
def test_each_symbol_gets_the_answer_that_it_would_get_alone(query: CandleQuery) -> None:
    async def compare() -> None:
        together, alone = Desk(), Desk()
        names = ("BTCUSD", "btc-usd", "EURUSD", "SOLUSD", "NOSUCH", "?")
        for desk in (together, alone):
            await filled(desk, "BTCUSD")
            await filled(desk, "EURUSD", 200, Interval.M15)
            await desk.service.create_symbol(SymbolDraft("SOLUSD"))
        answers = await together.service.candles_batch(names, query)
        for name in names:
            meant = await answered(alone, replace(query, symbol=name))
            assert repr(answers[name]) == repr(meant)
            if isinstance(meant, Candles):
                assert answers[name] == meant

    asyncio.run(compare())


async def test_more_candles_together_than_an_answer_may_have_are_refused_with_the_limit(desk: Desk) -> None:
    names = tuple(f"COIN{n}USD" for n in range(11))
    for name in names:
        await filled(desk, name, 2)
    with pytest.raises(InvalidRequest, match=f"{BATCH_ROWS:,}") as caught:
        await desk.service.candles_batch(names, CandleQuery("", limit=50_000))
    assert caught.value.fields[0][0] == "symbols"
    assert len(await desk.service.candles_batch(names[:10], CandleQuery("", limit=50_000))) == 10


async def test_lost_database_leaves_each_symbol_to_the_next_source(desk: Desk) -> None:
    await filled(desk, "BTCUSD")
    await desk.service.candles(CandleQuery("BTCUSD", limit=5))
    await desk.service.create_symbol(SymbolDraft("ETHUSD"))
    await desk.service.managed_symbol("ETHUSD")
    desk.lose_database()
    desk.backup.tables["ETHUSD"] = walk_table(LAST_CLOSED - timedelta(hours=9), 10)
    answers = await desk.service.candles_batch(("BTCUSD", "ETHUSD"), CandleQuery("", limit=5))
    sources = [answer.source for answer in answers.values() if isinstance(answer, Candles)]
    assert sources == [Source.CACHE, Source.EASYINSIGHT]
