"""What is refused before a job starts, and that nothing is refused which could be trained."""

import asyncio
from datetime import timedelta

import pytest

from deployments.common.errors import CandlecastError, DatabaseUnavailable, TooLittleHistory, UnknownSymbol
from deployments.forecasting.models import TrainingRequest
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.training.fitting import material_of
from deployments.forecasting.training.prospects import check_prospects, least_bars
from deployments.market_data.models import CandleQuery, Candles, Interval
from tests.fakes.market_data import FakeMarketData
from tests.fakes.panels import START, wavy_panel, wavy_tables

NOW = START + timedelta(days=365)


def market(bars: int, *symbols: str) -> FakeMarketData:
    return FakeMarketData(wavy_tables(bars, symbols), NOW)


class AwayMarketData(FakeMarketData):
    """Fails as market data does without its database, or never answers."""

    def __init__(self, hangs: bool) -> None:
        super().__init__({}, NOW)
        self._hangs = hangs

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        if self._hangs:
            await asyncio.Event().wait()
        return {symbol: DatabaseUnavailable("the database is away") for symbol in symbols}


async def test_symbols_that_nobody_knows_are_all_named() -> None:
    with pytest.raises(UnknownSymbol, match=r": NOPEUSD, ZZZUSD$"):
        await check_prospects(market(2_000, "AAAUSD"), TrainingRequest(("NOPEUSD", "AAAUSD", "ZZZUSD")))


async def test_an_unknown_symbol_behind_many_known_ones_is_found() -> None:
    known = tuple(f"S{number:02d}USD" for number in range(60))
    with pytest.raises(UnknownSymbol, match="ZZZUSD"):
        await check_prospects(market(900, *known), TrainingRequest((*known, "ZZZUSD")))


async def test_enough_bars_of_enabled_symbols_are_asked_for_no_further() -> None:
    fake = market(900, *(f"S{number:02d}USD" for number in range(60)))
    await check_prospects(fake, TrainingRequest())
    assert len(fake.queries) == 50


async def test_too_few_bars_are_told_with_what_is_needed() -> None:
    with pytest.raises(TooLittleHistory) as refused:
        await check_prospects(market(300, "AAAUSD"), TrainingRequest(horizon=24))
    assert (refused.value.have, refused.value.need) == (300, least_bars(24, 1))


async def test_a_lookback_that_holds_too_few_bars_is_refused_though_history_is_long() -> None:
    with pytest.raises(TooLittleHistory, match="of the last 7 days"):
        await check_prospects(market(3_000, "AAAUSD"), TrainingRequest(("AAAUSD",), lookback_days=7))


async def test_without_an_enabled_symbol_there_is_nothing_to_train_on() -> None:
    with pytest.raises(TooLittleHistory, match="No symbol is enabled"):
        await check_prospects(FakeMarketData({}, NOW), TrainingRequest())


@pytest.mark.parametrize("hangs", [False, True])
async def test_market_data_that_says_nothing_refuses_nothing(hangs: bool) -> None:
    await check_prospects(AwayMarketData(hangs), TrainingRequest(("AAAUSD",)), within_s=0.05)


@pytest.mark.parametrize("horizon", [1, 6, 24])
@pytest.mark.parametrize("symbols", [("AAAUSD",), ("AAAUSD", "BBBUSD", "CCCUSD")])
async def test_the_fewest_bars_that_can_be_trained_on_are_never_refused(horizon: int, symbols: tuple[str, ...]) -> None:
    bars = least_trainable(horizon, symbols)
    await check_prospects(market(bars, *symbols), TrainingRequest(symbols, Interval.H1, horizon))


def least_trainable(horizon: int, symbols: tuple[str, ...]) -> int:
    """Return how many bars each symbol needs, to the nearest twenty, as training itself sees it."""
    for bars in range(240, 4_000, 20):
        try:
            material_of(wavy_panel(bars, symbols), NetworkConfig(48, horizon))
        except TooLittleHistory:
            continue
        return bars
    raise AssertionError("never enough")
