"""The keeper on real tables under one folder: what it resolves, learns, asks for and throws away."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from deployments.common.errors import CandlecastError, TooLittleHistory, Unavailable
from deployments.forecasting.judging.retraining import RetrainingPolicy
from deployments.forecasting.judging.setback import Setback, period_of
from deployments.forecasting.keeping.keeper import Keeper, KeeperPolicy
from deployments.forecasting.keeping.store import ForecastStore
from deployments.forecasting.models import (
    Decision,
    Forecast,
    ForecastRequest,
    KeeperState,
    ModelCard,
    TrainingRequest,
    TrainingRun,
    TrainingState,
)
from deployments.forecasting.registry.recalibrations import Recalibrations
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.registry.setbacks import Setbacks
from deployments.forecasting.training.ledger import TrainingLedger
from deployments.market_data.models import Interval
from tests.fakes.forecasting import issued_forecast, model_card, model_tensors
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2024, 2, 1, tzinfo=UTC)
BARS = 600
NOW = START + timedelta(hours=BARS, minutes=10)
HORIZON = 3
GO = Decision("", "promote", "good enough", NOW)


class FakeForecaster:
    """Remembers what it was asked for."""

    def __init__(self, ledger: TrainingLedger) -> None:
        self.asked: list[tuple[tuple[str, ...], ForecastRequest]] = []
        self.trainings: list[TrainingRequest] = []
        self.away = False
        self.refusal: CandlecastError | None = None
        self._ledger = ledger

    async def forecast_batch(
        self, symbols: tuple[str, ...], request: ForecastRequest
    ) -> dict[str, Forecast | CandlecastError]:
        if self.away:
            raise Unavailable("Forecaster has no free replica just now", 1.0)
        self.asked.append((symbols, request))
        return {symbol: issued_forecast(symbol, START).forecast for symbol in symbols}

    async def start_training(self, request: TrainingRequest) -> TrainingRun:
        if self.refusal:
            raise self.refusal
        self.trainings.append(request)
        return self._ledger.start(f"train-{len(self.trainings)}", request, request.max_steps)


class Office:
    """A keeper with everything around it in memory or under one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.now = NOW
        self.market = FakeMarketData(
            {"BTCUSD": walk_table(START, BARS), "ETHUSD": walk_table(START, BARS, seed=8)}, NOW
        )
        self.registry = Registry(home / "models")
        self.ledger = TrainingLedger(home / "models", lambda: self.now)
        self.forecaster = FakeForecaster(self.ledger)
        self.forecasts = ForecastStore(home / "forecasts.lance")
        self.recalibrations = Recalibrations(home / "recalibration")

    def keeper(self, policy: KeeperPolicy | None = None) -> Keeper:
        return Keeper(self.home, self.market, self.forecaster, policy, clock=lambda: self.now)

    def pass_time(self, time: timedelta) -> None:
        self.now += time
        self.market.now = self.now

    def champion(self, age: timedelta = timedelta(days=2), horizon: int = HORIZON) -> ModelCard:
        card = model_card(NOW - age, horizon=horizon)
        published = self.registry.publish(model_tensors(), replace(card, data_end=NOW - age))
        self.registry.promote(published.version, GO)
        return published

    def issue(
        self,
        hours: Iterable[int],
        version: str,
        width: float = 0.01,
        symbol: str = "BTCUSD",
        horizon: int = HORIZON,
    ) -> None:
        closes = np.log(self.market.tables[symbol]["close"].to_numpy())
        self.forecasts.append(
            [
                issued_forecast(
                    symbol, START + timedelta(hours=hour), horizon, version, centre=float(closes[hour]), width=width
                )
                for hour in hours
            ]
        )


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


async def test_forecasts_are_resolved_once_when_their_last_bar_has_closed(office: Office) -> None:
    card = office.champion()
    office.issue(range(BARS - 6, BARS), card.version)
    keeper = office.keeper()
    assert (await keeper.round()).resolved == 3
    assert (await keeper.round()).resolved == 0
    for symbol in office.market.tables:
        office.market.tables[symbol] = walk_table(START, BARS + 1, seed=9)
    office.pass_time(timedelta(hours=1))
    assert (await keeper.round()).resolved == 1


async def test_another_keeper_goes_on_where_the_former_was_killed(office: Office) -> None:
    card = office.champion()
    office.issue(range(50), card.version)
    first = office.keeper()
    assert (await first.round()).epoch == 1
    assert (await office.keeper().round()).state is KeeperState.WAITING
    first.end()
    status = await office.keeper().round()
    assert (status.state, status.epoch, status.resolved) == (KeeperState.KEEPING, 2, 0)


async def test_keeper_that_was_taken_over_publishes_nothing(office: Office) -> None:
    card = office.champion()
    keeper = office.keeper()
    await keeper.round()
    office.issue(range(50), card.version)
    (office.home / "keeper.lease").write_text(f"{7:020d}")
    assert (await keeper.round()).state is KeeperState.WAITING


async def test_lease_lost_within_a_round_ends_it_before_anything_is_published(office: Office) -> None:
    class Overtaken(FakeMarketData):
        async def candles(self, query: object) -> object:  # type: ignore[override]
            (office.home / "keeper.lease").write_text(f"{7:020d}")
            return await super().candles(query)  # type: ignore[arg-type]

    card = office.champion()
    office.issue(range(50), card.version)
    office.market = Overtaken(office.market.tables, NOW)
    with pytest.raises(Unavailable):
        await office.keeper().round()
    assert not (office.home / "recalibration").exists()


async def test_intervals_too_narrow_for_the_market_are_widened(office: Office) -> None:
    card = office.champion()
    office.issue(range(400), card.version, width=0.006)
    status = await office.keeper().round()
    assert status.recalibrated == {card.version: 400}
    office.recalibrations.refresh()
    found = office.recalibrations.of(card.version)
    assert found is not None
    assert found.stretch[:, 0].min() > 1


async def test_few_outcomes_change_nothing(office: Office) -> None:
    card = office.champion()
    office.issue(range(15), card.version, width=0.001)
    assert (await office.keeper().round()).recalibrated == {card.version: 0}
    office.recalibrations.refresh()
    assert office.recalibrations.of(card.version) is None


async def test_bar_that_never_comes_is_given_up_after_a_week_and_an_absent_source_is_not(office: Office) -> None:
    card = office.champion()
    office.issue([10], card.version)
    whole = office.market.tables
    office.market.tables = {}
    keeper = office.keeper()
    assert (await keeper.round()).lost == 0
    office.market.tables = {
        symbol: table.filter([hour != 12 for hour in range(BARS)]) for symbol, table in whole.items()
    }
    status = await keeper.round()
    assert (status.resolved, status.lost) == (0, 1)
    office.market.tables = whole
    assert (await keeper.round()).resolved == 0


async def test_every_enabled_symbol_is_forecast_by_every_champion(office: Office) -> None:
    office.champion()
    status = await office.keeper().round()
    assert status.issued == 2
    [(symbols, request)] = office.forecaster.asked
    assert set(symbols) == {"BTCUSD", "ETHUSD"}
    assert (request.interval, request.horizon) == ("1h", HORIZON)


async def test_without_a_champion_or_the_wish_nothing_is_issued(office: Office) -> None:
    keeper = office.keeper(KeeperPolicy(issue=False))
    for _ in range(2):
        assert (await keeper.round()).issued == 0
        office.champion(age=timedelta(days=len(office.registry.cards()) + 1))
    keeper.end()
    for version in office.registry.champions().values():
        (office.home / "models" / f"1h-h{HORIZON}" / version / "card.json").unlink()
    assert (await office.keeper().round()).issued == 0
    assert office.forecaster.asked == []


async def test_old_champion_is_trained_again_once_a_day(office: Office) -> None:
    card = office.champion(age=timedelta(days=8))
    keeper = office.keeper()
    status = await keeper.round()
    assert list(status.retraining.values()) == ["the champion is 8 days old"]
    [request] = office.forecaster.trainings
    assert (request.interval, request.horizon, request.input_size) == (card.interval, HORIZON, card.input_size)
    assert (await keeper.round()).retraining == {}
    office.pass_time(timedelta(days=1, minutes=1))
    assert len((await keeper.round()).retraining) == 1


async def test_champion_whose_skill_is_gone_is_trained_again(office: Office) -> None:
    card = office.champion()
    # Intervals so narrow that the baseline, twice as wide, beats them by far.
    office.issue(range(400), card.version, width=0.0005)
    [reason] = (await office.keeper().round()).retraining.values()
    assert "live skill is gone" in reason


async def test_retraining_that_is_refused_for_too_few_bars_ends_no_round(office: Office) -> None:
    office.champion(age=timedelta(days=20))
    office.forecaster.refusal = TooLittleHistory("the bars have gone", 5, 1_000)
    status = await office.keeper().round()
    assert (status.state, status.retraining) == (KeeperState.KEEPING, {})


async def test_symbol_lost_live_is_set_back_and_served_again_two_periods_later(office: Office) -> None:
    card = office.champion()
    office.issue(range(400), card.version)
    office.issue(range(400), card.version, width=0.0005, symbol="ETHUSD")
    keeper = office.keeper(KeeperPolicy(retraining=RetrainingPolicy(after=None)))
    assert (await keeper.round()).set_back == {card.version: ("ETHUSD",)}
    setbacks = Setbacks(office.home / "setback")
    setbacks.refresh()
    assert setbacks.of(card.version) == Setback(("ETHUSD",))
    period = period_of(Interval.H1, HORIZON)
    office.pass_time(period)
    assert (await keeper.round()).set_back == {card.version: ("ETHUSD",)}
    office.pass_time(period)
    assert (await keeper.round()).set_back == {}
    setbacks.refresh()
    assert setbacks.of(card.version) == Setback()


@pytest.mark.parametrize(("calendar", "lost_still"), [("XNYS", True), ("24/7", False), ("no exchange", False)])
async def test_periods_of_a_symbol_follow_its_calendar_where_that_is_known(
    office: Office, calendar: str, lost_still: bool
) -> None:
    card = office.champion(horizon=24)
    office.market.calendars["ETHUSD"] = calendar
    office.issue(range(500), card.version, width=0.05, horizon=24)
    office.issue(range(500), card.version, width=0.0005, symbol="ETHUSD", horizon=24)
    keeper = office.keeper(KeeperPolicy(retraining=RetrainingPolicy(after=None)))
    assert (await keeper.round()).set_back == {card.version: ("ETHUSD",)}
    office.pass_time(2 * period_of(Interval.H1, 24))
    assert (await keeper.round()).set_back == ({card.version: ("ETHUSD",)} if lost_still else {})


async def test_model_that_lost_live_on_the_whole_is_set_back_everywhere(office: Office) -> None:
    card = office.champion()
    office.issue(range(400), card.version, width=0.0005)
    assert (await office.keeper().round()).set_back == {card.version: ("*",)}


async def test_training_is_never_asked_for_where_it_is_switched_off_or_there_is_nothing_new(office: Office) -> None:
    office.champion(age=timedelta(days=20))
    off = KeeperPolicy(retraining=RetrainingPolicy(after=None))
    keeper = office.keeper(off)
    assert (await keeper.round()).retraining == {}
    keeper.end()
    office.market.tables = {"BTCUSD": walk_table(START - timedelta(days=60), 100)}
    assert (await office.keeper().round()).retraining == {}


async def test_sweep_deletes_old_candidates_once_a_day_and_keeps_the_champion(office: Office) -> None:
    champion = office.champion(age=timedelta(days=200))
    stale = [office.registry.publish(model_tensors(), model_card(NOW - timedelta(days=100 + day))) for day in range(12)]
    keeper = office.keeper()
    assert set((await keeper.round()).deleted) == {card.version for card in stale[-2:]}
    assert champion.version in {card.version for card in office.registry.cards()}
    office.registry.publish(model_tensors(), model_card(NOW - timedelta(days=300)))
    assert (await keeper.round()).deleted == ()
    office.pass_time(timedelta(days=1, minutes=1))
    assert len((await keeper.round()).deleted) == 1


async def test_forecaster_that_is_away_holds_up_nothing_but_new_forecasts(office: Office) -> None:
    card = office.champion()
    office.issue(range(BARS - 6, BARS - 3), card.version)
    office.forecaster.away = True
    status = await office.keeper().round()
    assert (status.state, status.issued, status.resolved) == (KeeperState.FAILING, 0, 3)
    assert "no free replica" in status.error
    office.forecaster.away = False
    assert (await office.keeper().round()).error == ""


async def test_symbol_that_is_no_longer_traded_holds_up_no_training(office: Office) -> None:
    office.champion(age=timedelta(days=8))
    office.market.tables["BTCUSD"] = walk_table(START, 300)
    assert len((await office.keeper().round()).retraining) == 1


async def test_checkpoints_of_runs_long_over_are_deleted(office: Office) -> None:
    for run_id, days in (("old", 8), ("young", 1)):
        office.ledger.start(run_id, TrainingRequest(), 1)
        office.ledger.update(run_id, state=TrainingState.FAILED, updated_at=NOW - timedelta(days=days))
        (office.home / "train" / run_id).mkdir(parents=True)
    await office.keeper().round()
    assert [path.name for path in (office.home / "train").iterdir()] == ["young"]


async def test_damaged_champion_does_not_stop_the_books(office: Office) -> None:
    card = office.champion()
    office.issue(range(50), card.version)
    (office.home / "models" / f"1h-h{HORIZON}" / card.version / "card.json").write_text("{")
    assert (await office.keeper().round()).resolved == 50
