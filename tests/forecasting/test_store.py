"""The forecasts table: every forecast once, newest first, exactly as issued."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from deployments.forecasting import store as store_module
from deployments.forecasting.issued import IssuedForecast
from deployments.forecasting.store import ForecastStore
from tests.fakes.forecasting import issued_forecast

START = datetime(2024, 4, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> ForecastStore:
    return ForecastStore(tmp_path / "home" / "forecasts.lance")


def series(symbol: str, hours: int) -> list[IssuedForecast]:
    return [issued_forecast(symbol, START + timedelta(hours=hour)) for hour in range(hours)]


def test_stored_forecast_is_read_back_as_issued(store: ForecastStore) -> None:
    one = issued_forecast("BTCUSD", START, version="20240301T120000Z-aaaaaa", warnings=("the data are old",))
    assert store.append([one]) == 1
    [same] = store.newest("BTCUSD")
    assert same.forecast == one.forecast
    assert (same.key, same.last_time, same.last_close, same.scale) == (one.key, START, one.last_close, one.scale)
    assert np.array_equal(same.quantiles, one.quantiles)
    assert np.array_equal(same.baseline, one.baseline)


def test_same_forecast_is_stored_once(store: ForecastStore) -> None:
    forecasts = series("BTCUSD", 3)
    assert store.append(forecasts[:2]) == 2
    assert store.append([*forecasts, forecasts[2]]) == 1
    assert len(store.newest("BTCUSD")) == 3


def test_other_model_on_the_same_candle_is_another_forecast(store: ForecastStore) -> None:
    store.append([issued_forecast("BTCUSD", START), issued_forecast("BTCUSD", START, version="v")])
    assert len(store.newest("BTCUSD")) == 2


def test_newest_come_first_and_symbols_stay_apart(store: ForecastStore) -> None:
    store.append([*series("BTCUSD", 5), *series("ETHUSD", 5)])
    assert [one.last_time.hour for one in store.newest("BTCUSD", limit=3)] == [4, 3, 2]
    assert {one.forecast.symbol for one in store.newest()} == {"BTCUSD", "ETHUSD"}


def test_since_bounds_the_time_of_issue(store: ForecastStore) -> None:
    store.append(series("BTCUSD", 5))
    cut = store.newest("BTCUSD")[1].forecast.issued_at
    assert [one.last_time.hour for one in store.newest("BTCUSD", since=cut)] == [4, 3]


def test_symbol_with_a_quote_finds_nothing_and_breaks_nothing(store: ForecastStore) -> None:
    store.append(series("BTCUSD", 1))
    assert store.newest("X' OR symbol != '") == ()


def test_empty_store_has_nothing(store: ForecastStore) -> None:
    assert store.newest() == ()
    assert store.append([]) == 0


def test_two_stores_on_one_table_agree(store: ForecastStore, tmp_path: Path) -> None:
    other = ForecastStore(tmp_path / "home" / "forecasts.lance")
    forecasts = series("BTCUSD", 2)
    store.append(forecasts[:1])
    assert other.append(forecasts) == 1
    assert len(store.newest()) == 2


def test_compaction_keeps_every_forecast(store: ForecastStore) -> None:
    forecasts = series("BTCUSD", store_module.COMPACT_EVERY + 1)
    for one in forecasts:
        store.append([one])
    assert [one.key for one in reversed(store.newest())] == [one.key for one in forecasts]


def test_forecast_without_a_trained_model_has_none_of_its_fields(store: ForecastStore) -> None:
    one = issued_forecast("BTCUSD", START)
    store.append([replace(one, scale=0.0)])
    [same] = store.newest()
    assert same.forecast.model.version is None
    assert same.forecast.model.trained_at is None
