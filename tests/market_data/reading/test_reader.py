"""Reads within their time, and what an aggregated answer says of itself."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deployments.common.errors import UpstreamTimeout
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import to_datetime
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, CandleQuery, Candles, Interval, Source
from tests.fakes.aggregation import is_currency_trade
from tests.fakes.market_data import walk_table
from tests.fakes.market_desk import NOW, Desk

MINUTE = timedelta(minutes=1)


async def stored(desk: Desk, symbol: str, table: pa.Table, interval: Interval = Interval.H1) -> None:
    await desk.service.ingest(interval, named(symbol, table))


def named(symbol: str, table: pa.Table) -> pa.Table:
    return table.add_column(0, "symbol", pa.array([symbol] * table.num_rows)).cast(SYMBOL_CANDLE_SCHEMA)


def hours(bars: int) -> pa.Table:
    return walk_table(NOW.replace(minute=0) - bars * timedelta(hours=1), bars)


async def never() -> None:
    await asyncio.Event().wait()


async def test_database_that_hangs_is_left_for_memory_where_memory_has_the_answer(desk: Desk) -> None:
    await stored(desk, "BTCUSD", hours(48))
    fresh = await desk.service.candles(CandleQuery("BTCUSD", limit=20))
    desk.store.on_read = never
    desk.seconds += 10.0
    async with asyncio.timeout(9.0):
        answer = await desk.service.candles(CandleQuery("BTCUSD", limit=20))
    assert (answer.source, answer.stale) == (Source.CACHE, True)
    assert answer.table.equals(fresh.table)


async def test_nothing_but_a_database_that_hangs_is_a_timeout_before_the_caller_gives_up(desk: Desk) -> None:
    await stored(desk, "BTCUSD", hours(48))
    desk.store.on_read = never
    async with asyncio.timeout(9.9):
        with pytest.raises(UpstreamTimeout):
            await desk.service.candles(CandleQuery("BTCUSD", limit=20))


async def test_bars_made_of_too_few_are_named_and_the_forming_one_is_not(desk: Desk) -> None:
    minutes = walk_table(NOW - 210 * MINUTE, 211, Interval.M1)
    hole = (minutes["time"].to_pylist()).index(NOW.replace(minute=0) - 40 * MINUTE)
    await stored(desk, "BTCUSD", pa.concat_tables([minutes.slice(0, hole), minutes.slice(hole + 1)]), Interval.M1)
    answer = await desk.service.candles(CandleQuery("BTCUSD", limit=10, include_open=True))
    assert [time.hour for time in answer.table["time"].to_pylist()] == [9, 10, 11, 12]
    assert answer.forming
    assert [time.hour for time in answer.incomplete] == [11]
    assert answer.gaps == ()


async def test_stored_bars_are_never_called_incomplete(desk: Desk) -> None:
    await stored(desk, "BTCUSD", hours(48))
    assert (await desk.service.candles(CandleQuery("BTCUSD", limit=10))).incomplete == ()


async def test_real_euro_as_of_friday_evening_goes_on_on_sunday_evening(shared_data: Path, desk: Desk) -> None:
    table = pq.read_table(shared_data / "forex_1h.parquet", filters=[("symbol", "=", "EURUSD")])
    await stored(desk, "EURUSD", table.drop_columns(["symbol"]))
    times = table["time"].to_pylist()
    weekends = [n for n in range(1, len(times)) if times[n] - times[n - 1] > timedelta(days=1)]
    assert len(weekends) > 50
    agreeing = 0
    for n in weekends:
        answer = await desk.service.candles(CandleQuery("EURUSD", limit=5, as_of=times[n - 1] + timedelta(hours=1)))
        last = answer.table["time"][-1].as_py()
        assert (last, answer.stale, answer.gaps) == (times[n - 1], False, ())
        ahead = [to_datetime(time) for time in calendar_named("forex").next_bars(Interval.H1, last, 24)]
        assert all(is_currency_trade(time) for time in ahead)
        # From the last Sunday of March to that of October the file's clock is an hour late: figures of 8:30 in New York
        # move its bar of 9:00. Only outside that span can it agree to the hour.
        real = times[n : n + 24]
        if abs(last.month - 7) > 3 and real[-1] - real[0] == timedelta(hours=23):
            assert ahead == real
            agreeing += 1
    assert agreeing > 15


async def test_real_currency_days_are_whole_but_for_holidays(shared_data: Path, desk: Desk) -> None:
    table = pq.read_table(shared_data / "forex_1h.parquet", filters=[("symbol", "=", "EURUSD")])
    await stored(desk, "EURUSD", table.drop_columns(["symbol"]))
    desk.now = table["time"][-1].as_py() + timedelta(hours=1)
    answer: Candles = await desk.service.candles(CandleQuery("EURUSD", Interval.D1, lookback_days=300))
    days = answer.table["time"].to_pylist()
    assert {day.weekday() for day in days} == {0, 1, 2, 3, 4}
    assert len(answer.incomplete) <= 4


async def test_as_of_tomorrow_does_not_call_the_forming_bar_closed(desk: Desk) -> None:
    await desk.store.upsert(Interval.H1, named("BTCUSD", walk_table(NOW.replace(minute=0) - timedelta(hours=9), 10)))
    tomorrow = NOW + timedelta(days=1)
    answer = await desk.service.candles(CandleQuery("BTCUSD", limit=3, as_of=tomorrow))
    latest = await desk.service.latest("BTCUSD", Interval.H1, tomorrow)
    assert answer.table["time"][-1].as_py() == latest.closed.time == NOW.replace(hour=11, minute=0)
    assert answer.data_as_of == latest.data_as_of == NOW.replace(minute=0)


async def test_many_symbols_wait_once_for_a_database_that_hangs(desk: Desk) -> None:
    names = tuple(f"COIN{n}USD" for n in range(20))
    for name in names:
        await stored(desk, name, hours(48))
        desk.backup.tables[name] = hours(48)
    desk.store.on_read = never
    async with asyncio.timeout(9.0):
        answers = await desk.service.candles_batch(names, CandleQuery("", limit=5))
    assert {answer.source for answer in answers.values() if isinstance(answer, Candles)} == {Source.EASYINSIGHT}
    assert len(answers) == 20
