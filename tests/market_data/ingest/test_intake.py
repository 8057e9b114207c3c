"""What comes in: under which symbol, what is kept aside, and what a dry run says of it."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.common.errors import InvalidRequest, NoCandles, UnknownSymbol
from deployments.market_data.ingest.admission import admit
from deployments.market_data.models import (
    SYMBOL_CANDLE_SCHEMA,
    CandleQuery,
    IngestReport,
    Interval,
    SymbolDraft,
    SymbolFilter,
)
from tests.fakes.market_data import walk_table
from tests.fakes.market_desk import NOW, Desk

HOUR = timedelta(hours=1)
LAST_CLOSED = NOW.replace(minute=0) - HOUR
FIRST = LAST_CLOSED - 9 * HOUR


def rows(symbol: str, first: int = 0, bars: int = 10, close: float | None = None) -> pa.Table:
    """Return hourly bars of a symbol, all with one price where `close` is given."""
    table = walk_table(FIRST, 10).slice(first, bars)
    told = [{"symbol": symbol, **row} for row in table.to_pylist()]
    if close is not None:
        told = [{**row, **dict.fromkeys(("open", "high", "low", "close"), close)} for row in told]
    return pa.Table.from_pylist(told, schema=SYMBOL_CANDLE_SCHEMA)


async def closes(desk: Desk, symbol: str) -> list[float]:
    found: list[float] = (await desk.service.candles(CandleQuery(symbol, limit=100))).table["close"].to_pylist()
    return found


async def managed(desk: Desk, *aliases: str) -> None:
    await desk.service.create_symbol(SymbolDraft("BTCUSD", aliases=aliases))


async def test_rows_under_an_alias_are_stored_under_the_managed_symbol(desk: Desk) -> None:
    await managed(desk, "xbt/usd")
    report = await desk.service.ingest(Interval.H1, rows("XBT-USD"))
    assert report == IngestReport(10, 10, 0, 0, 0)
    assert len(await closes(desk, "BTCUSD")) == 10
    assert not await desk.store.holds("XBTUSD")
    assert [one.symbol for one in (await desk.service.managed_symbols(SymbolFilter())).symbols] == ["BTCUSD"]


@pytest.mark.parametrize("turned", [False, True])
async def test_of_two_spellings_of_a_bar_the_symbol_s_own_wins_in_any_order(desk: Desk, turned: bool) -> None:
    await managed(desk, "xbt/usd")
    tables = [rows("BTCUSD", close=1.0), rows("btc-usd", close=2.0), rows("XBT/USD", close=3.0)]
    report = await desk.service.ingest(Interval.H1, pa.concat_tables(reversed(tables) if turned else tables))
    assert (report.inserted, report.quarantined) == (10, 20)
    assert await closes(desk, "BTCUSD") == [1.0] * 10


async def test_a_broken_row_of_the_symbol_does_not_shadow_a_sound_one_of_its_alias(desk: Desk) -> None:
    await managed(desk, "xbt/usd")
    broken = rows("BTCUSD", close=-1.0)
    await desk.service.ingest(Interval.H1, pa.concat_tables([rows("XBTUSD", close=3.0), broken]))
    assert await closes(desk, "BTCUSD") == [3.0] * 10


async def test_alias_declared_later_leaves_its_own_candles_readable(desk: Desk) -> None:
    await desk.service.ingest(Interval.H1, rows("XBTUSD"))
    await desk.service.delete_symbol("XBTUSD")
    assert len(await closes(desk, "XBTUSD")) == 10


async def test_bars_told_twice_out_of_order_or_unfinished_are_kept_aside_and_reported(desk: Desk) -> None:
    table = pa.concat_tables([rows("BTCUSD", 0, 3), rows("BTCUSD", 2, 4, close=5.0), rows("BTCUSD", 0, 1)])
    forming = walk_table(LAST_CLOSED + HOUR, 1).add_column(0, "symbol", pa.array(["BTCUSD"]))
    report = await desk.service.ingest(Interval.H1, pa.concat_tables([table, forming.cast(SYMBOL_CANDLE_SCHEMA)]))
    assert (report.inserted, report.quarantined) == (6, 3)
    quality = await desk.service.quality("BTCUSD", Interval.H1)
    assert {check: count for check, count in quality.counts.items() if count} == {
        "duplicate": 1,
        "out_of_order": 1,
        "unfinished": 1,
    }
    assert {one.check: one.time for one in quality.findings} == {
        "duplicate": FIRST + 2 * HOUR,
        "out_of_order": FIRST,
        "unfinished": LAST_CLOSED + HOUR,
    }
    assert (await closes(desk, "BTCUSD"))[2] == 5.0


async def test_a_dry_run_says_what_would_happen_and_changes_nothing(desk: Desk) -> None:
    await desk.service.ingest(Interval.H1, rows("BTCUSD", 0, 6))
    told = pa.concat_tables(
        [rows("BTCUSD", 0, 5), rows("BTCUSD", 5, 2, close=7.0), rows("BTCUSD", 9, 1, close=math.nan), rows("ETHUSD")]
    )
    dry = await desk.service.ingest(Interval.H1, told, dry_run=True)
    assert dry == IngestReport(18, 11, 1, 5, 1)
    assert len(await closes(desk, "BTCUSD")) == 6
    assert (await desk.service.quality("BTCUSD", Interval.H1)).quarantined == ()
    with pytest.raises(UnknownSymbol):
        await desk.service.candles(CandleQuery("ETHUSD"))
    assert await desk.service.ingest(Interval.H1, told) == dry


async def test_a_bad_row_reaches_no_reader_and_the_good_ones_around_it_do(desk: Desk) -> None:
    bad = rows("BTCUSD", 4, 1, close=math.nan)
    table = pa.concat_tables([rows("BTCUSD", 0, 4), bad, rows("BTCUSD", 5, 5)])
    await desk.service.ingest(Interval.H1, table)
    # As the desk's own writer would: past the door, straight into the table.
    await desk.store.upsert(Interval.H1, rows("BTCUSD", 7, 1, close=-3.0))
    expected = [FIRST + n * HOUR for n in range(10) if n not in (4, 7)]
    read = await desk.service.candles(CandleQuery("BTCUSD", lookback_days=30))
    trained = (await desk.service.candles_batch(("BTCUSD",), CandleQuery("", limit=100)))["BTCUSD"]
    embedded = await desk.service.candles_after(Interval.H1, FIRST - HOUR, "", 100)
    assert read.table["time"].to_pylist() == expected
    assert not isinstance(trained, Exception)
    assert trained.table["time"].to_pylist() == expected
    assert embedded["time"].to_pylist() == expected
    assert (await desk.service.latest("BTCUSD", Interval.H1)).closed.time == LAST_CLOSED
    report = await desk.service.quality("BTCUSD", Interval.H1)
    assert [(row.check, row.time) for row in report.quarantined] == [
        ("non_positive", FIRST + 7 * HOUR),
        ("not_finite", FIRST + 4 * HOUR),
    ]


async def test_quality_as_of_knows_only_what_was_closed_then(desk: Desk) -> None:
    await desk.service.ingest(Interval.H1, pa.concat_tables([rows("BTCUSD", 0, 3), rows("BTCUSD", 5, 5)]))
    await desk.service.ingest(Interval.H1, rows("BTCUSD", 4, 1, close=math.nan))
    before = await desk.service.quality("BTCUSD", Interval.H1, FIRST + 4 * HOUR)
    after = await desk.service.quality("BTCUSD", Interval.H1, FIRST + 6 * HOUR)
    assert (before.bars, before.counts["gap"], before.quarantined) == (3, 0, ())
    assert (after.bars, after.counts["gap"], after.counts["not_finite"]) == (4, 2, 1)
    with pytest.raises(NoCandles):
        await desk.service.quality("BTCUSD", Interval.H1, FIRST)


@pytest.mark.parametrize("time", [-(10**15), 10**18])
async def test_times_that_no_calendar_knows_are_refused_with_their_field(desk: Desk, time: int) -> None:
    told: dict[str, Any] = {name: [1.0] for name in SYMBOL_CANDLE_SCHEMA.names} | {"symbol": ["BTCUSD"]}
    told["time"] = pa.array([time], pa.timestamp("us", tz="UTC"))
    with pytest.raises(InvalidRequest) as caught:
        await desk.service.ingest(Interval.H1, pa.table(told))
    assert caught.value.fields[0][0] == "time"


told_rows = st.lists(
    st.tuples(st.sampled_from(["BTCUSD", "btc/usd", "XBT", "ETHUSD"]), st.integers(0, 5), st.sampled_from([1.0, 2.0])),
    max_size=25,
)


@settings(deadline=None)
@given(told_rows)
def test_every_row_is_stored_once_or_kept_aside_and_letting_it_in_again_loses_nothing(
    told: list[tuple[str, int, float]],
) -> None:
    one = rows("BTCUSD", 0, 1).to_pylist()[0]
    prices = ("open", "high", "low", "close")
    table = pa.Table.from_pylist(
        [{**one, "symbol": name, "time": FIRST + n * HOUR, **dict.fromkeys(prices, price)} for name, n, price in told],
        schema=SYMBOL_CANDLE_SCHEMA,
    )
    first = admit(table, Interval.H1, NOW, {"XBT": "BTCUSD"})
    keys = list(zip(first.good["symbol"].to_pylist(), first.good["time"].to_pylist(), strict=True))
    assert len(set(keys)) == len(keys)
    assert len(keys) + sum(len(aside) for aside in first.refused.values()) == len(told)
    again = admit(first.good, Interval.H1, NOW, {"XBT": "BTCUSD"})
    assert again.good.num_rows + sum(len(aside) for aside in again.refused.values()) == len(keys)


async def test_an_alias_that_is_dropped_names_a_symbol_of_its_own_again(desk: Desk) -> None:
    await managed(desk, "XBTUSD")
    draft = await desk.service.managed_symbol("BTCUSD")
    await desk.service.update_symbol(replace(SymbolDraft("BTCUSD"), aliases=()), draft.updated_at)
    await desk.service.ingest(Interval.H1, rows("XBTUSD"))
    assert len(await closes(desk, "XBTUSD")) == 10
