"""What is remembered of forecasts from one request to the next."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from deployments.forecasting.models import Decision, ForecastRequest
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.series.windows import Past
from deployments.forecasting.service import ForecasterService
from tests.fakes.forecasting import FakeJobs, FakeModel, model_card, model_tensors
from tests.fakes.market_data import FakeMarketData, candle_table, walk_table

START = datetime(2024, 2, 1, tzinfo=UTC)
BARS = 200
NOW = START + timedelta(hours=BARS, minutes=10)
REQUEST = ForecastRequest("BTCUSD", horizon=3)


class Moody(FakeModel):
    """Fails when told to, and counts the bars that it is told to be there."""

    failing = False

    def quantiles(self, past: Past) -> FloatArray:
        if self.failing:
            raise RuntimeError("out of memory")
        answer: FloatArray = super().quantiles(past) + 0.001 * past.known.sum(axis=1)[:, None, None]
        return answer


class Stand:
    """A service with one champion, a clock and a market to turn."""

    def __init__(self, home: Path, table: pa.Table) -> None:
        self.now = NOW
        self.market = FakeMarketData({"BTCUSD": table}, NOW)
        registry = Registry(home / "models")
        version = registry.publish(model_tensors(), model_card(NOW - timedelta(days=1), history_bars=BARS)).version
        registry.promote(version, Decision("", "promote", "good enough", NOW))
        self.models: list[Moody] = []
        self.service = ForecasterService(home, self.market, FakeJobs(), self.build, lambda: self.now)

    def build(self, *parts: object) -> Moody:
        self.models.append(Moody(*parts))  # type: ignore[arg-type]
        return self.models[-1]


async def test_model_that_failed_once_is_asked_again_on_the_same_bars(tmp_path: Path) -> None:
    stand = Stand(tmp_path, walk_table(START, BARS))
    await stand.service.follow_champions()
    stand.models[0].failing = True
    assert (await stand.service.forecast(REQUEST)).model.name == "ewma"
    stand.models[0].failing = False
    assert (await stand.service.forecast(REQUEST)).model.name == "nhits"


async def test_bar_that_comes_late_changes_the_forecast_even_where_no_price_moves(tmp_path: Path) -> None:
    whole = candle_table(START, [100.0] * BARS)
    stand = Stand(tmp_path, whole.take(np.delete(np.arange(BARS), 100)))
    await stand.service.follow_champions()
    before = await stand.service.forecast(REQUEST)
    stand.market.tables["BTCUSD"] = whole
    stand.now += timedelta(seconds=2)
    after = await stand.service.forecast(REQUEST)
    assert after.points[0].median != before.points[0].median
