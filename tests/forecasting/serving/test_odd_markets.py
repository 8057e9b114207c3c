"""Markets as they should not be: every one gets an answer naming its rung, or a typed problem. With a real network."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deployments.common.errors import BadUpstream, CandlecastError, NoCandles, TooLittleHistory, UnknownSymbol
from deployments.forecasting.models import Decision, Forecast, ForecastRequest, ModelCard, ModelStatus
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.predictor import Predictor
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.series.panel import panel_of
from deployments.forecasting.service import ForecasterService
from deployments.forecasting.training.fitting import Fitted, fit
from deployments.forecasting.training.loop import TrainingConfig
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import to_numpy
from deployments.market_data.models import CANDLE_SCHEMA, Interval, ManagedSymbol
from tests.fakes.forecasting import FakeJobs
from tests.fakes.market_data import FakeMarketData, candle_table
from tests.fakes.panels import wavy_closes, wavy_tables

SHAPE = NetworkConfig(input_size=48, horizon=24, width=16)
NOW = datetime(2024, 6, 7, 20, 45, tzinfo=UTC)
"""A Friday shortly before the week of currencies and the session in New York end."""

LEVELS = (50.0, 80.0, 90.0, 95.0, 97.5, 99.0)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    config = TrainingConfig(max_steps=4, members=2, batch=32, check_every=2)
    return fit(panel_of(wavy_tables(1_500), Interval.H1), SHAPE, config)


@pytest.fixture
def registry(tmp_path: Path, fitted: Fitted) -> Registry:
    """A registry with one champion, really trained."""
    registry = Registry(tmp_path / "models")
    go = Decision("", "promote", "good enough", NOW - timedelta(days=1))
    version = registry.publish(fitted.tensors, card_of(fitted, go)).version
    registry.promote(version, go)
    return registry


def card_of(fitted: Fitted, decision: Decision) -> ModelCard:
    return ModelCard(
        version="", interval=Interval.H1, horizon=24, input_size=48, status=ModelStatus.CANDIDATE,
        trained_at=decision.decided_at, data_start=NOW - timedelta(days=90), data_end=decision.decided_at,
        symbols=("AAAUSD",), metrics={}, config=fitted.config, decision=decision, sha256="",
    )  # fmt: skip


class Unmanaged(FakeMarketData):
    """Knows candles, but no symbol: calendars are told from names."""

    async def managed_symbol(self, symbol: str) -> ManagedSymbol:
        raise UnknownSymbol(symbol)


async def answer(tmp_path: Path, symbol: str, table: pa.Table, now: datetime = NOW) -> Forecast | CandlecastError:
    service = ForecasterService(tmp_path, Unmanaged({symbol: table}, now), FakeJobs(), Predictor, lambda: now)
    try:
        return await service.forecast(ForecastRequest(symbol, horizon=24, levels=LEVELS))
    except CandlecastError as error:
        return error


def ending_now(closes: list[float]) -> pa.Table:
    return candle_table(datetime(2024, 6, 7, 19, tzinfo=UTC) - timedelta(hours=len(closes) - 1), closes)


def flat(bars: int = 700) -> list[float]:
    return [100.0] * bars


def jumping(bars: int = 700) -> list[float]:
    closes = wavy_closes(bars)
    return [*closes[: bars - 50], *(1_000 * closes[bars - 50 :])]


def on_calendar(name: str, closes: list[float], now: datetime = NOW) -> pa.Table:
    """Return candles at the newest bars that the calendar has before now."""
    due = calendar_named(name).expected(Interval.H1, now - timedelta(days=250), now - timedelta(hours=1))
    times = due[-len(closes) :]
    table = candle_table(now, closes)
    return table.set_column(0, "time", pa.array(times).cast(CANDLE_SCHEMA.field("time").type)).cast(CANDLE_SCHEMA)


@pytest.mark.parametrize(("bars", "error"), [(0, NoCandles), (5, TooLittleHistory), (19, TooLittleHistory)])
async def test_too_few_bars_are_a_typed_problem(
    registry: Registry, tmp_path: Path, bars: int, error: type[CandlecastError]
) -> None:
    table = ending_now(list(wavy_closes(bars))) if bars else CANDLE_SCHEMA.empty_table()

    assert isinstance(await answer(tmp_path, "AAAUSD", table), error)


@pytest.mark.parametrize(
    ("closes", "rung"),
    [
        (list(wavy_closes(20)), "ewma"),
        (list(wavy_closes(47)), "ewma"),
        (list(wavy_closes(50)), "nhits"),
        (list(wavy_closes(500)), "nhits"),
        (list(wavy_closes(1_400)), "nhits"),
        (flat(), "nhits"),
        (jumping(), "nhits"),
        ([*flat(699), 100_000.0], "nhits"),
        ([1e-9 * close for close in wavy_closes(700)], "nhits"),
        ([1e9 * close for close in wavy_closes(700)], "nhits"),
    ],
    ids=["20", "47", "50", "500", "1400", "constant", "jump", "jump-now", "tiny", "huge"],
)
async def test_every_other_market_is_answered_by_a_named_rung(
    registry: Registry, tmp_path: Path, closes: list[float], rung: str
) -> None:
    forecast = await answer(tmp_path, "AAAUSD", ending_now(closes))

    assert isinstance(forecast, Forecast)
    assert forecast.model.name == rung
    check_answer(forecast, "24/7")


async def test_feeds_without_ranges_or_volume_are_answered(registry: Registry, tmp_path: Path) -> None:
    table = ending_now(list(wavy_closes(700)))
    close = table["close"]
    for name in ("open", "high", "low"):
        table = table.set_column(table.schema.get_field_index(name), name, close)
    table = table.set_column(5, "volume", pa.array(np.zeros(700))).cast(CANDLE_SCHEMA)

    forecast = await answer(tmp_path, "AAAUSD", table)

    assert isinstance(forecast, Forecast)
    assert forecast.model.name == "nhits"
    check_answer(forecast, "24/7")


async def test_one_price_that_is_not_a_number_is_the_upstreams_fault(registry: Registry, tmp_path: Path) -> None:
    closes = list(wavy_closes(700))
    closes[350] = float("nan")

    assert isinstance(await answer(tmp_path, "AAAUSD", ending_now(closes)), BadUpstream)


async def test_hours_without_a_bar_are_told_and_bridged(registry: Registry, tmp_path: Path) -> None:
    table = ending_now(list(wavy_closes(700)))

    forecast = await answer(tmp_path, "AAAUSD", table.take([*range(660), *range(670, 700)]))

    assert isinstance(forecast, Forecast)
    assert forecast.model.name == "nhits"
    check_answer(forecast, "24/7")


async def test_window_of_which_most_is_missing_is_left_to_the_baseline(registry: Registry, tmp_path: Path) -> None:
    table = ending_now(list(wavy_closes(700)))

    forecast = await answer(tmp_path, "AAAUSD", table.take([*range(660), *range(690, 700)]))

    assert isinstance(forecast, Forecast)
    assert forecast.model.name == "ewma"
    assert any("30 of the last 48 bars are missing" in warning for warning in forecast.warnings)
    check_answer(forecast, "24/7")


@pytest.mark.parametrize(("symbol", "calendar"), [("EURUSD", "forex"), ("AAPL", "XNYS")])
async def test_no_forecast_falls_into_a_weekend_or_a_night(
    registry: Registry, tmp_path: Path, symbol: str, calendar: str
) -> None:
    forecast = await answer(tmp_path, symbol, on_calendar(calendar, list(wavy_closes(700))))

    assert isinstance(forecast, Forecast)
    assert forecast.model.name == "nhits"
    check_answer(forecast, calendar)
    assert max(point.time for point in forecast.points) > NOW + timedelta(days=2)


@pytest.mark.parametrize(
    ("symbol", "calendar", "now", "reopens"),
    [
        ("EURUSD", "forex", datetime(2024, 3, 8, 22, 5, tzinfo=UTC), datetime(2024, 3, 10, 21, tzinfo=UTC)),
        ("EURUSD", "forex", datetime(2024, 11, 1, 21, 5, tzinfo=UTC), datetime(2024, 11, 3, 22, tzinfo=UTC)),
        ("AAPL", "XNYS", datetime(2024, 3, 8, 21, 35, tzinfo=UTC), datetime(2024, 3, 11, 13, 30, tzinfo=UTC)),
        ("AAPL", "XNYS", datetime(2024, 11, 27, 22, 5, tzinfo=UTC), datetime(2024, 11, 29, 14, 30, tzinfo=UTC)),
    ],
    ids=["currencies into summer", "currencies out of summer", "stocks into summer", "stocks over a holiday"],
)
async def test_the_first_bar_ahead_is_that_of_the_market_s_own_clock(
    registry: Registry, tmp_path: Path, symbol: str, calendar: str, now: datetime, reopens: datetime
) -> None:
    champion = registry.champions()["1h-h24"]

    forecast = await answer(tmp_path, symbol, on_calendar(calendar, list(wavy_closes(700)), now), now)

    assert isinstance(forecast, Forecast)
    assert forecast.points[0].time == reopens
    assert forecast.model.version == champion
    check_answer(forecast, calendar)


def check_answer(forecast: Forecast, calendar: str) -> None:
    """Check that all numbers are finite, that intervals nest, and that the market is open at every point."""
    times = [point.time for point in forecast.points]
    due = calendar_named(calendar).expected(Interval.H1, times[0], times[-1] + timedelta(hours=1))
    assert {to_numpy(time) for time in times} <= set(due)
    for point in forecast.points:
        bounds = [
            *(point.lower[f"{level:g}"] for level in LEVELS[::-1]),
            point.median,
            *(point.upper[f"{level:g}"] for level in LEVELS),
        ]
        assert np.isfinite(bounds).all()
        assert (np.diff(bounds) >= 0).all()
        assert bounds[0] > 0
