"""Where a model is set back: what is significant, what is too little, and who serves there."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from deployments.forecasting.judging.evaluation import PairedLosses
from deployments.forecasting.judging.setback import (
    LIVE_ERROR_RATE,
    MIN_OF_ALL,
    MIN_OF_SYMBOL,
    TEST_ERROR_RATE,
    LiveLosses,
    Setback,
    live_setback,
    losing_symbols,
    period_of,
)
from deployments.forecasting.judging.watching import bound, is_worse, spent
from deployments.forecasting.models import Decision, FallbackCause
from deployments.forecasting.registry.setbacks import Setbacks
from deployments.forecasting.serving.shelf import Choice, LoadedModel
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import to_numpy
from deployments.market_data.models import Interval
from tests.fakes.forecasting import TRAINED_AT, FakeModel, model_card, model_tensors

SINCE = datetime(2024, 1, 1, tzinfo=UTC)
HORIZON = 3


def losses(seed: int, hours: int = 400, **worse: float) -> tuple[PairedLosses, PairedLosses]:
    """Return a model's hourly losses of some symbols, `worse` times the baseline's on average, and the baseline's."""
    random = np.random.default_rng(seed)
    symbols = np.tile(np.array(list(worse)), hours)
    origins = np.datetime64("2024-01-01T00", "us") + np.repeat(np.arange(hours), len(worse)) * np.timedelta64(1, "h")
    baseline = 0.01 * np.exp(0.3 * random.normal(size=len(symbols)))
    factor = np.array([worse[symbol] for symbol in symbols]) + 0.2 * random.normal(size=len(symbols))
    return PairedLosses(origins, baseline * factor, symbols), PairedLosses(origins, baseline, symbols)


def live(hours: int, seed: int = 3, **worse: float) -> LiveLosses:
    return LiveLosses(*losses(seed, hours, **worse), Interval.H1, HORIZON)


def until(found: LiveLosses, hour: int) -> LiveLosses:
    """Return what was known of live losses after so many hours."""
    rows = found.own.origins < to_numpy(SINCE + timedelta(hours=hour))
    assert found.own.symbols is not None
    own, baseline = (
        PairedLosses(each.origins[rows], each.losses[rows], found.own.symbols[rows])
        for each in (found.own, found.baseline)
    )
    return replace(found, own=own, baseline=baseline)


def judged(found: LiveLosses, after: timedelta = timedelta(days=29)) -> Setback:
    return live_setback(found, SINCE, SINCE + after)


def test_only_the_symbols_of_a_significant_loss_are_named() -> None:
    own, baseline = losses(1, BTCUSD=0.9, ETHUSD=1.1, LTCUSD=1.0, ADAUSD=1.2)
    assert losing_symbols(own, baseline, HORIZON) == ("ADAUSD", "ETHUSD")


def test_model_as_good_as_the_baseline_is_set_back_no_more_often_than_stated() -> None:
    lost = sum(bool(losing_symbols(*losses(seed, BTCUSD=1.0), HORIZON)) for seed in range(300))
    assert lost <= 300 * TEST_ERROR_RATE + 3 * (300 * TEST_ERROR_RATE * (1 - TEST_ERROR_RATE)) ** 0.5


def test_symbol_with_too_few_forecasts_to_tell_is_left_to_the_model() -> None:
    own, baseline = losses(1, hours=15, BTCUSD=3.0)
    assert losing_symbols(own, baseline, HORIZON) == ()


def test_losses_that_tell_no_symbol_set_nothing_back() -> None:
    own, baseline = losses(1, BTCUSD=2.0)
    assert losing_symbols(PairedLosses(own.origins, own.losses), baseline, HORIZON) == ()


def test_live_loss_on_one_symbol_leaves_the_others_to_the_model() -> None:
    found = judged(live(400, BTCUSD=0.8, ETHUSD=1.15, LTCUSD=0.9))
    assert found == Setback(("ETHUSD",))
    assert found.reason("ETHUSD")
    assert found.reason("BTCUSD") == ""


def test_live_loss_on_the_whole_is_told_of_every_symbol() -> None:
    found = judged(live(MIN_OF_ALL, BTCUSD=1.3))
    assert found.everywhere
    assert found.reason("NEWUSD")


@pytest.mark.parametrize("hours", [0, 1, MIN_OF_SYMBOL - 1])
def test_few_live_forecasts_set_nothing_back(hours: int) -> None:
    assert judged(live(hours, BTCUSD=3.0)) == Setback()


def test_tie_that_is_looked_at_again_and_again_is_hardly_ever_called_lost() -> None:
    runs, lost = 100, 0
    for seed in range(runs):
        tie = live(24 * 90, seed, BTCUSD=1.0)
        looks = (until(tie, hour) for hour in range(24 * 2, 24 * 90, 48))
        lost += any(is_worse(seen.own, seen.baseline, HORIZON, LIVE_ERROR_RATE) for seen in looks)
    assert lost <= runs * LIVE_ERROR_RATE + 3 * (runs * LIVE_ERROR_RATE) ** 0.5


def test_lag_of_a_fifth_is_noticed_within_two_weeks() -> None:
    noticed = sum(judged(live(24 * 14, seed, BTCUSD=1.2)) != Setback() for seed in range(20))
    assert noticed == 20


def test_loss_holds_to_the_end_of_the_next_period_and_ends_then() -> None:
    lost = live(24 * 20, ETHUSD=1.3, BTCUSD=0.9)
    period = period_of(Interval.H1, HORIZON)
    found = [judged(lost, after) for after in (period / 2, 1.5 * period, 2.5 * period)]
    assert found == [Setback(("ETHUSD",)), Setback(("ETHUSD",)), Setback()]


def test_model_that_was_good_for_long_is_set_back_when_it_is_bad_in_a_later_period() -> None:
    good, bad = losses(1, 24 * 90, BTCUSD=0.8), losses(2, 24 * 20, BTCUSD=1.3)
    later = np.timedelta64(90, "D")
    own, baseline = (
        PairedLosses(
            np.concatenate([before.origins, after.origins + later]),
            np.concatenate([before.losses, after.losses]),
            np.full(24 * 110, "BTCUSD"),
        )
        for before, after in zip(good, bad, strict=True)
    )
    assert judged(LiveLosses(own, baseline, Interval.H1, HORIZON), timedelta(days=110)) != Setback()


def test_periods_of_long_bars_hold_as_many_horizons() -> None:
    assert period_of(Interval.H1, 24) == timedelta(days=30)
    assert period_of(Interval.D1, 24) == timedelta(days=720)


@pytest.mark.parametrize(("calendar", "days"), [("24/7", 30), ("forex", 42), ("XNYS", 151)])
def test_periods_hold_as_many_horizons_of_open_market(calendar: str, days: int) -> None:
    assert period_of(Interval.H1, 24, calendar) / timedelta(days=1) == pytest.approx(days, rel=0.005)
    assert period_of(Interval.H1, 3, calendar) == timedelta(days=30)


def stock(days: int, lag: float, seed: int) -> LiveLosses:
    """Return losses of hourly forecasts of 24 steps of a stock, a lag of so many of their standard deviations."""
    opened = calendar_named("XNYS").expected(Interval.H1, SINCE, SINCE + timedelta(days=days))
    noise = np.random.default_rng(seed).normal(size=len(opened) + 23)
    own = np.convolve(noise, np.full(24, 24**-0.5), "valid") + lag
    names = np.full(len(opened), "AAPL")
    return LiveLosses(
        PairedLosses(opened, own, names),
        PairedLosses(opened, np.zeros(len(opened)), names),
        Interval.H1,
        24,
        {"AAPL": period_of(Interval.H1, 24, "XNYS")},
    )


def test_lag_on_a_stock_is_noticed_though_few_of_its_horizons_fit_into_a_month() -> None:
    after = timedelta(days=120)
    whole = [stock(120, 1.25, seed) for seed in range(20)]
    noticed = sum(judged(found, after) != Setback() for found in whole)
    by_the_month = sum(judged(replace(found, periods={}), after) != Setback() for found in whole)
    assert noticed >= 15
    assert by_the_month <= noticed / 2


def test_lost_stock_alone_keeps_nobody_from_another_try_once_the_others_have_been_silent_for_two_periods() -> None:
    after = timedelta(days=120)
    alone = stock(60, 2.0, 1)
    beside_a_coin = replace(alone, periods={**alone.periods, "BTCUSD": period_of(Interval.H1, 24)})
    assert judged(alone, after) == Setback(("AAPL",), everywhere=True)
    assert judged(beside_a_coin, after) == Setback(("AAPL",), everywhere=False)


def test_tie_on_a_stock_is_hardly_ever_called_lost() -> None:
    looks = [timedelta(days=day) for day in range(30, 148, 7)]
    lost = 0
    for seed in range(60):
        tie = stock(148, 0.0, seed)
        lost += any(judged(until(tie, 24 * look.days), look) != Setback() for look in looks)
    assert lost <= 60 * LIVE_ERROR_RATE + 3 * (60 * LIVE_ERROR_RATE) ** 0.5


@given(st.floats(1e-4, 0.1), st.floats(1, 1e4))
def test_bound_is_higher_for_a_smaller_error_rate_and_never_below_that_of_a_single_look(
    error_rate: float, horizons: float
) -> None:
    assert bound(horizons, error_rate) > bound(horizons, 2 * error_rate)
    assert bound(horizons, error_rate) > -ndtri(error_rate)


def test_parts_of_an_error_rate_come_to_no_more_than_the_whole() -> None:
    assert sum(spent(0.01, period) for period in range(10_000)) == pytest.approx(0.01, rel=1e-3)


def model(*lost: str) -> LoadedModel:
    decision = Decision("", "promote", "good enough", TRAINED_AT, lost_symbols=lost)
    card = replace(model_card(), decision=decision)
    return LoadedModel(card, FakeModel(model_tensors(), card.config))


def test_symbol_lost_on_the_test_span_is_served_by_the_baseline_and_the_reason_says_so() -> None:
    choice = Choice(model("ETHUSD"))
    assert choice.serving("BTCUSD") is choice
    assert choice.serving("ETHUSD").loaded is None
    assert "test span" in choice.serving("ETHUSD").reason
    assert choice.serving("ETHUSD").cause is FallbackCause.LOST_ON_TEST


def test_symbol_lost_live_is_served_by_the_baseline_and_the_reason_says_so() -> None:
    choice = Choice(model(), setback=Setback(("ETHUSD",)))
    assert choice.serving("BTCUSD") is choice
    assert choice.serving("ETHUSD").loaded is None
    assert "live" in choice.serving("ETHUSD").reason
    assert choice.serving("ETHUSD").cause is FallbackCause.LOST_LIVE


def test_setback_is_followed_by_every_reader_and_ends_when_it_is_lifted(tmp_path: Path) -> None:
    writer, reader = Setbacks(tmp_path / "s"), Setbacks(tmp_path / "s")
    for setback in (Setback(("ETHUSD",)), Setback(everywhere=True), Setback()):
        writer.store("v1", setback)
        reader.refresh()
        assert reader.of("v1") == setback


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"symbols": "BTCUSD", "everywhere": false}'])
def test_unreadable_setback_counts_as_none(tmp_path: Path, text: str) -> None:
    kept = Setbacks(tmp_path)
    kept.store("v1", Setback(everywhere=True))
    kept.refresh()
    (tmp_path / "v1.json").write_text(text)
    kept.refresh()
    assert kept.of("v1") is None


def test_a_setback_survives_json() -> None:
    told = Setback(("BTCUSD", "ETHUSD"), True)
    assert Setback.from_dict(json.loads(json.dumps(told.as_dict()))) == told
