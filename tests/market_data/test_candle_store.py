"""What every candle store promises; run on the fake and on PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from deployments.market_data.instants import MICROSECOND
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.stores import CandleStore
from tests.fakes.market_data import walk_table

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=30)


def rows_of(symbol: str, bars: int = 10, seed: int = 7) -> pa.Table:
    """Return rows with `SYMBOL_CANDLE_SCHEMA`."""
    table = walk_table(START, bars, seed=seed)
    return table.add_column(0, SYMBOL_CANDLE_SCHEMA.field("symbol"), pa.array([symbol] * bars)).cast(
        SYMBOL_CANDLE_SCHEMA
    )


async def test_empty_store_answers_with_no_rows(candle_store: CandleStore) -> None:
    assert (await candle_store.window("BTCUSD", Interval.H1, None, END, 5)).num_rows == 0
    assert (await candle_store.after(Interval.H1, ["BTCUSD"], (START, ""), END, 5)).num_rows == 0
    assert not await candle_store.holds("BTCUSD")
    assert list(await candle_store.spans()) == []


async def test_rows_come_back_as_they_went_in(candle_store: CandleStore) -> None:
    rows = rows_of("BTCUSD")
    await candle_store.upsert(Interval.H1, rows)
    found = await candle_store.window("BTCUSD", Interval.H1, None, END, 100)
    assert found.equals(rows.drop_columns(["symbol"]))
    assert await candle_store.holds("BTCUSD")


async def test_window_holds_its_start_and_not_its_end(candle_store: CandleStore) -> None:
    await candle_store.upsert(Interval.H1, rows_of("BTCUSD"))
    found = await candle_store.window(
        "BTCUSD", Interval.H1, START + timedelta(hours=2), START + timedelta(hours=5), 100
    )
    assert [time.hour for time in found["time"].to_pylist()] == [2, 3, 4]


async def test_limit_keeps_the_newest_rows_ascending(candle_store: CandleStore) -> None:
    await candle_store.upsert(Interval.H1, rows_of("BTCUSD"))
    found = await candle_store.window("BTCUSD", Interval.H1, None, END, 3)
    assert [time.hour for time in found["time"].to_pylist()] == [7, 8, 9]


async def test_upsert_counts_and_repeating_it_changes_nothing(candle_store: CandleStore) -> None:
    rows = rows_of("BTCUSD")
    first = await candle_store.upsert(Interval.H1, rows.slice(0, 6))
    other = rows_of("BTCUSD", seed=8)
    second = await candle_store.upsert(Interval.H1, pa.concat_tables([rows.slice(0, 5), other.slice(5)]))
    third = await candle_store.upsert(Interval.H1, pa.concat_tables([rows.slice(0, 5), other.slice(5)]))
    assert (first.inserted, first.changed, first.unchanged) == (6, 0, 0)
    assert (second.inserted, second.changed, second.unchanged) == (4, 1, 5)
    assert (third.inserted, third.changed, third.unchanged) == (0, 0, 10)


async def test_of_two_rows_with_one_key_the_last_wins(candle_store: CandleStore) -> None:
    twice = pa.concat_tables([rows_of("BTCUSD", 1, seed=1), rows_of("BTCUSD", 1, seed=2)])
    done = await candle_store.upsert(Interval.H1, twice)
    found = await candle_store.window("BTCUSD", Interval.H1, None, END, 5)
    assert (done.inserted, done.unchanged) == (1, 1)
    assert found["close"].to_pylist() == twice["close"].to_pylist()[1:]


async def test_reading_on_from_a_key_visits_every_row_once_in_order(candle_store: CandleStore) -> None:
    names = ["BTCUSD", "BRK.B", "AAPL"]
    for name in names:
        await candle_store.upsert(Interval.H1, rows_of(name, 4))
    key, seen = (START - MICROSECOND, ""), []
    while (rows := await candle_store.after(Interval.H1, names, key, END, 5)).num_rows:
        seen += list(zip(rows["time"].to_pylist(), rows["symbol"].to_pylist(), strict=True))
        key = seen[-1]
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen) == 12


async def test_reading_on_stops_before_the_end_and_leaves_other_symbols_out(candle_store: CandleStore) -> None:
    for name in ("BTCUSD", "ETHUSD"):
        await candle_store.upsert(Interval.H1, rows_of(name, 4))
    end = START + timedelta(hours=2)
    rows = await candle_store.after(Interval.H1, ["ETHUSD"], (START, "BTCUSD"), end, 10)
    assert rows["symbol"].to_pylist() == ["ETHUSD", "ETHUSD"]
    assert [time.hour for time in rows["time"].to_pylist()] == [0, 1]


async def test_spans_tell_bars_and_ends(candle_store: CandleStore) -> None:
    await candle_store.upsert(Interval.H1, rows_of("BTCUSD", 4))
    (span,) = await candle_store.spans()
    assert (span.symbol, span.interval, span.bars) == ("BTCUSD", Interval.H1, 4)
    assert (span.first_time, span.last_time) == (START, START + timedelta(hours=3))
