"""Windows: cut by hand and by gather, drawn by seed, spread evenly."""

import numpy as np

from deployments.forecasting.windows import drawn, spread, windows_at
from tests.fakes.panels import wavy_panel


def test_a_window_holds_the_bars_up_to_its_origin_and_those_after_it() -> None:
    panel = wavy_panel(40)

    windows = windows_at(panel, np.array([9, 50]), 4, 2)

    assert len(windows) == 2
    np.testing.assert_array_equal(windows.history[0], panel.log_closes[6:10])
    np.testing.assert_array_equal(windows.future[1], panel.log_closes[51:53])
    np.testing.assert_allclose(windows.moves[0], panel.log_closes[10:12] - panel.log_closes[9])


def test_the_same_seed_draws_the_same_origins() -> None:
    origins = np.arange(100, 200)

    first, second = (drawn(origins, 50, np.random.default_rng(4)) for _ in range(2))

    np.testing.assert_array_equal(first, second)
    assert set(first) <= set(origins)


def test_spread_origins_reach_from_the_first_to_the_last() -> None:
    origins = np.arange(1_000)

    few = spread(origins, 11)

    assert (few[0], few[-1], len(few)) == (0, 999, 11)
    assert len(spread(origins, 5_000)) == 1_000
