"""Generations: the same for the same answer, another for any other."""

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.common.errors import NoCandles
from deployments.market_data.models import CandleQuery, Candles, Gap, Interval, Source, SymbolDraft
from deployments.market_data.reading.generation import generation_of
from tests.fakes.market_data import candle_table, walk_table
from tests.fakes.market_desk import Desk

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def answer(table: pa.Table | None = None) -> Candles:
    table = candle_table(START, [1.0, 2.0, 3.0]) if table is None else table
    return Candles("BTCUSD", Interval.H1, table, Source.DATABASE, START, False, (Gap(START, START, 1),))


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "ETHUSD"},
        {"interval": Interval.H4},
        {"source": Source.EASYINSIGHT},
        {"data_as_of": START + timedelta(microseconds=1)},
        {"data_as_of": None},
        {"stale": True},
        {"gaps": ()},
        {"gaps": (Gap(START, START + HOUR, 1),)},
        {"forming": True},
        {"incomplete": (START,)},
        {"table": candle_table(START, [1.0, 2.0, 3.0], volume=11.0)},
        {"table": candle_table(START + HOUR, [1.0, 2.0, 3.0])},
        {"table": candle_table(START, [1.0, 2.0])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_differs_gives_another_generation(change: dict[str, Any]) -> None:
    assert generation_of(replace(answer(), **change)) != generation_of(answer())


@given(st.lists(st.integers(0, 50), max_size=4))
def test_chunks_and_processes_change_nothing(cuts: list[int]) -> None:
    table = walk_table(START, 50)
    places = [0, *sorted(cuts), 50]
    parts = [table.slice(start, end - start) for start, end in pairwise(places)]
    chunked = answer(pa.concat_tables(parts))
    expected = generation_of(answer(table))
    assert generation_of(chunked) == expected
    assert generation_of(pickle.loads(pickle.dumps(chunked))) == expected  # noqa: S301  (our own)


def test_whose_utc_an_instant_has_changes_nothing() -> None:
    same = START.astimezone(ZoneInfo("UTC"))
    assert generation_of(replace(answer(), data_as_of=same)) == generation_of(answer())


async def test_service_sends_candles_only_where_they_changed(desk: Desk) -> None:
    await desk.service.create_symbol(SymbolDraft("BTCUSD"))
    end = desk.now.replace(minute=0) - HOUR
    rows = walk_table(end - 9 * HOUR, 10)
    await desk.service.ingest(Interval.H1, rows.add_column(0, "symbol", pa.array(["BTCUSD"] * 10)))
    query = CandleQuery("BTCUSD", limit=5)
    first = await desk.service.changed_candles(query, "")
    assert first is not None
    assert first.table.num_rows == 5
    generation = generation_of(first)
    assert [await desk.service.changed_candles(query, generation) for _ in range(3)] == [None] * 3
    changed = candle_table(end, [1_000.0]).add_column(0, "symbol", pa.array(["BTCUSD"]))
    await desk.service.ingest(Interval.H1, changed)
    second = await desk.service.changed_candles(query, generation)
    assert second is not None
    assert second.table["close"][-1].as_py() == 1_000.0


async def test_confirmation_fails_as_the_read_itself(desk: Desk) -> None:
    await desk.service.create_symbol(SymbolDraft("BTCUSD"))
    with pytest.raises(NoCandles):
        await desk.service.changed_candles(CandleQuery("BTCUSD"), "")
