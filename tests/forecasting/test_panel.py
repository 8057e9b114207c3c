"""The panel, its split by time, and that nothing after a cut is read."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.common.errors import BadUpstream, TooLittleHistory
from deployments.forecasting.panel import Panel, closes_on_grid, origins_in, panel_of, spans_of
from deployments.forecasting.windows import windows_at
from deployments.market_data.models import CANDLE_SCHEMA, Interval
from tests.fakes.market_data import candle_table
from tests.fakes.panels import START, wavy_panel

HISTORY, HORIZON = 20, 6


def test_symbols_of_different_length_lie_one_after_the_other_in_order() -> None:
    tables = {"B": candle_table(START, [1.0, 2.0]), "A": candle_table(START, [4.0]), "C": CANDLE_SCHEMA.empty_table()}

    panel = panel_of(tables, Interval.H1)

    assert panel.symbols == ("A", "B")
    assert panel.offsets.tolist() == [0, 1, 3]
    assert panel.log_closes == pytest.approx(np.log([4.0, 1.0, 2.0]))
    assert panel.data_start == START
    assert panel.data_end == START + timedelta(hours=2)


def test_a_weekend_is_no_hole_in_the_grid() -> None:
    friday, monday = datetime(2024, 1, 5, 21, tzinfo=UTC), datetime(2024, 1, 8, tzinfo=UTC)
    table = pa.concat_tables([candle_table(friday, [1.0]), candle_table(monday, [2.0])])

    times, log_closes = closes_on_grid(table)

    assert len(times) == len(log_closes) == 2
    assert times.dtype == np.dtype("datetime64[us]")


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
    panel = wavy_panel(60, ("A", "B", "C"))
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


@given(st.integers(0, 2**32 - 1), st.sampled_from(["train", "validation", "calibration"]))
@settings(max_examples=30, deadline=None)
def test_changing_what_came_later_changes_no_window_of_a_span(seed: int, name: str) -> None:
    panel = wavy_panel(300)
    span = getattr(spans_of(panel), name)
    later = panel.times >= span.end
    noise = np.random.default_rng(seed).normal(0.0, 1.0, len(later))
    changed = _with(panel, np.where(later, noise, panel.log_closes))

    assert spans_of(changed) == spans_of(panel)
    origins = origins_in(panel, span, HISTORY, HORIZON)
    before, after = (windows_at(each, origins, HISTORY, HORIZON) for each in (panel, changed))
    np.testing.assert_array_equal(before.history, after.history)
    np.testing.assert_array_equal(before.future, after.future)


def _with(panel: Panel, log_closes: np.ndarray) -> Panel:
    return Panel(panel.symbols, panel.interval, log_closes, panel.times, panel.offsets)
