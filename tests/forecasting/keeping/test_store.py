"""The forecasts table: every forecast once, newest first, exactly as issued."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import lance
import numpy as np
import pyarrow as pa
import pytest

from deployments.forecasting.issued import IssuedForecast
from deployments.forecasting.judging.resolving import ResolvedForecast
from deployments.forecasting.keeping import lance_table
from deployments.forecasting.keeping.resolved_store import ResolvedStore
from deployments.forecasting.keeping.store import FORECAST_SCHEMA, ForecastStore
from deployments.forecasting.models import Fallback, FallbackCause
from deployments.market_data.models import Interval
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


def test_one_series_alone_is_told_as_far_back_as_asked_for(store: ForecastStore) -> None:
    for horizon in (3, 6):
        store.append([issued_forecast("BTCUSD", START + timedelta(hours=hour), horizon) for hour in range(4)])
    for found in (store.newest("BTCUSD", 4, horizon=3), store.newest("BTCUSD", 4, interval=Interval.H1, horizon=3)):
        assert [(one.forecast.horizon, one.last_time.hour) for one in found] == [(3, 3), (3, 2), (3, 1), (3, 0)]
    assert store.newest("BTCUSD", 4, interval=Interval.H4) == ()


def test_why_the_baseline_answered_is_kept_with_the_forecast(store: ForecastStore) -> None:
    [one] = series("BTCUSD", 1)
    why = Fallback(FallbackCause.LOST_LIVE, "it lost")
    store.append([replace(one, forecast=replace(one.forecast, fallback=why))])
    [same] = store.newest("BTCUSD")
    assert same.forecast.fallback == why


def test_those_whose_last_bar_has_not_opened_are_left_out(store: ForecastStore) -> None:
    store.append(series("BTCUSD", 5))
    ended = START + timedelta(hours=4, minutes=30)
    assert [one.last_time.hour for one in store.newest("BTCUSD", ended=ended)] == [1, 0]


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


def together(*tasks: Callable[[Barrier], int]) -> list[int]:
    """Run tasks side by side; when one fails the others fail too instead of waiting for it at the barrier."""
    ready = Barrier(len(tasks), timeout=60)

    def run(task: Callable[[Barrier], int]) -> int:
        try:
            return task(ready)
        except BaseException:
            ready.abort()
            raise

    with ThreadPoolExecutor(len(tasks)) as threads:
        return list(threads.map(run, tasks))


def test_two_replicas_that_store_the_same_at_once_store_it_once(tmp_path: Path) -> None:
    forecasts = series("BTCUSD", 10)

    def replica(ready: Barrier) -> int:
        own, new = ForecastStore(tmp_path / "home" / "forecasts.lance"), 0
        for one in forecasts:
            ready.wait()
            new += own.append([one])
        return new

    assert sum(together(replica, replica)) == len(forecasts)
    assert len(ForecastStore(tmp_path / "home" / "forecasts.lance").newest()) == len(forecasts)


@pytest.mark.parametrize("attempt", range(10))
def test_first_forecasts_of_replicas_that_start_together_are_all_kept(tmp_path: Path, attempt: int) -> None:
    def starting(symbol: str) -> Callable[[Barrier], int]:
        def replica(ready: Barrier) -> int:
            ready.wait()
            return ForecastStore(tmp_path / "forecasts.lance").append(series(symbol, 1))

        return replica

    symbols = ("ADAUSD", "BTCUSD", "ETHUSD", "XRPUSD")
    assert together(*map(starting, symbols)) == [1, 1, 1, 1]
    assert {one.forecast.symbol for one in ForecastStore(tmp_path / "forecasts.lance").newest()} == set(symbols)
    assert [path.name for path in tmp_path.iterdir()] == ["forecasts.lance"]


def test_table_of_an_older_release_is_widened_by_replicas_that_start_together(tmp_path: Path) -> None:
    older = pa.schema([pa.field("key", pa.string(), nullable=False), *list(FORECAST_SCHEMA)[1:-1]])
    lance.write_dataset(older.empty_table(), str(tmp_path / "forecasts.lance"))

    def replica(ready: Barrier) -> int:
        ready.wait()
        return ForecastStore(tmp_path / "forecasts.lance").append(series("BTCUSD", 3))

    assert sum(together(replica, replica, replica)) == 3


def test_replicas_that_compact_together_have_stored_what_they_were_given(tmp_path: Path) -> None:
    rounds = range(2 * lance_table.COMPACT_EVERY)

    def storing(symbol: str) -> Callable[[Barrier], int]:
        def replica(ready: Barrier) -> int:
            own, new = ForecastStore(tmp_path / "forecasts.lance"), 0
            for hour in rounds:
                ready.wait()
                new += own.append([issued_forecast(symbol, START + timedelta(hours=hour))])
            return new

        return replica

    assert together(storing("BTCUSD"), storing("ETHUSD")) == [len(rounds), len(rounds)]


def test_table_of_an_older_release_is_told_what_its_rows_are_known_by(tmp_path: Path) -> None:
    unmarked = pa.schema([pa.field("key", pa.string(), nullable=False), *list(FORECAST_SCHEMA)[1:]])
    older = lance_table.LanceTable(tmp_path / "forecasts.lance", unmarked)
    lance.write_dataset(unmarked.empty_table(), str(tmp_path / "forecasts.lance"))
    assert older.dataset().schema.field("key").metadata == lance_table.KEY.metadata


def test_compaction_keeps_every_forecast(store: ForecastStore) -> None:
    forecasts = series("BTCUSD", lance_table.COMPACT_EVERY + 1)
    for one in forecasts:
        store.append([one])
    assert [one.key for one in reversed(store.newest())] == [one.key for one in forecasts]


def test_forecast_without_a_trained_model_has_none_of_its_fields(store: ForecastStore) -> None:
    one = issued_forecast("BTCUSD", START)
    store.append([replace(one, scale=0.0)])
    [same] = store.newest()
    assert same.forecast.model.version is None
    assert same.forecast.model.trained_at is None


def test_open_forecasts_are_listed_and_read_by_key(store: ForecastStore) -> None:
    forecasts = series("BTCUSD", 3)
    store.append(forecasts)
    table = store.keys(forecasts[1].forecast.issued_at)
    assert table["key"].to_pylist() == [one.key for one in forecasts[1:]]
    assert table.column_names == ["key", "interval", "horizon", "last_time"]
    assert {one.key for one in store.with_keys([forecasts[0].key, "it's nothing"])} == {forecasts[0].key}
    assert store.with_keys([]) == ()


def test_old_forecasts_are_forgotten(store: ForecastStore) -> None:
    forecasts = series("BTCUSD", 3)
    store.append(forecasts)
    store.forget(forecasts[2].forecast.issued_at)
    assert [one.key for one in store.newest()] == [forecasts[2].key]


def test_what_the_model_had_said_is_kept_where_it_was_changed(store: ForecastStore) -> None:
    one = issued_forecast("BTCUSD", START)
    changed = replace(issued_forecast("ETHUSD", START), raw=one.quantiles * 2)
    store.append([one, changed])
    [plain], [corrected] = store.newest("BTCUSD"), store.newest("ETHUSD")
    assert plain.raw is None
    assert np.array_equal(plain.model_quantiles, one.quantiles)
    assert np.array_equal(corrected.model_quantiles, one.quantiles * 2)


def test_table_of_an_older_release_is_widened(tmp_path: Path) -> None:
    path = tmp_path / "forecasts.lance"
    narrow = pa.schema([field for field in FORECAST_SCHEMA if field.name != "raw"])
    lance_table.LanceTable(path, narrow).dataset()
    store = ForecastStore(path)
    store.append(series("BTCUSD", 2))
    assert len(store.newest()) == 2


def outcome(hour: int, version: str = "v1", actual: bool = True, symbol: str = "BTCUSD") -> ResolvedForecast:
    issued = issued_forecast(symbol, START + timedelta(hours=hour), version=version)
    return ResolvedForecast(issued, np.array([4.0, 4.1, 4.2]) if actual else None, hour / 10 if actual else None, 0.5)


def test_outcomes_of_a_version_come_in_order_without_what_was_lost(tmp_path: Path) -> None:
    resolved = ResolvedStore(tmp_path / "resolved.lance")
    found = [outcome(2), outcome(1), outcome(0), outcome(3, actual=False), outcome(1, version="v2")]
    assert resolved.append(found) == 5
    assert resolved.append(found) == 0
    outcomes = resolved.outcomes("v1", 3, START + timedelta(hours=1))
    assert outcomes.pinball.tolist() == [0.1, 0.2]
    assert outcomes.actual.tolist() == [[4.0, 4.1, 4.2]] * 2
    assert np.array_equal(outcomes.raw[0], found[1].issued.quantiles)
    assert outcomes.origins.tolist() == [(START + timedelta(hours=hour)).replace(tzinfo=None) for hour in (1, 2)]
    assert len(resolved.outcomes("v1", 6, START)) == 0


def test_losses_are_those_of_the_outcomes_and_of_too_many_the_same_few(tmp_path: Path) -> None:
    resolved = ResolvedStore(tmp_path / "resolved.lance")
    resolved.append([outcome(hour, symbol=symbol) for hour in range(20) for symbol in ("BTCUSD", "ETHUSD")])
    resolved.append([outcome(30, actual=False), outcome(1, version="v2")])
    outcomes, (own, baseline) = resolved.outcomes("v1", 3, START), resolved.losses("v1", 3, START)
    assert own.symbols is not None
    assert np.array_equal(own.origins, outcomes.origins)
    assert np.array_equal(own.symbols, outcomes.symbols)
    assert np.array_equal(own.losses, outcomes.pinball)
    assert np.array_equal(baseline.losses, outcomes.baseline_pinball)
    late, early = START + timedelta(hours=15), START + timedelta(hours=5)
    further, _ = resolved.losses("v1", 3, late, {"ETHUSD": early, "BTCUSD": late, "X' OR 1": early})
    assert further.symbols is not None
    assert np.unique(further.symbols, return_counts=True)[1].tolist() == [5, 15]
    few, again = (resolved.losses("v1", 3, START, most=10)[0] for _ in range(2))
    assert len(few.losses) == 10
    assert np.array_equal(few.losses, again.losses)
    assert len(resolved.losses("v3", 3, START)[0].losses) == 0


def test_keys_of_outcomes_are_known_and_forgotten(tmp_path: Path) -> None:
    resolved = ResolvedStore(tmp_path / "resolved.lance")
    resolved.append([outcome(0), outcome(5, actual=False)])
    assert resolved.keys(START) == {outcome(0).issued.key, outcome(5).issued.key}
    resolved.forget(START + timedelta(hours=1))
    assert resolved.keys(START) == {outcome(5).issued.key}


def test_of_too_many_outcomes_the_same_few_are_told_every_time(tmp_path: Path) -> None:
    resolved = ResolvedStore(tmp_path / "resolved.lance")
    resolved.append([outcome(hour) for hour in range(40)])
    few, again = (resolved.outcomes("v1", 3, START, most=10) for _ in range(2))
    assert len(few) == 10
    assert np.array_equal(few.origins, again.origins)
    assert (np.diff(few.origins) > np.timedelta64(0)).all()
    assert np.allclose(few.pinball, (few.origins - few.origins.min()) / np.timedelta64(10, "h") + few.pinball[0])
    assert len(resolved.outcomes("v1", 3, START, most=40)) == 40
