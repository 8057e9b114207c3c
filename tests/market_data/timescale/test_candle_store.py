"""What every candle store promises; run on the fake and on PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from deployments.market_data.calendars.calendar import ALWAYS_OPEN, calendar_named
from deployments.market_data.calendars.windows import Ask
from deployments.market_data.instants import MICROSECOND, to_datetime
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.stores import CandleStore
from tests.fakes.market_data import walk_table

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=30)


def rows_of(symbol: str, bars: int = 10, seed: int = 7, interval: Interval = Interval.H1) -> pa.Table:
    """Return rows with `SYMBOL_CANDLE_SCHEMA`."""
    table = walk_table(START, bars, interval, seed)
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


async def test_parts_that_overlap_and_are_written_at_once_are_each_kept_and_counted_once(
    candle_store: CandleStore,
) -> None:
    rows = pa.concat_tables([rows_of("BTCUSD", 600), rows_of("ETHUSD", 600)]).sort_by("time")
    await candle_store.upsert(Interval.H1, rows.slice(0, 2))
    parts = [rows.slice(first, 120) for first in range(0, 1_200, 100)]
    done = await asyncio.gather(*(candle_store.upsert(Interval.H1, part) for part in [*parts[::2], *parts[1::2]]))
    assert sum(one.inserted for one in done) == 1_198
    assert not any(one.changed for one in done)
    for symbol in ("BTCUSD", "ETHUSD"):
        found = await candle_store.window(symbol, Interval.H1, None, END, 1_000)
        assert found.equals(rows_of(symbol, 600).drop_columns(["symbol"]))


async def test_dry_run_counts_as_the_upsert_will_and_writes_nothing(candle_store: CandleStore) -> None:
    rows, other = rows_of("BTCUSD"), rows_of("BTCUSD", seed=8)
    for table in (rows.slice(0, 6), pa.concat_tables([rows.slice(0, 5), other.slice(5)])):
        before = await candle_store.window("BTCUSD", Interval.H1, None, END, 20)
        dry = await candle_store.upsert(Interval.H1, table, dry_run=True)
        assert (await candle_store.window("BTCUSD", Interval.H1, None, END, 20)).equals(before)
        assert await candle_store.upsert(Interval.H1, table) == dry


async def test_older_rows_and_holes_are_filled_in(candle_store: CandleStore) -> None:
    rows = rows_of("BTCUSD")
    for table in (rows.slice(5, 2), rows.slice(0, 3), rows.slice(3)):
        await candle_store.upsert(Interval.H1, table)
    assert (await candle_store.window("BTCUSD", Interval.H1, None, END, 20)).num_rows == 10


async def test_own_table_tells_its_ends_and_openings_and_not_what_finer_bars_add_up_to(
    candle_store: CandleStore,
) -> None:
    await candle_store.upsert(Interval.M30, rows_of("BTCUSD", 4).slice(0, 2))
    assert await candle_store.ends("BTCUSD", Interval.H1, END) is None
    assert len(await candle_store.times("BTCUSD", Interval.H1, END)) == 0
    await candle_store.upsert(Interval.H1, rows_of("BTCUSD", 10).slice(2))
    hour = Interval.H1.delta
    until = START + 6 * hour
    assert await candle_store.ends("BTCUSD", Interval.H1, until) == (START + 2 * hour, until)
    assert await candle_store.ends("BTCUSD", Interval.H1, START) is None
    assert await candle_store.ends("ETHUSD", Interval.H1, until) is None
    times = await candle_store.times("BTCUSD", Interval.H1, until)
    assert [to_datetime(time) for time in times] == [START + n * hour for n in range(2, 7)]


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


async def test_stored_bars_are_complete_and_aggregated_ones_say_what_they_lack(candle_store: CandleStore) -> None:
    minutes = rows_of("BTCUSD", 180, interval=Interval.M1)
    await candle_store.upsert(Interval.M1, minutes.filter(pc.field("time") != START + timedelta(minutes=70)))
    ask = Ask("BTCUSD", ALWAYS_OPEN, None, END, 1_000)
    (stored,), (made,) = (
        await candle_store.windows(Interval.M1, [ask]),
        await candle_store.windows(Interval.H1, [ask]),
    )
    assert not any(stored["incomplete"].to_pylist())
    assert made["incomplete"].to_pylist() == [False, True, False]
    assert made["volume"].to_pylist() == [600.0, 590.0, 600.0]


async def test_many_symbols_at_once_get_what_each_gets_alone(candle_store: CandleStore) -> None:
    await candle_store.upsert(Interval.H1, rows_of("BTCUSD", 50))
    await candle_store.upsert(Interval.M15, rows_of("ETHUSD", 90, interval=Interval.M15))
    await candle_store.upsert(Interval.M15, rows_of("EURUSD", 300, interval=Interval.M15))
    asks = [
        Ask("EURUSD", calendar_named("forex"), START, END, 20),
        Ask("NOSUCH", ALWAYS_OPEN, None, END, 5),
        Ask("ETHUSD", ALWAYS_OPEN, None, END, 7),
        Ask("BTCUSD", ALWAYS_OPEN, START + timedelta(hours=3), START + timedelta(hours=9), 100),
        Ask("ETHUSD", ALWAYS_OPEN, START + timedelta(hours=3), END, 3),
    ]
    together = await candle_store.windows(Interval.H1, asks)
    for ask, found in zip(asks, together, strict=True):
        (alone,) = await candle_store.windows(Interval.H1, [ask])
        assert found.equals(alone)
    assert [found.num_rows for found in together] == [20, 0, 7, 6, 3]


async def test_pages_of_stored_and_aggregated_symbols_with_their_calendars_come_in_one_order(
    candle_store: CandleStore,
) -> None:
    await candle_store.upsert(Interval.H1, rows_of("BTCUSD", 60))
    await candle_store.upsert(Interval.M30, rows_of("ETHUSD", 100, interval=Interval.M30))
    await candle_store.upsert(Interval.M30, rows_of("EURUSD", 100, interval=Interval.M30))
    names, calendars = ["EURUSD", "ETHUSD", "BTCUSD"], {"EURUSD": calendar_named("forex")}
    key = (START - timedelta(days=900), "")
    whole = await candle_store.after(Interval.H1, names, key, END, 1_000, calendars)
    assert {name: whole["symbol"].to_pylist().count(name) for name in names} == {
        "EURUSD": 29,  # 1 March 2026 is a Sunday: what lies before its evening is not trade
        "ETHUSD": 50,
        "BTCUSD": 60,
    }
    pages = []
    while (page := await candle_store.after(Interval.H1, names, key, END, 7, calendars)).num_rows:
        pages.append(page)
        key = (page["time"][-1].as_py(), page["symbol"][-1].as_py())
    assert pa.concat_tables(pages).combine_chunks().equals(whole)


async def test_a_few_bars_of_its_own_do_not_hide_the_years_of_a_finer_table(candle_store: CandleStore) -> None:
    minutes, quarters = (rows_of("BTCUSD", 8 * 24 * 4, interval=interval) for interval in (Interval.M5, Interval.M15))
    hours = rows_of("BTCUSD", 8 * 24, seed=9)
    await candle_store.upsert(Interval.M15, quarters)
    await candle_store.upsert(Interval.M5, minutes.slice(2 * 24 * 12 + 5, 24 * 12))  # from 48:25 to 72:25
    await candle_store.upsert(Interval.H1, hours.slice(60, 6))
    whole = await candle_store.window("BTCUSD", Interval.H1, None, END, 1_000)
    times = [START + hour * Interval.H1.delta for hour in range(66)]
    assert whole["time"].to_pylist() == times
    closes = whole["close"].to_pylist()
    assert closes[60:] == hours["close"].to_pylist()[60:66]
    assert closes[49:60] == minutes["close"].to_pylist()[49 * 12 + 11 : 60 * 12 : 12]
    assert closes[:48] == quarters["close"].to_pylist()[3 : 48 * 4 : 4]
    for start, end, limit in ((None, END, 10), (times[50], times[63], 100), (times[3], times[40], 20), (None, END, 1)):
        part = await candle_store.window("BTCUSD", Interval.H1, start, end, limit)
        asked = [n for n, time in enumerate(times) if (start or START) <= time < end][-limit:]
        assert part.equals(whole.slice(asked[0], len(asked)))
    await candle_store.upsert(Interval.H1, hours.slice(0, 3))
    assert (await candle_store.window("BTCUSD", Interval.H1, None, END, 1_000)).num_rows == 9


async def test_pages_go_through_the_finer_table_and_on_in_the_own_one(candle_store: CandleStore) -> None:
    for name, own in (("BTCUSD", 30), ("ETHUSD", 50)):
        await candle_store.upsert(Interval.M15, rows_of(name, 40 * 4, interval=Interval.M15))
        await candle_store.upsert(Interval.H1, rows_of(name, 60, seed=9).slice(own))
    await candle_store.upsert(Interval.H1, rows_of("LTCUSD", 60))
    names, key = ["LTCUSD", "ETHUSD", "BTCUSD"], (START - MICROSECOND, "")
    whole = await candle_store.after(Interval.H1, names, key, END, 1_000)
    assert {name: whole["symbol"].to_pylist().count(name) for name in names} == {
        "LTCUSD": 60,
        "ETHUSD": 40 + 10,
        "BTCUSD": 60,
    }
    pages = []
    while (page := await candle_store.after(Interval.H1, names, key, END, 7)).num_rows:
        pages.append(page)
        key = (page["time"][-1].as_py(), page["symbol"][-1].as_py())
    assert pa.concat_tables(pages).combine_chunks().equals(whole)
