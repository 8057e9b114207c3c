"""The panel, its split by time, and that nothing after a cut is read."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.common.errors import BadUpstream, TooLittleHistory
from deployments.forecasting.series.panel import Panel, origins_in, panel_of, spans_of
from deployments.forecasting.series.windows import windows_at
from deployments.market_data.models import CANDLE_SCHEMA, Interval
from tests.fakes.market_data import candle_table
from tests.fakes.panels import START, wavy_panel

HISTORY, HORIZON = 20, 6


def test_symbols_of_different_length_lie_one_after_the_other_in_order() -> None:
    tables = {
        "BBBUSD": candle_table(START, [1.0, 2.0]),
        "AAAUSD": candle_table(START, [4.0]),
        "CCCUSD": CANDLE_SCHEMA.empty_table(),
    }

    panel = panel_of(tables, Interval.H1)

    assert panel.symbols == ("AAAUSD", "BBBUSD")
    assert panel.offsets.tolist() == [0, 1, 3]
    assert panel.log_closes == pytest.approx(np.log([4.0, 1.0, 2.0]))
    assert panel.data_start == START
    assert panel.data_end == START + timedelta(hours=2)


def test_symbols_trade_by_the_calendars_given_or_by_those_their_names_suggest() -> None:
    tables = {"EURUSD": candle_table(START, [1.0]), "AAPL": candle_table(START, [1.0])}

    panel = panel_of(tables, Interval.H1, {"AAPL": "24/7"})

    assert panel.calendars == ("24/7", "forex")


def test_missing_bars_are_masked_and_no_window_begins_at_one() -> None:
    table = candle_table(START, [float(price) for price in range(1, 101)])
    panel = panel_of({"AAAUSD": table.take([*range(60), *range(63, 100)])}, Interval.H1)

    origins = origins_in(panel, spans_of(panel).train, HISTORY, 2)

    assert panel.bars == 97
    assert len(panel.times) == 100
    assert not panel.known[60:63].any()
    assert {58, 59, 63, 64} <= set(origins.tolist())
    assert not {60, 61, 62} & set(origins.tolist())


def test_positions_know_their_symbol_its_calendar_and_where_it_begins() -> None:
    panel = panel_of({"AAAUSD": candle_table(START, [1.0, 2.0]), "EURUSD": candle_table(START, [4.0])}, Interval.H1)
    positions = np.array([1, 2])

    assert panel.symbols_at(positions).tolist() == ["AAAUSD", "EURUSD"]
    assert panel.calendars_at(positions).tolist() == ["24/7", "forex"]
    assert panel.starts_at(positions).tolist() == [0, 2]


@pytest.mark.parametrize("close", [0.0, -1.0, float("nan"), float("inf")])
def test_a_close_without_a_logarithm_is_refused(close: float) -> None:
    with pytest.raises(BadUpstream, match="AAA"):
        panel_of({"AAA": candle_table(START, [1.0, close])}, Interval.H1)


def test_time_running_back_is_refused() -> None:
    table = candle_table(START, [1.0, 2.0, 3.0]).take([0, 2, 1])

    with pytest.raises(BadUpstream, match="ascend"):
        panel_of({"AAA": table}, Interval.H1)


def test_no_candle_at_all_is_too_little_history() -> None:
    with pytest.raises(TooLittleHistory):
        panel_of({"AAA": CANDLE_SCHEMA.empty_table()}, Interval.H1)


def test_spans_follow_each_other_and_hold_every_bar() -> None:
    panel = wavy_panel(400)

    spans = spans_of(panel)

    ordered = (spans.train, spans.validation, spans.calibration, spans.test)
    assert all(before.end == after.start for before, after in pairwise(ordered))
    held = [int(((panel.times >= span.start) & (panel.times < span.end)).sum()) for span in ordered]
    assert held == [560, 80, 80, 80]


def test_bars_ahead_lie_in_their_span_with_an_embargo_of_one_horizon() -> None:
    panel = wavy_panel(400)
    spans = spans_of(panel)

    for span, embargo in ((spans.train, 0), (spans.validation, HORIZON), (spans.test, HORIZON)):
        origins = origins_in(panel, span, HISTORY, HORIZON)
        first, last = panel.times[origins + 1], panel.times[origins + HORIZON]
        assert len(origins)
        assert (first >= span.start + np.timedelta64(embargo, "h")).all()
        assert (last < span.end).all()


def test_windows_never_reach_into_another_symbol() -> None:
    panel = wavy_panel(60, ("AAAUSD", "BBBUSD", "CCCUSD"))
    spans = spans_of(panel)
    symbol_of = np.repeat(np.arange(3), 60)

    for span in (spans.train, spans.validation, spans.calibration, spans.test):
        origins = origins_in(panel, span, HISTORY, 2)
        assert (symbol_of[origins - HISTORY + 1] == symbol_of[origins + 2]).all()


def test_the_fingerprint_changes_with_one_close() -> None:
    panel = wavy_panel(50)
    changed = panel.log_closes.copy()
    changed[7] += 1e-12

    assert panel.fingerprint == wavy_panel(50).fingerprint
    assert panel.fingerprint != _with(panel, changed).fingerprint
    assert panel.fingerprint != replace(panel, variances=panel.variances * 2).fingerprint


@given(st.integers(0, 2**32 - 1), st.sampled_from(["train", "validation", "calibration"]))
@settings(max_examples=30, deadline=None)
def test_changing_what_came_later_changes_no_window_of_a_span(seed: int, name: str) -> None:
    panel = wavy_panel(300)
    span = getattr(spans_of(panel), name)
    later = panel.times >= span.end
    noise = np.random.default_rng(seed).normal(0.0, 1.0, len(later))
    changed = replace(
        panel,
        log_closes=np.where(later, noise, panel.log_closes),
        variances=np.where(later, noise**2, panel.variances),
        known=panel.known & ~(later & (noise > 0)),
    )

    assert spans_of(changed) == spans_of(panel)
    origins = origins_in(changed, span, HISTORY, HORIZON)
    before, after = (windows_at(each, origins, HISTORY, HORIZON) for each in (panel, changed))
    for part in ("log_closes", "variances", "known", "hours", "coming"):
        np.testing.assert_array_equal(getattr(before.past, part), getattr(after.past, part))
    np.testing.assert_array_equal(before.future, after.future)
    np.testing.assert_array_equal(before.future_variances, after.future_variances)


def _with(panel: Panel, log_closes: np.ndarray) -> Panel:
    return replace(panel, log_closes=log_closes)
