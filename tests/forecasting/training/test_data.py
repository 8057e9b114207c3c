"""Reading for training: which symbols, page by page, no bar twice and none left out."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from deployments.common.errors import TooLittleHistory, UnknownSymbol
from deployments.forecasting.models import TrainingRequest
from deployments.forecasting.training.data import all_candles, training_data
from deployments.market_data.models import CANDLE_SCHEMA, Interval, ManagedSymbol, SymbolFilter, SymbolPage
from tests.fakes.market_data import FakeMarketData
from tests.fakes.panels import START, wavy_tables

NOW = START + timedelta(hours=500)


class SomeDisabled(FakeMarketData):
    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage:
        page = await super().managed_symbols(replace(wanted, limit=1))
        return SymbolPage(tuple(_maybe_disabled(symbol) for symbol in page.symbols), page.next_cursor)


def _maybe_disabled(symbol: ManagedSymbol) -> ManagedSymbol:
    return replace(symbol, enabled=symbol.symbol != "BBBUSD")


def market(*symbols: str) -> FakeMarketData:
    return FakeMarketData(wavy_tables(300, symbols or ("AAAUSD", "BBBUSD")), NOW)


@pytest.mark.parametrize("page", [7, 100, 299, 300, 1_000])
async def test_pages_of_any_size_give_every_candle_once(page: int) -> None:
    table = (await all_candles(market(), "AAAUSD", Interval.H1, None, page)).table

    assert table.schema == CANDLE_SCHEMA
    assert table.equals(wavy_tables(300)["AAAUSD"])


@pytest.mark.parametrize("page", [7, 100, 1_000])
async def test_bars_added_up_from_too_few_finer_ones_are_masked_wherever_pages_end(page: int) -> None:
    source = market()
    torn = tuple(START + timedelta(hours=hour) for hour in (5, 99, 100, 250))
    source.incomplete = {"AAAUSD": torn}

    data = await training_data(source, TrainingRequest(), page)
    panel = data.panel(Interval.H1)

    assert data.incomplete == {"AAAUSD": torn}
    assert np.flatnonzero(~panel.known).tolist() == [5, 99, 100, 250]
    assert panel.fingerprint != (await training_data(market(), TrainingRequest(), page)).panel(Interval.H1).fingerprint


async def test_a_lookback_ends_so_many_days_before_the_newest_bar() -> None:
    table = (await all_candles(market(), "AAAUSD", Interval.H1, 3, page=50)).table

    assert table.num_rows == 72
    assert table["time"][-1].as_py() == START + timedelta(hours=299)


async def test_a_lookback_reads_no_more_pages_than_it_needs() -> None:
    source = market()

    await all_candles(source, "AAAUSD", Interval.H1, 3, page=50)

    assert len(source.queries) == 2


async def test_only_enabled_symbols_are_trained_on_over_all_pages() -> None:
    source = SomeDisabled(wavy_tables(30, ("AAAUSD", "BBBUSD", "CCCUSD")), NOW)

    assert list((await training_data(source, TrainingRequest())).tables) == ["AAAUSD", "CCCUSD"]


async def test_symbols_asked_for_by_name_are_read_and_no_others() -> None:
    data = await training_data(market(), TrainingRequest(symbols=("BBBUSD",)))

    assert list(data.tables) == ["BBBUSD"]
    assert data.calendars == {"BBBUSD": "24/7"}


async def test_a_symbol_without_candles_gets_an_empty_table() -> None:
    source = FakeMarketData({"AAAUSD": CANDLE_SCHEMA.empty_table()}, NOW)

    data = await training_data(source, TrainingRequest())

    assert data.tables["AAAUSD"].num_rows == 0


async def test_an_unknown_symbol_is_named() -> None:
    with pytest.raises(UnknownSymbol, match="NOPE"):
        await training_data(market(), TrainingRequest(symbols=("NOPE",)))


async def test_nothing_enabled_is_too_little_history() -> None:
    with pytest.raises(TooLittleHistory):
        await training_data(FakeMarketData({}, NOW), TrainingRequest())
