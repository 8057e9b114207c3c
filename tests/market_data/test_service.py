"""Market data as its callers see it, over memory."""

import math
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from deployments.common.errors import (
    DatabaseUnavailable,
    InvalidRequest,
    NoCandles,
    SymbolExists,
    UnknownSymbol,
)
from deployments.market_data.models import (
    SYMBOL_CANDLE_SCHEMA,
    CandleQuery,
    Candles,
    Category,
    DiscoveredSymbol,
    Interval,
    QueryLogEntry,
    Source,
    SymbolDraft,
    SymbolFilter,
)
from tests.fakes.market_data import walk_table
from tests.fakes.market_desk import NOW, Desk

LAST_CLOSED = NOW.replace(minute=0) - timedelta(hours=1)
HOUR = timedelta(hours=1)


def named(symbol: str, table: pa.Table) -> pa.Table:
    return table.add_column(0, "symbol", pa.array([symbol] * table.num_rows)).cast(SYMBOL_CANDLE_SCHEMA)


def history(bars: int = 48, newest_hours_ago: int = 0) -> pa.Table:
    """Return hourly bars, the newest of which closed at noon less `newest_hours_ago`."""
    return walk_table(LAST_CLOSED - (bars - 1 + newest_hours_ago) * HOUR, bars)


async def filled(desk: Desk, table: pa.Table | None = None, symbol: str = "BTCUSD") -> pa.Table:
    table = history() if table is None else table
    await desk.service.ingest(Interval.H1, named(symbol, table))
    return table


async def with_forming_bar(desk: Desk, bars: int) -> pa.Table:
    """Store closed bars, and a forming one as the desk's own writers do."""
    table = walk_table(LAST_CLOSED - (bars - 1) * HOUR, bars + 1)
    await filled(desk, table.slice(0, bars))
    await desk.store.upsert(Interval.H1, named("BTCUSD", table.slice(bars)))
    return table


async def test_newest_candles_are_closed_fresh_and_from_the_database(desk: Desk) -> None:
    table = await filled(desk)
    answer = await desk.service.candles(CandleQuery("btc/usd", limit=5))
    assert answer.table.equals(table.slice(43))
    assert (answer.symbol, answer.source, answer.stale) == ("BTCUSD", Source.DATABASE, False)
    assert (answer.data_as_of, answer.gaps, answer.forming) == (LAST_CLOSED + HOUR, (), False)


async def test_forming_bar_comes_last_and_only_when_asked_for(desk: Desk) -> None:
    table = await with_forming_bar(desk, 10)
    closed = await desk.service.candles(CandleQuery("BTCUSD", limit=3))
    opened = await desk.service.candles(CandleQuery("BTCUSD", limit=3, include_open=True))
    assert closed.table.equals(table.slice(7, 3))
    assert opened.forming
    assert opened.table.equals(table.slice(7))
    assert opened.data_as_of == LAST_CLOSED + HOUR


async def test_as_of_hides_what_was_not_closed_then(desk: Desk) -> None:
    await filled(desk)
    as_of = LAST_CLOSED - 9 * HOUR + timedelta(minutes=59)
    answer = await desk.service.candles(CandleQuery("BTCUSD", lookback_days=1, as_of=as_of, include_open=True))
    assert answer.table["time"][-1].as_py() == LAST_CLOSED - 10 * HOUR
    assert (answer.data_as_of, answer.stale, answer.forming) == (LAST_CLOSED - 9 * HOUR, False, False)


async def test_nothing_known_at_as_of_is_an_empty_answer(desk: Desk) -> None:
    await filled(desk)
    answer = await desk.service.candles(CandleQuery("BTCUSD", as_of=NOW - timedelta(days=300)))
    assert (answer.table.num_rows, answer.data_as_of, answer.stale) == (0, None, True)


async def test_window_without_candles_still_tells_how_new_the_data_are(desk: Desk) -> None:
    await filled(desk)
    long_ago = NOW - timedelta(days=300)
    answer = await desk.service.candles(CandleQuery("BTCUSD", start=long_ago, end=long_ago + timedelta(days=2)))
    assert (answer.table.num_rows, answer.data_as_of, answer.stale) == (0, LAST_CLOSED + HOUR, False)


@pytest.mark.parametrize(("hours", "stale"), [(0, False), (1, False), (2, True), (1_000, True)])
async def test_data_are_stale_when_more_than_one_bar_is_missing(desk: Desk, hours: int, stale: bool) -> None:
    await filled(desk, history(newest_hours_ago=hours))
    assert (await desk.service.candles(CandleQuery("BTCUSD", limit=1))).stale is stale


async def test_gaps_are_told_with_the_candles(desk: Desk) -> None:
    table = history()
    await filled(desk, pa.concat_tables([table.slice(0, 40), table.slice(42)]))
    (gap,) = (await desk.service.candles(CandleQuery("BTCUSD", limit=20))).gaps
    assert (gap.start, gap.bars) == (table["time"][40].as_py(), 2)


async def test_symbol_that_nobody_knows_is_unknown(desk: Desk) -> None:
    with pytest.raises(UnknownSymbol):
        await desk.service.candles(CandleQuery("NOSUCH"))


async def test_managed_symbol_without_candles_has_none(desk: Desk) -> None:
    await desk.service.create_symbol(SymbolDraft("BTCUSD"))
    with pytest.raises(NoCandles):
        await desk.service.candles(CandleQuery("BTCUSD"))


async def test_unmanaged_symbol_with_candles_is_readable(desk: Desk) -> None:
    await filled(desk)
    await desk.service.delete_symbol("BTCUSD")
    assert (await desk.service.candles(CandleQuery("BTCUSD", limit=5))).table.num_rows == 5


async def test_alias_reads_the_symbol_that_it_names(desk: Desk) -> None:
    await filled(desk)
    draft = await desk.service.managed_symbol("BTCUSD")
    await desk.service.update_symbol(SymbolDraft("BTCUSD", aliases=("xbt/usd",)), draft.updated_at)
    assert (await desk.service.candles(CandleQuery("XBT-USD", limit=1))).symbol == "BTCUSD"


async def test_managed_symbol_that_only_easyinsight_has_is_read_there(desk: Desk) -> None:
    await desk.service.create_symbol(SymbolDraft("BTCUSD"))
    desk.backup.tables["BTCUSD"] = history()
    answer = await desk.service.candles(CandleQuery("BTCUSD", limit=5))
    assert (answer.source, answer.table.num_rows, answer.stale) == (Source.EASYINSIGHT, 5, False)


async def test_lost_database_is_answered_by_easyinsight(desk: Desk) -> None:
    await filled(desk)
    desk.backup.tables["BTCUSD"] = history()
    desk.lose_database()
    answer = await desk.service.candles(CandleQuery("BTCUSD", lookback_days=1))
    assert (answer.source, answer.table.num_rows, answer.stale) == (Source.EASYINSIGHT, 23, False)


async def test_lost_database_and_easyinsight_are_answered_from_memory_marked_stale(desk: Desk) -> None:
    await filled(desk)
    fresh = await desk.service.candles(CandleQuery("BTCUSD", limit=5))
    desk.lose_database()
    desk.backup.is_away = True
    answer = await desk.service.candles(CandleQuery("BTCUSD", limit=5))
    assert (answer.source, answer.stale) == (Source.CACHE, True)
    assert answer.table.equals(fresh.table)


async def test_nothing_left_to_answer_from_is_said(desk: Desk) -> None:
    await desk.service.create_symbol(SymbolDraft("BTCUSD"))
    desk.lose_database()
    with pytest.raises(DatabaseUnavailable):
        await desk.service.candles(CandleQuery("BTCUSD"))


async def test_batch_gives_each_symbol_its_answer_or_its_error(desk: Desk) -> None:
    await filled(desk)
    answers = await desk.service.candles_batch(("btc/usd", "NOSUCH", "!"), CandleQuery("", limit=2))
    assert list(answers) == ["btc/usd", "NOSUCH", "!"]
    assert isinstance(answers["btc/usd"], Candles)
    assert isinstance(answers["NOSUCH"], UnknownSymbol)
    assert isinstance(answers["!"], InvalidRequest)


async def test_batch_of_too_many_symbols_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidRequest):
        await desk.service.candles_batch(tuple(f"S{n}" for n in range(51)), CandleQuery(""))


async def test_latest_tells_both_candles_and_the_change_of_a_day(desk: Desk) -> None:
    table = await with_forming_bar(desk, 30)
    answer = await desk.service.latest("BTCUSD", Interval.H1)
    close = table["close"].to_pylist()
    assert answer.closed.close == close[29]
    assert answer.forming is not None
    assert answer.forming.close == close[30]
    assert answer.change_24h_percent == pytest.approx((close[29] / close[5] - 1) * 100)


async def test_latest_of_a_young_symbol_has_no_change(desk: Desk) -> None:
    await filled(desk, history(5))
    answer = await desk.service.latest("BTCUSD", Interval.H1, as_of=LAST_CLOSED)
    assert (answer.change_24h_percent, answer.forming) == (None, None)
    assert answer.closed.time == LAST_CLOSED - HOUR


async def test_ingest_keeps_bad_rows_aside_with_the_reason(desk: Desk) -> None:
    table = history(10)
    broken = table.set_column(4, "close", pa.array([*table["close"].to_pylist()[:9], math.nan]))
    done = await desk.service.ingest(Interval.H1, named("BTCUSD", broken))
    assert (done.received, done.inserted, done.quarantined) == (10, 9, 1)
    quality = await desk.service.quality("BTCUSD", Interval.H1)
    assert (quality.bars, quality.counts["not_finite"]) == (9, 1)
    assert quality.quarantined[0].time == LAST_CLOSED


async def test_ingest_twice_changes_nothing_and_manages_the_symbol_once(desk: Desk) -> None:
    await filled(desk, symbol="eur/usd")
    done = await desk.service.ingest(Interval.H1, named("EURUSD", history()))
    assert (done.inserted, done.changed, done.unchanged) == (0, 0, 48)
    (symbol,) = (await desk.service.managed_symbols(SymbolFilter())).symbols
    assert (symbol.symbol, symbol.category, symbol.calendar, symbol.enabled) == (
        "EURUSD",
        Category.FOREX,
        "forex",
        True,
    )


async def test_ingest_does_not_bring_back_a_symbol_that_was_deleted(desk: Desk) -> None:
    await filled(desk)
    await desk.service.delete_symbol("BTCUSD")
    await filled(desk)
    assert (await desk.service.managed_symbols(SymbolFilter())).symbols == ()


@pytest.mark.parametrize(
    ("rows", "field"),
    [
        (pa.table({"symbol": ["A1"]}), "time"),
        (pa.table({name: ["x"] for name in SYMBOL_CANDLE_SCHEMA.names}), "rows"),
        (pa.Table.from_pylist([{"symbol": None}], schema=pa.schema(list(SYMBOL_CANDLE_SCHEMA))), "symbol"),
        (pa.Table.from_pylist([{"symbol": "AAPL"}], schema=pa.schema(list(SYMBOL_CANDLE_SCHEMA))), "time"),
    ],
)
async def test_ingest_refuses_rows_of_another_shape(desk: Desk, rows: pa.Table, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await desk.service.ingest(Interval.H1, rows)
    assert caught.value.fields[0][0] == field


async def test_reading_on_leaves_out_forming_refused_and_disabled(desk: Desk) -> None:
    table = walk_table(LAST_CLOSED - 4 * HOUR, 6)
    await filled(desk, table)
    await filled(desk, table, symbol="ETHUSD")
    disabled = await desk.service.managed_symbol("ETHUSD")
    await desk.service.update_symbol(replace(SymbolDraft("ETHUSD"), enabled=False), disabled.updated_at)
    await desk.store.upsert(Interval.H1, named("BTCUSD", table.slice(1, 1).set_column(2, "high", pa.array([0.1]))))
    rows = await desk.service.candles_after(Interval.H1, LAST_CLOSED - 9 * HOUR, "", 2)
    assert set(rows["symbol"].to_pylist()) == {"BTCUSD"}
    assert rows["time"].to_pylist() == [LAST_CLOSED - 4 * HOUR, LAST_CLOSED - 2 * HOUR]
    rest = await desk.service.candles_after(Interval.H1, LAST_CLOSED - 2 * HOUR, "BTCUSD", 10, ("btc/usd",))
    assert rest["time"].to_pylist() == [LAST_CLOSED - HOUR, LAST_CLOSED]


async def test_quality_of_a_symbol_without_rows_is_no_candles(desk: Desk) -> None:
    await desk.service.create_symbol(SymbolDraft("BTCUSD"))
    with pytest.raises(NoCandles):
        await desk.service.quality("BTCUSD", Interval.H1)


async def test_discovery_merges_what_each_source_knows(desk: Desk) -> None:
    await filled(desk)
    desk.backup.offered = tuple(
        DiscoveredSymbol(name, Category.CRYPTO, False, Interval.H1, 0, None, None, (Source.EASYINSIGHT,))
        for name in ("BTCUSD", "SOLUSD")
    )
    btc, sol = await desk.service.discovered_symbols()
    assert (btc.symbol, btc.managed, btc.bars, btc.last_time) == ("BTCUSD", True, 48, LAST_CLOSED)
    assert btc.sources == (Source.DATABASE, Source.EASYINSIGHT)
    assert (sol.symbol, sol.managed, sol.bars, sol.sources) == ("SOLUSD", False, 0, (Source.EASYINSIGHT,))


async def test_creating_a_symbol_twice_is_refused(desk: Desk) -> None:
    await desk.service.create_symbol(SymbolDraft("btc/usd"))
    with pytest.raises(SymbolExists):
        await desk.service.create_symbol(SymbolDraft("BTC-USD"))


async def test_health_names_the_dependency_that_is_away(desk: Desk) -> None:
    desk.lose_database()
    health = await desk.service.health()
    assert health.database_host == "db.example"
    assert [(one.name, one.status) for one in health.dependencies] == [("timescaledb", "down"), ("easyinsight", "ok")]


async def test_query_log_comes_back_newest_first(desk: Desk) -> None:
    entries = tuple(QueryLogEntry(NOW + n * HOUR, "/a", "GET", 200, 1.0, 1, "id") for n in range(3))
    await desk.service.query_log(entries)
    assert await desk.service.query_logs(limit=2) == (entries[2], entries[1])
    with pytest.raises(InvalidRequest):
        await desk.service.query_logs(limit=0)
    with pytest.raises(InvalidRequest, match="endpoint"):
        await desk.service.query_logs(endpoint="\0")  # which PostgreSQL does not take as text
