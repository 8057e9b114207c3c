"""The demo market's paths: deterministic, and shaped like real ones."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from deployments.local_stack.demo_bars import INTERVALS, Bars, DemoHistory
from deployments.local_stack.demo_generator import EPOCH, AutoRegression
from deployments.local_stack.demo_symbols import SYMBOLS
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import to_numpy
from deployments.market_data.models import Category, Interval

NOW = EPOCH + timedelta(weeks=20, days=2, hours=15, minutes=32)
START = NOW - timedelta(days=100)


@pytest.fixture(scope="module")
def history() -> DemoHistory:
    return DemoHistory(seed=7, days=120, now=NOW)


def hourly(history: DemoHistory, name: str) -> Bars:
    return history.bars(name, Interval.H1, START, NOW, NOW)


def columns_equal(one: Bars, other: Bars) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Bars.__slots__)


def test_a_restart_later_and_with_other_days_tells_the_same_history(history: DemoHistory) -> None:
    later = NOW + timedelta(days=9)
    restarted = DemoHistory(seed=7, days=200, now=later)
    end = NOW - timedelta(hours=1)
    for symbol in SYMBOLS:
        before = history.bars(symbol.name, Interval.H1, START, end, NOW)
        assert columns_equal(before, restarted.bars(symbol.name, Interval.H1, START, end, later))


def test_another_seed_tells_another_history(history: DemoHistory) -> None:
    other = DemoHistory(seed=8, days=120, now=NOW)
    assert not columns_equal(hourly(history, "BTCUSD"), hourly(other, "BTCUSD"))


def test_a_symbol_does_not_depend_on_the_others_listed(history: DemoHistory) -> None:
    alone = DemoHistory(seed=7, days=120, now=NOW, symbols=SYMBOLS[1:2])
    assert columns_equal(hourly(history, "ETHUSD"), hourly(alone, "ETHUSD"))


def test_all_three_kinds_of_market_are_listed() -> None:
    assert {symbol.draft.category for symbol in SYMBOLS} >= {Category.CRYPTO, Category.FOREX, Category.STOCK}


@pytest.mark.parametrize("name", [symbol.name for symbol in SYMBOLS])
@pytest.mark.parametrize("interval", INTERVALS)
def test_bars_are_possible_and_follow_the_calendar(history: DemoHistory, name: str, interval: Interval) -> None:
    bars = history.bars(name, interval, START, NOW, NOW)
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.low > 0).all()
    assert (bars.volume > 0).all()
    expected = calendar_named(history.symbols[name].draft.calendar).expected(interval, START, NOW)
    missing = set(expected.tolist()) - set(bars.time.tolist())
    # The newest bar may not have begun to trade yet: a day opens at midnight, its session later.
    assert missing <= {expected[-1].item()}
    assert set(bars.time.tolist()) <= set(expected.tolist())


def test_coarse_bars_are_made_of_fine_ones(history: DemoHistory) -> None:
    day = datetime(2024, 5, 14, tzinfo=UTC)
    fine = history.bars("ETHUSD", Interval.M5, day, day + timedelta(hours=1), NOW)
    coarse = history.bars("ETHUSD", Interval.H1, day, day + timedelta(hours=1), NOW)
    assert len(fine.time) == 12
    assert coarse.open.tolist() == [fine.open[0]]
    assert coarse.close.tolist() == [fine.close[-1]]
    assert coarse.high.tolist() == [fine.high.max()]
    assert coarse.low.tolist() == [fine.low.min()]
    assert coarse.volume[0] == pytest.approx(fine.volume.sum(), abs=0.01)


def test_the_forming_bar_grows_with_the_clock_and_closed_bars_stay() -> None:
    history = DemoHistory(seed=7, days=30, now=NOW)
    tellings = [
        history.bars("BTCUSD", Interval.H1, NOW - timedelta(days=1), NOW, NOW + timedelta(minutes=minutes))
        for minutes in (0, 1, 9, 40)
    ]
    assert all(one.time[-1] == to_numpy(NOW.replace(minute=0)) for one in tellings)
    assert np.all(np.diff([one.volume[-1] for one in tellings]) > 0)
    assert np.all(np.diff([one.high[-1] for one in tellings]) >= 0)
    assert len({tuple(one.close[:-1].tolist()) for one in tellings}) == 1


def test_nothing_after_now_is_told(history: DemoHistory) -> None:
    bars = history.bars("BTCUSD", Interval.M5, NOW - timedelta(hours=1), NOW + timedelta(days=3), NOW)
    assert bars.time[-1] <= to_numpy(NOW)


def test_the_clock_moving_into_the_next_week_brings_new_bars() -> None:
    history = DemoHistory(seed=7, days=30, now=NOW)
    later = NOW + timedelta(days=8)
    assert history.bars("BTCUSD", Interval.H1, later - timedelta(hours=3), later, later).time[-1] > to_numpy(NOW)


@pytest.mark.parametrize("name", ["BTCUSD", "EURUSD"])
def test_volatility_clusters_and_has_a_season(history: DemoHistory, name: str) -> None:
    bars = hourly(history, name)
    moves = np.abs(np.diff(np.log(bars.close)))
    assert np.corrcoef(moves[1:], moves[:-1])[0, 1] > 0.15
    hours = bars.time[1:].astype("datetime64[h]").astype(np.int64) % 24
    by_hour = np.array([moves[hours == hour].mean() for hour in range(24)])
    assert by_hour.max() > 1.5 * by_hour.min()


def test_returns_have_fat_tails_but_no_trend_to_follow(history: DemoHistory) -> None:
    moves = np.diff(np.log(hourly(history, "BTCUSD").close))
    assert ((moves - moves.mean()) ** 4).mean() / moves.var() ** 2 > 4
    assert abs(np.corrcoef(moves[1:], moves[:-1])[0, 1]) < 0.1


def test_symbols_of_one_market_move_together(history: DemoHistory) -> None:
    def daily(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.diff(np.log(history.bars(name, Interval.D1, START, NOW - timedelta(days=1), NOW).close))

    assert np.corrcoef(daily("BTCUSD"), daily("ETHUSD"))[0, 1] > 0.4
    assert np.corrcoef(daily("EURUSD"), daily("USDJPY"))[0, 1] < -0.1


def test_volume_rises_with_volatility(history: DemoHistory) -> None:
    bars = hourly(history, "SOLUSD")
    assert np.corrcoef(np.log(bars.high / bars.low), np.log(bars.volume))[0, 1] > 0.5


def test_an_autoregression_goes_on_where_it_stopped() -> None:
    shocks = np.random.default_rng(0).standard_normal((2, 300))
    whole = AutoRegression(2, timedelta(hours=1)).continue_with(shocks)
    parts = AutoRegression(2, timedelta(hours=1))
    joined = np.concatenate([parts.continue_with(shocks[:, :100]), parts.continue_with(shocks[:, 100:])], axis=1)
    np.testing.assert_allclose(joined, whole)
