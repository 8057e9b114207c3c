"""Forecasts beside what happened, on numbers worked out by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from deployments.forecasting.judging.scoreboard import SCORED_FORECASTS, accuracy_rows, past_forecast, realised_closes
from deployments.forecasting.keeping.store import ForecastStore
from deployments.forecasting.service import ForecasterService
from deployments.market_data.models import Interval
from tests.fakes.forecasting import FakeJobs, FakeModel, issued_forecast
from tests.fakes.market_data import FakeMarketData, candle_table

START = datetime(2024, 4, 1, tzinfo=UTC)
HOURS = [START + timedelta(hours=hour) for hour in range(8)]


def test_forecast_is_scored_once_every_bar_has_arrived() -> None:
    one = issued_forecast("BTCUSD", HOURS[0], horizon=2)
    past = past_forecast(one, {HOURS[1]: 4.0, HOURS[2]: 4.0})
    assert past.realised == pytest.approx((np.exp(4.0), np.exp(4.0)))
    assert past.pinball == pytest.approx(past.baseline_pinball / 2 if past.baseline_pinball else None)


def test_forecast_with_a_bar_still_to_come_has_no_score() -> None:
    past = past_forecast(issued_forecast("BTCUSD", HOURS[0], horizon=2), {HOURS[1]: 4.0})
    assert past.realised[0] == pytest.approx(np.exp(4.0))
    assert past.realised[1] is None
    assert past.pinball is None
    assert past.baseline_pinball is None


def test_live_skill_is_told_per_model_over_resolved_forecasts() -> None:
    known = dict.fromkeys(HOURS[:4], 4.0)
    issued = [
        issued_forecast("BTCUSD", HOURS[0], version="v1"),
        issued_forecast("BTCUSD", HOURS[0]),
        issued_forecast("BTCUSD", HOURS[1], version="v1"),  # its last bar is still to come
    ]
    rows = {row.version: row for row in accuracy_rows(issued, {("BTCUSD", Interval.H1): known})}
    assert rows["v1"].skill.n == 1
    assert rows["v1"].skill.pinball_vs_baseline == pytest.approx(0.5)
    assert rows["v1"].skill.coverage == {"80": 1.0, "90": 1.0}
    assert rows["v1"].skill.mase == pytest.approx(0.0)
    assert rows["v1"].skill.basis == "live"
    assert rows[None].model == "ewma"


async def test_closes_are_read_once_per_symbol_over_the_span_of_its_forecasts() -> None:
    prices = [float(np.exp(4 + 0.01 * hour)) for hour in range(8)]
    market = FakeMarketData({"BTCUSD": candle_table(START, prices)}, now=START + timedelta(hours=8))
    issued = [issued_forecast("BTCUSD", HOURS[hour]) for hour in (0, 1, 6)]
    closes = await realised_closes(market, issued)
    assert len(market.queries) == 1
    assert closes["BTCUSD", Interval.H1] == pytest.approx({HOURS[hour]: 4 + 0.01 * hour for hour in range(1, 8)})


async def test_symbol_that_cannot_be_read_stays_unresolved() -> None:
    market = FakeMarketData({}, now=START)
    assert await realised_closes(market, [issued_forecast("GONE", START)]) == {("GONE", Interval.H1): {}}


async def test_scores_are_told_however_many_forecasts_are_still_open(tmp_path: Path) -> None:
    now = START + timedelta(hours=8)
    store = ForecastStore(tmp_path / "forecasts.lance")
    store.append([issued_forecast("BTCUSD", hour) for hour in HOURS[:3]])
    store.append([issued_forecast(f"S{number}USD", HOURS[7]) for number in range(SCORED_FORECASTS)])
    market = FakeMarketData({"BTCUSD": candle_table(START, [50.0] * 8)}, now=now)
    service = ForecasterService(tmp_path, market, FakeJobs(), FakeModel, lambda: now)
    [row] = await service.accuracy()
    assert (row.symbol, row.skill.n) == ("BTCUSD", 3)
