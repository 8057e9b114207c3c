"""From a panel to a judged model, and that what came after a span changes nothing before it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deployments.common.errors import TooLittleHistory
from deployments.forecasting.judging.gate import judge
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.recipe import measured
from deployments.forecasting.quantiles import MEDIAN, QUANTILES
from deployments.forecasting.series.panel import MIN_WINDOWS, Panel, panel_of, spans_of
from deployments.forecasting.series.scale import HISTORY_BARS
from deployments.forecasting.series.windows import windows_at
from deployments.forecasting.training.fitting import (
    contest,
    fit,
    material_of,
    origins_of,
    scored_origins,
    seasonal_in,
)
from deployments.forecasting.training.loop import TrainingConfig
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.models import CANDLE_SCHEMA, Interval
from tests.fakes.market_data import candle_table
from tests.fakes.panels import START, wavy_panel, wavy_tables

SHAPE = NetworkConfig(input_size=24, horizon=6, width=16)
CONFIG = TrainingConfig(max_steps=8, members=2, batch=64, check_every=4)


def test_a_fitted_model_is_scored_beside_baseline_and_champion_on_the_same_windows() -> None:
    panel = wavy_panel(2_000)

    model = fit(panel, SHAPE, CONFIG).predictor()
    outcome = contest(panel, model, SHAPE, champion=model)

    assert outcome.candidate == outcome.champion
    assert outcome.candidate.n == outcome.baseline.n > 300
    assert outcome.candidate.pinball < 1.02 * outcome.baseline.pinball
    assert judge(outcome.candidate, outcome.baseline).verdict == "promote"
    assert judge(outcome.candidate, outcome.baseline, outcome.champion).verdict == "keep"


def test_seasonal_forecast_repeats_each_symbols_own_day() -> None:
    symbols, calendars, bars = ("BTCUSD", "AAPL"), {"BTCUSD": "24/7", "AAPL": "XNYS"}, 400
    tables = {}
    for symbol in symbols:
        due = calendar_named(calendars[symbol]).next_bars(Interval.H1, START, bars)
        rising = candle_table(START, [100.0 + bar for bar in range(bars)])
        tables[symbol] = rising.set_column(0, "time", pa.array(due, CANDLE_SCHEMA.field("time").type))
    panel = panel_of(tables, Interval.H1, calendars)
    origins = panel.offsets[1:] - 40

    medians = np.exp(seasonal_in(panel, origins, 30)[:, :, MEDIAN])

    for place, origin in enumerate(origins):
        season = 7 if panel.symbols_at(origins)[place] == "AAPL" else 24
        last = np.exp(panel.log_closes[origin + 1 - season : origin + 1])
        assert medians[place] == pytest.approx(np.resize(last, 30))


def test_day_of_minutes_is_repeated_though_a_model_reads_less() -> None:
    minutes = 2 * 1_440 + 40
    closes = [100.0 + minute % 1_440 for minute in range(minutes)]
    panel = panel_of({"BTCUSD": candle_table(START, closes, Interval.M1)}, Interval.M1)

    quantiles = seasonal_in(panel, np.array([minutes - 31]), 30)

    assert np.exp(quantiles[0, :, MEDIAN]) == pytest.approx(closes[-30:])
    assert np.ptp(quantiles) < 1e-3 + np.ptp(np.log(closes[-30:]))


def test_the_configuration_says_how_the_model_was_made() -> None:
    panel = wavy_panel(1_500)

    config = fit(panel, SHAPE, CONFIG).config

    assert config["data_sha256"] == panel.fingerprint
    assert config["training"]["seed"] == 1
    assert NetworkConfig.from_dict(config["network"]) == SHAPE


def test_bars_of_the_test_span_change_nothing_of_the_model() -> None:
    panel = wavy_panel(1_500)
    later = panel.times >= spans_of(panel).test.start
    noise = np.random.default_rng(1).normal(0, 1, len(later))
    changed = replace(
        panel,
        log_closes=np.where(later, noise, panel.log_closes),
        variances=np.where(later, noise**2, panel.variances),
    )

    first, second = fit(panel, SHAPE, CONFIG), fit(changed, SHAPE, CONFIG)

    assert all((first.tensors[name] == second.tensors[name]).all() for name in first.tensors)


def holed_panel(bars: int, share: float) -> Panel:
    """Return a panel of which a share of the bars never came, here and there."""
    random = np.random.default_rng(0)
    tables = wavy_tables(bars, ("AAAUSD", "BBBUSD", "CCCUSD", "DDDUSD"))
    return panel_of(
        {symbol: rows.filter(pa.array(random.random(bars) >= share)) for symbol, rows in tables.items()}, Interval.H1
    )


def test_bars_that_never_came_narrow_no_interval() -> None:
    panel = holed_panel(6_000, 0.18)

    prior = material_of(panel, SHAPE).prior

    origins = origins_of(panel, spans_of(panel).test, SHAPE)
    windows = windows_at(panel, origins, HISTORY_BARS, SHAPE.horizon)
    scale = prior.fit.scales(measured(windows.past, prior.seasons, SHAPE.horizon))
    within = np.abs(windows.moves) <= scale * prior.levels[:, QUANTILES.index(0.9)]
    assert within[:, 0][windows.came[:, 0]].mean() == pytest.approx(0.8, abs=0.035)


def test_only_windows_whose_bars_all_came_are_scored_while_there_are_enough() -> None:
    panel = holed_panel(2_000, 0.1)
    test = spans_of(panel).test

    origins = scored_origins(panel, test, SHAPE)
    longer = scored_origins(panel, test, replace(SHAPE, horizon=60))

    assert len(origins) >= MIN_WINDOWS
    assert panel.known[origins[:, None] + np.arange(1, SHAPE.horizon + 1)].all()
    assert not panel.known[longer[:, None] + np.arange(1, 61)].all(axis=1).any()
    assert len(longer) > MIN_WINDOWS


def test_the_newest_bars_before_the_test_span_move_what_volatility_says_and_nothing_that_was_learnt() -> None:
    panel = wavy_panel(1_500)
    spans = spans_of(panel)
    newest = (panel.times >= spans.calibration.start) & (panel.times < spans.calibration.end)
    wilder = replace(panel, variances=np.where(newest, 9.0, 1.0) * panel.variances)

    first, second = fit(panel, SHAPE, CONFIG).tensors, fit(wilder, SHAPE, CONFIG).tensors

    assert not np.array_equal(first["scale.weights"], second["scale.weights"])
    learnt = [name for name in first if name.startswith(("network.", "scale.centre", "scale.spread", "prior."))]
    assert all(np.array_equal(first[name], second[name]) for name in learnt)


def test_too_little_data_says_how_much_there_is() -> None:
    with pytest.raises(TooLittleHistory, match="700 bars of 1 symbols") as caught:
        material_of(wavy_panel(700, ("AAAUSD",)), SHAPE)

    assert caught.value.need > caught.value.have == 700


@pytest.mark.slow
@pytest.mark.parametrize("file", ["crypto_1h", "forex_1h", "stocks_1h"])
def test_real_candles_are_forecast_no_worse_than_the_baseline(shared_data: "object", file: str) -> None:
    frame = pd.read_parquet(f"{shared_data}/{file}.parquet")
    tables = {
        str(symbol): pa.Table.from_pandas(rows[CANDLE_SCHEMA.names], schema=CANDLE_SCHEMA, preserve_index=False)
        for symbol, rows in frame.groupby("symbol")
    }
    panel, shape = panel_of(tables, Interval.H1), NetworkConfig()

    outcome = contest(panel, fit(panel, shape, TrainingConfig()).predictor(), shape)

    assert outcome.candidate.pinball <= 1.01 * outcome.baseline.pinball
    assert outcome.candidate.coverage80 == pytest.approx(0.80, abs=0.05)
    assert outcome.candidate.coverage90 == pytest.approx(0.90, abs=0.04)
