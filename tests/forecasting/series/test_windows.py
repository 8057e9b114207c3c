"""Windows: cut by hand and by gather, masked before a symbol's first bar, spread evenly."""

import numpy as np

from deployments.forecasting.series.windows import moves_of, spread, windows_at
from tests.fakes.panels import wavy_panel


def test_a_window_holds_the_bars_up_to_its_origin_and_those_after_it() -> None:
    panel = wavy_panel(40)

    windows = windows_at(panel, np.array([9, 50]), 4, 2)

    assert len(windows) == 2
    np.testing.assert_array_equal(windows.history[0], panel.log_closes[6:10])
    np.testing.assert_array_equal(windows.past.variances[0], panel.variances[6:10])
    np.testing.assert_array_equal(windows.past.hours[0], panel.hours[6:10])
    np.testing.assert_array_equal(windows.past.coming[0], panel.hours[10:12])
    np.testing.assert_array_equal(windows.future[1], panel.log_closes[51:53])
    np.testing.assert_array_equal(windows.future_variances[1], panel.variances[51:53])
    np.testing.assert_allclose(windows.moves[0], panel.log_closes[10:12] - panel.log_closes[9])


def test_bars_before_a_symbols_first_are_masked_not_another_symbols() -> None:
    panel = wavy_panel(40)

    past = windows_at(panel, np.array([42]), 6, 2).past

    assert past.known[0].tolist() == [False, False, False, True, True, True]
    np.testing.assert_array_equal(past.log_closes[0, :3], panel.log_closes[40])
    np.testing.assert_array_equal(past.variances[0, :3], 0.0)


def test_a_slice_of_a_past_holds_the_same_rows_of_all_its_parts() -> None:
    past = windows_at(wavy_panel(60), np.array([20, 30, 80]), 8, 3).past

    part = past[1:3]

    assert len(part) == 2
    for name in ("log_closes", "variances", "known", "hours", "coming", "calendars"):
        np.testing.assert_array_equal(getattr(part, name), getattr(past, name)[1:3])


def test_spread_origins_reach_from_the_first_to_the_last() -> None:
    origins = np.arange(1_000)

    few = spread(origins, 11)

    assert (few[0], few[-1], len(few)) == (0, 999, 11)
    assert len(spread(origins, 5_000)) == 1_000


def test_a_move_has_a_bar_at_both_of_its_ends() -> None:
    closes = np.array([[1.0, 2.0, 2.0, 5.0, 6.0]])

    moves = moves_of(closes, np.array([[True, True, False, True, True]]))

    assert moves.came is not None
    assert moves.came.tolist() == [[1, 0, 0, 1]]
    assert moves.values.tolist() == [[1, 0, 0, 1]]
    newest = moves.newest(2)
    assert newest.came is not None
    assert (newest.values.tolist(), newest.came.tolist()) == ([[0, 1]], [[0, 1]])


def test_where_every_bar_came_no_move_is_masked() -> None:
    past = windows_at(wavy_panel(40), np.array([20, 30]), 8, 3).past

    assert past.moves.came is None
    np.testing.assert_array_equal(past.moves.values, np.diff(past.log_closes, axis=1))
