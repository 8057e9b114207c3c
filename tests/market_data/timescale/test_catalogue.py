"""What every catalogue promises; run on the fake and on PostgreSQL."""

import asyncio
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.common.errors import PreconditionFailed, SymbolExists, UnknownSymbol
from deployments.market_data.findings import QuarantinedRow
from deployments.market_data.models import Category, Interval, SymbolDraft, SymbolFilter, SymbolStatus
from deployments.market_data.stores import Catalogue

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def draft(symbol: str = "BTCUSD", *aliases: str, category: Category = Category.CRYPTO) -> SymbolDraft:
    return SymbolDraft(symbol, category=category, price_increment=Decimal("0.00001"), aliases=aliases)


async def test_symbol_comes_back_as_it_was_added(catalogue: Catalogue) -> None:
    added = await catalogue.add(draft("BTCUSD", "xbt/usd"), NOW)
    assert (added.symbol, added.aliases, added.price_increment) == ("BTCUSD", ("xbt/usd",), Decimal("0.00001"))
    assert (added.created_at, added.updated_at) == (NOW, NOW)
    assert await catalogue.symbols() == (added,)


async def test_first_symbols_come_in_together_where_there_is_none(catalogue: Catalogue) -> None:
    assert await catalogue.add_first([draft("ETHUSD"), draft("BTCUSD", "xbt/usd")], NOW) == 2
    kept = await catalogue.symbols()
    assert [(one.symbol, one.aliases, one.created_at) for one in kept] == [
        ("BTCUSD", ("xbt/usd",), NOW),
        ("ETHUSD", (), NOW),
    ]
    await catalogue.remove("ETHUSD")
    assert await catalogue.add_first([draft("ETHUSD"), draft("SOLUSD")], LATER) == 0
    assert [one.symbol for one in await catalogue.symbols()] == ["BTCUSD"]
    await catalogue.remove("BTCUSD")
    assert await catalogue.add_first([draft("ETHUSD")], LATER) == 0
    assert await catalogue.symbols() == ()


async def test_symbols_that_came_another_way_keep_the_first_ones_out_only_while_they_are_there(
    catalogue: Catalogue,
) -> None:
    await catalogue.add(draft("SOLUSD"), NOW)
    assert await catalogue.add_first([draft("ETHUSD")], NOW) == 0
    await catalogue.remove("SOLUSD")
    assert await catalogue.add_first([draft("ETHUSD")], NOW) == 1


async def test_of_two_that_bring_the_first_symbols_at_once_one_does(catalogue: Catalogue) -> None:
    drafts = [draft(f"COIN{number}USD") for number in range(20)]
    done = await asyncio.gather(*(catalogue.add_first(drafts, NOW) for _ in range(3)))
    assert sorted(done) == [0, 0, 20]
    assert len(await catalogue.symbols()) == 20


async def test_sizes_and_increments_come_back_to_the_last_digit(catalogue: Catalogue) -> None:
    wanted: list[Decimal] = []  # gathered first: hypothesis runs no coroutine

    @settings(max_examples=60, deadline=None)
    @given(st.decimals(Decimal("1e-12"), Decimal("1e12"), allow_nan=False, places=12))
    def gather(size: Decimal) -> None:
        wanted.append(size)

    gather()
    await catalogue.add(draft(), NOW)
    for size in wanted:
        told = replace(draft(), lot_size=size, price_increment=size, size_increment=size)
        kept = await catalogue.replace(told, LATER, None)
        assert (kept.lot_size, kept.price_increment, kept.size_increment) == (size, size, size)
        assert str(kept.lot_size) == str(size.quantize(size))


async def test_what_changed_meanwhile_is_not_removed(catalogue: Catalogue) -> None:
    await catalogue.add(draft(), NOW)
    changed = await catalogue.replace(draft(), LATER, None)
    with pytest.raises(PreconditionFailed):
        await catalogue.remove("BTCUSD", NOW)
    await catalogue.remove("BTCUSD", changed.updated_at)
    assert await catalogue.symbols() == ()


async def test_refusal_names_who_has_the_name(catalogue: Catalogue) -> None:
    await catalogue.add(draft("BTCUSD", "xbt/usd"), NOW)
    await catalogue.add(draft("ETHUSD"), NOW)
    with pytest.raises(SymbolExists, match="XBTUSD already names BTCUSD"):
        await catalogue.replace(draft("ETHUSD", "XBT-USD"), LATER, None)


@pytest.mark.parametrize("again", [draft("BTCUSD"), draft("XBTUSD"), draft("BITCOIN", "btc-usd")])
async def test_name_or_alias_that_is_taken_is_refused(catalogue: Catalogue, again: SymbolDraft) -> None:
    await catalogue.add(draft("BTCUSD", "xbt/usd"), NOW)
    with pytest.raises(SymbolExists):
        await catalogue.add(again, NOW)


async def test_replacing_changes_the_fields_and_the_instant(catalogue: Catalogue) -> None:
    await catalogue.add(draft(), NOW)
    replaced = await catalogue.replace(draft(category=Category.INDEX), LATER, NOW)
    assert (replaced.category, replaced.created_at, replaced.updated_at) == (Category.INDEX, NOW, LATER)


async def test_replacing_what_changed_meanwhile_is_refused(catalogue: Catalogue) -> None:
    await catalogue.add(draft(), NOW)
    await catalogue.replace(draft(), LATER, None)
    with pytest.raises(PreconditionFailed):
        await catalogue.replace(draft(), LATER, NOW)


async def test_two_changes_at_one_instant_still_differ(catalogue: Catalogue) -> None:
    await catalogue.add(draft(), NOW)
    assert (await catalogue.replace(draft(), NOW, NOW)).updated_at > NOW


async def test_unknown_symbol_can_be_neither_replaced_nor_removed(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownSymbol):
        await catalogue.replace(draft(), NOW, None)
    with pytest.raises(UnknownSymbol):
        await catalogue.remove("BTCUSD")


async def test_removed_symbol_is_gone_and_its_name_free(catalogue: Catalogue) -> None:
    await catalogue.add(draft(), NOW)
    await catalogue.remove("BTCUSD")
    assert await catalogue.symbols() == ()
    await catalogue.add(draft(), NOW)


async def test_pages_follow_one_another_ascending(catalogue: Catalogue) -> None:
    for name in ("ETHUSD", "BTCUSD", "AAPL", "BRK.B", "AAA"):
        await catalogue.add(draft(name), NOW)
    seen, cursor = [], ""
    while True:
        page = await catalogue.page(SymbolFilter(limit=2, cursor=cursor))
        seen += [symbol.symbol for symbol in page.symbols]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == ["AAA", "AAPL", "BRK.B", "BTCUSD", "ETHUSD"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (SymbolFilter(category=Category.STOCK), ["AAPL"]),
        (SymbolFilter(status=SymbolStatus.INACTIVE), []),
        (SymbolFilter(q="usd"), ["BTCUSD"]),
        (SymbolFilter(q="XBT"), ["BTCUSD"]),
        (SymbolFilter(q="%"), []),
        (SymbolFilter(q="A_P"), []),
    ],
)
async def test_filters_match_names_aliases_and_kinds(
    catalogue: Catalogue, wanted: SymbolFilter, found: list[str]
) -> None:
    await catalogue.add(draft("BTCUSD", "xbt/usd"), NOW)
    await catalogue.add(draft("AAPL", category=Category.STOCK), NOW)
    assert [symbol.symbol for symbol in (await catalogue.page(wanted)).symbols] == found


async def test_quarantined_rows_come_back_newest_first_and_once(catalogue: Catalogue) -> None:
    rows = [
        QuarantinedRow(NOW + timedelta(hours=n), "high_low", "why", 1.0, 2.0, 3.0, None, math.inf) for n in range(3)
    ]
    for _ in range(2):
        await catalogue.quarantine("BTCUSD", Interval.H1, rows)
    assert await catalogue.quarantined("BTCUSD", Interval.H1) == tuple(reversed(rows))
    assert await catalogue.quarantined("BTCUSD", Interval.D1) == ()
    assert await catalogue.quarantined("BTCUSD", Interval.H1, NOW + timedelta(hours=1)) == tuple(rows[:1])
    assert await catalogue.quarantine_counts("BTCUSD", Interval.H1) == {"high_low": 3}
    assert await catalogue.quarantine_counts("BTCUSD", Interval.H1, NOW) == {}
