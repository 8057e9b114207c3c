"""The forecaster on candles in memory: every rung of the ladder, and what is kept of each answer."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from deployments.common.errors import (
    CandlecastError,
    DatabaseUnavailable,
    InvalidRequest,
    NothingTrained,
    PromotionRefused,
    TooLittleHistory,
    UnknownModel,
    UnknownSymbol,
)
from deployments.forecasting.judging.setback import Setback
from deployments.forecasting.models import (
    Decision,
    FallbackCause,
    Forecast,
    ForecastRequest,
    ForecastStatus,
    HistoryRequest,
    KeeperState,
    KeeperStatus,
    ModelCard,
    TrainingRequest,
)
from deployments.forecasting.predicting.recalibration import Recalibration
from deployments.forecasting.quantiles import QUANTILES
from deployments.forecasting.records import to_json
from deployments.forecasting.registry.recalibrations import Recalibrations
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.registry.setbacks import Setbacks
from deployments.forecasting.service import ForecasterService
from deployments.forecasting.serving.shelf import REHEARSED
from deployments.market_data.models import CandleQuery, Candles, Interval, ManagedSymbol
from tests.fakes.forecasting import FakeJobs, FakeModel, model_card, model_tensors
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2024, 2, 1, tzinfo=UTC)
BARS = 800
NOW = START + timedelta(hours=BARS, minutes=10)
REQUEST = ForecastRequest("BTCUSD")
SHIFT = 0.01
REHEARSALS = len(REHEARSED)


class CountedMarketData(FakeMarketData):
    """Remembers which symbols were read together."""

    def __init__(self, tables: Mapping[str, pa.Table], now: datetime) -> None:
        super().__init__(tables, now)
        self.batches: list[tuple[str, ...]] = []

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        self.batches.append(symbols)
        return await super().candles_batch(symbols, query)


class Desk:
    """A forecaster service with everything around it in memory or under one folder."""

    def __init__(self, home: Path) -> None:
        tables = {
            "BTCUSD": walk_table(START, BARS),
            "ETHUSD": walk_table(START, BARS, seed=8),
            "NEWUSD": walk_table(NOW - timedelta(hours=30, minutes=10), 30),
            "TINYUSD": walk_table(NOW - timedelta(hours=5, minutes=10), 5),
            "OLDUSD": walk_table(START, 300),
        }
        self.now = NOW
        self.market = CountedMarketData(tables, NOW)
        self.jobs = FakeJobs()
        self.registry = Registry(home / "models")
        self.home = home
        self.service = self.started_again()

    def started_again(self) -> ForecasterService:
        return ForecasterService(self.home, self.market, self.jobs, FakeModel, lambda: self.now)

    def watch_models(self) -> list[FakeModel]:
        """Return the models that the service builds from now on."""
        built: list[FakeModel] = []

        def build(*arguments: Any) -> FakeModel:
            built.append(FakeModel(*arguments))
            return built[-1]

        self.service = ForecasterService(self.home, self.market, self.jobs, build, lambda: self.now)
        return built

    def pass_hours(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.market.now = self.now

    async def champion(self, age: timedelta = timedelta(days=1)) -> ModelCard:
        card = self.registry.publish(model_tensors(SHIFT), model_card(NOW - age))
        await self.service.promote(card.version, force=False)
        return card


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_champion_answers_with_its_version_and_its_test_skill(desk: Desk) -> None:
    card = await desk.champion()
    forecast = await desk.service.forecast(REQUEST)
    assert (forecast.model.name, forecast.model.version) == ("nhits", card.version)
    assert forecast.status is ForecastStatus.FRESH
    assert forecast.warnings == ()
    assert forecast.skill is not None
    assert (forecast.skill.basis, forecast.skill.n) == ("test", 300)
    last = desk.market.tables["BTCUSD"]["close"][-1].as_py()
    assert forecast.points[0].median == pytest.approx(last * np.exp(SHIFT))


async def test_times_of_a_forecast_follow_its_last_bar(desk: Desk) -> None:
    forecast = await desk.service.forecast(REQUEST)
    closed = START + timedelta(hours=BARS)
    assert forecast.issued_at == NOW
    assert forecast.data_as_of == closed
    assert forecast.expires_at == closed + timedelta(hours=1)
    assert [point.time for point in forecast.points] == [closed + timedelta(hours=hour) for hour in range(24)]


async def test_bounds_nest_around_the_median_and_are_keyed_as_written(desk: Desk) -> None:
    forecast = await desk.service.forecast(replace(REQUEST, levels=(50.0, 97.5)))
    for point in forecast.points:
        assert point.lower["97.5"] < point.lower["50"] < point.median < point.upper["50"] < point.upper["97.5"]


def cause_of(forecast: Forecast) -> FallbackCause | None:
    return forecast.fallback.cause if forecast.fallback else None


async def test_without_a_model_the_baseline_answers_and_says_why(desk: Desk) -> None:
    forecast = await desk.service.forecast(REQUEST)
    assert forecast.status is ForecastStatus.FALLBACK
    assert (forecast.model.name, forecast.model.version) == ("ewma", None)
    assert "no model has been promoted" in forecast.warnings[0]
    assert cause_of(forecast) is FallbackCause.NO_MODEL


async def test_horizon_beyond_the_model_is_answered_by_the_baseline(desk: Desk) -> None:
    await desk.champion()
    forecast = await desk.service.forecast(replace(REQUEST, horizon=48))
    assert forecast.status is ForecastStatus.FALLBACK
    assert "24 steps, 48 were asked for" in forecast.warnings[0]
    assert len(forecast.points) == 48


async def test_shorter_horizon_is_the_beginning_of_the_longer_one(desk: Desk) -> None:
    await desk.champion()
    long, short = await desk.service.forecast(REQUEST), await desk.service.forecast(replace(REQUEST, horizon=6))
    assert short.points == long.points[:6]


async def test_too_little_history_for_the_model_is_answered_by_the_baseline(desk: Desk) -> None:
    await desk.champion()
    forecast = await desk.service.forecast(replace(REQUEST, symbol="NEWUSD"))
    assert forecast.status is ForecastStatus.FALLBACK
    assert "reads 48 bars and there are 30" in forecast.warnings[0]
    assert cause_of(forecast) is FallbackCause.TOO_LITTLE_HISTORY


async def test_too_little_history_for_any_forecast_counts_the_bars(desk: Desk) -> None:
    with pytest.raises(TooLittleHistory) as caught:
        await desk.service.forecast(replace(REQUEST, symbol="TINYUSD"))
    assert (caught.value.have, caught.value.need) == (5, 20)


async def test_unknown_symbol_is_told(desk: Desk) -> None:
    with pytest.raises(UnknownSymbol):
        await desk.service.forecast(replace(REQUEST, symbol="NOPE"))


async def test_stale_data_and_an_old_model_are_both_told_and_the_worse_is_the_status(desk: Desk) -> None:
    await desk.champion(age=timedelta(days=9))
    forecast = await desk.service.forecast(replace(REQUEST, symbol="OLDUSD"))
    assert forecast.status is ForecastStatus.STALE_DATA
    assert len(forecast.warnings) == 2
    assert "trained 9 days ago" in forecast.warnings[1]
    assert (await desk.service.forecast(REQUEST)).status is ForecastStatus.OLD_MODEL


async def test_damaged_champion_of_a_new_replica_is_replaced_by_the_baseline(desk: Desk) -> None:
    card = await desk.champion()
    (desk.home / "models" / "1h-h24" / card.version / "weights.safetensors").write_bytes(b"torn")
    replica = desk.started_again()
    await replica.follow_champions()
    forecast = await replica.forecast(REQUEST)
    assert forecast.status is ForecastStatus.FALLBACK
    assert "sha256" in forecast.warnings[0]
    assert cause_of(forecast) is FallbackCause.MODEL_FAILED
    health = await replica.health()
    assert health.champions == {"1h-h24": card.version}
    assert health.loaded == ()
    assert "sha256" in health.reason
    assert (await replica.models()).faults == {"1h-h24": health.reason}


async def test_past_instant_hides_later_bars_and_later_models(desk: Desk) -> None:
    await desk.champion(age=timedelta(days=1))
    instant = NOW - timedelta(days=3)
    forecast = await desk.service.forecast(replace(REQUEST, as_of=instant))
    assert forecast.data_as_of <= instant
    assert forecast.status is ForecastStatus.FALLBACK
    assert "no model was trained on data that end by" in forecast.warnings[0]


async def test_past_instant_is_answered_by_the_model_of_its_time(desk: Desk) -> None:
    first = await desk.champion(age=timedelta(days=12))
    await desk.champion(age=timedelta(days=1))
    forecast = await desk.service.forecast(replace(REQUEST, as_of=NOW - timedelta(days=3)))
    assert forecast.model.version == first.version
    assert forecast.status is ForecastStatus.FRESH


async def test_batch_is_one_forward_pass_and_one_bad_symbol_fails_alone(desk: Desk) -> None:
    built = desk.watch_models()
    await desk.champion()
    answers = await desk.service.forecast_batch(("BTCUSD", "ETHUSD", "NOPE", "TINYUSD"), REQUEST)
    assert [type(answer) for answer in answers.values()] == [Forecast, Forecast, UnknownSymbol, TooLittleHistory]
    assert built[0].batches[REHEARSALS:] == [(2, 500)]


async def test_same_candles_are_forecast_once_and_a_corrected_one_again_after_a_second(desk: Desk) -> None:
    built = desk.watch_models()
    await desk.champion()
    first = await desk.service.forecast(REQUEST)
    again = await desk.service.forecast(REQUEST)
    assert again.points == first.points
    assert built[0].batches[REHEARSALS:] == [(1, 500)]
    assert len(desk.market.batches) == 1
    desk.market.tables["BTCUSD"] = walk_table(START, BARS, seed=99)
    assert (await desk.service.forecast(REQUEST)).points == first.points
    desk.now += timedelta(seconds=2)
    assert (await desk.service.forecast(REQUEST)).points != first.points
    assert built[0].batches[REHEARSALS:] == [(1, 500), (1, 500)]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (replace(REQUEST, horizon=0), "horizon"),
        (replace(REQUEST, horizon=169), "horizon"),
        (replace(REQUEST, levels=()), "level"),
        (replace(REQUEST, levels=(80.0, 100.0)), "level"),
        (replace(REQUEST, levels=(float("nan"),)), "level"),
        (replace(REQUEST, as_of=datetime(2024, 1, 1)), "as_of"),  # noqa: DTZ001
    ],
)
async def test_impossible_request_is_refused_with_its_field(desk: Desk, request_: ForecastRequest, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await desk.service.forecast(request_)
    assert [name for name, _ in caught.value.fields] == [field]


async def test_unmanaged_currency_pair_has_no_forecast_for_saturday(tmp_path: Path) -> None:
    class Unmanaged(FakeMarketData):
        async def managed_symbol(self, symbol: str) -> ManagedSymbol:
            raise UnknownSymbol(symbol)

    friday = datetime(2024, 3, 1, 22, tzinfo=UTC)
    market = Unmanaged({"EURUSD": walk_table(friday - timedelta(hours=100), 100)}, friday + timedelta(minutes=5))
    service = ForecasterService(tmp_path, market, FakeJobs(), FakeModel, lambda: market.now)
    forecast = await service.forecast(ForecastRequest("EURUSD", horizon=3))
    sunday = datetime(2024, 3, 3, 22, tzinfo=UTC)
    assert [point.time for point in forecast.points] == [sunday + timedelta(hours=hour) for hour in range(3)]
    assert forecast.expires_at == sunday + timedelta(hours=1)


async def test_history_tells_what_followed_a_forecast(desk: Desk) -> None:
    tables, whole = desk.market.tables, walk_table(START, BARS + 24)
    desk.market.tables = {**tables, "BTCUSD": whole}
    forecast = await desk.service.forecast(REQUEST)
    [pending] = await desk.service.history(HistoryRequest("btc/usd", 10))
    assert pending.forecast.points == forecast.points
    assert set(pending.realised) == {None}
    desk.pass_hours(24)
    [past] = await desk.service.history(HistoryRequest("BTCUSD", 10))
    assert past.realised == pytest.approx(tuple(whole["close"].to_pylist()[-24:]))
    assert past.pinball == past.baseline_pinball


async def test_history_of_one_series_leaves_the_others_out(desk: Desk) -> None:
    for horizon in (2, 4, 6):
        await desk.service.forecast(replace(REQUEST, horizon=horizon))
    assert len(await desk.service.history(HistoryRequest("BTCUSD", 10))) == 3
    [past] = await desk.service.history(HistoryRequest("BTCUSD", 10, interval=Interval.H1, horizon=4))
    assert past.forecast.horizon == 4
    assert await desk.service.history(HistoryRequest("BTCUSD", 10, interval=Interval.H4)) == ()


@pytest.mark.parametrize("name", ["NOPE", "nope/usd"])
async def test_past_of_a_symbol_that_nobody_knows_is_refused_as_its_forecast_is(desk: Desk, name: str) -> None:
    for ask in (desk.service.history(HistoryRequest(name, 10)), desk.service.accuracy(name)):
        with pytest.raises(UnknownSymbol):
            await ask


@pytest.mark.parametrize("name", ["BTCUSD", "btc/usd", "TINYUSD"])
async def test_known_symbol_without_forecasts_has_an_empty_past(desk: Desk, name: str) -> None:
    assert await desk.service.history(HistoryRequest(name, 10)) == ()
    assert await desk.service.accuracy(name) == ()


async def test_past_of_a_symbol_is_told_when_its_candles_are_gone(desk: Desk) -> None:
    await desk.service.forecast(replace(REQUEST, horizon=2))
    del desk.market.tables["BTCUSD"]
    assert len(await desk.service.history(HistoryRequest("BTCUSD", 10))) == 1


async def test_symbol_without_forecasts_has_an_empty_past_while_market_data_are_away(tmp_path: Path) -> None:
    class Away(FakeMarketData):
        async def candles(self, query: CandleQuery) -> Candles:
            raise DatabaseUnavailable("the database is away")

    service = ForecasterService(tmp_path, Away({"BTCUSD": walk_table(START, 50)}, NOW), FakeJobs(), FakeModel)
    assert await service.history(HistoryRequest("BTCUSD", 10)) == ()


async def test_same_forecast_told_again_was_issued_when_it_was_made(desk: Desk) -> None:
    card = await desk.champion()
    first = await desk.service.forecast(REQUEST)
    desk.now += timedelta(minutes=5)
    assert await desk.service.forecast(REQUEST) == first
    assert (await desk.service.forecast_batch(("BTCUSD",), REQUEST))["BTCUSD"] == first
    Recalibrations(desk.home / "recalibration").store(
        card.version, Recalibration(np.full((24, len(QUANTILES)), 1.2), 90)
    )
    await desk.service.follow_champions()
    assert (await desk.service.forecast(REQUEST)).issued_at == desk.now


async def test_new_bar_is_a_new_forecast_with_its_own_instant(desk: Desk) -> None:
    desk.market.tables["BTCUSD"] = walk_table(START, BARS + 1)
    first = await desk.service.forecast(REQUEST)
    desk.pass_hours(1)
    assert ((await desk.service.forecast(REQUEST)).issued_at, first.issued_at) == (desk.now, NOW)


async def test_forecast_at_a_past_instant_is_not_kept(desk: Desk) -> None:
    await desk.service.forecast(replace(REQUEST, as_of=NOW - timedelta(days=3)))
    assert await desk.service.history(HistoryRequest("BTCUSD", 10)) == ()


async def test_queued_forecasts_survive_an_orderly_end(desk: Desk) -> None:
    await desk.service.forecast(REQUEST)
    await desk.service.close()
    assert len(await desk.started_again().history(HistoryRequest("BTCUSD", 10))) == 1


async def test_live_skill_replaces_that_of_the_test_span_once_there_is_enough(desk: Desk) -> None:
    await desk.champion()
    whole = walk_table(START, BARS + 30)
    desk.market.tables["BTCUSD"] = whole
    request = replace(REQUEST, horizon=2)
    for _ in range(22):
        forecast = await desk.service.forecast(request)
        desk.pass_hours(1)
    assert forecast.skill is not None
    assert forecast.skill.basis == "test"
    await desk.service.keep_books()
    live = (await desk.service.forecast(request)).skill
    assert live is not None
    assert (live.basis, live.n) == ("live", 21)
    assert live.pinball_vs_baseline is not None
    assert live.pinball_vs_baseline > 1
    past = (await desk.service.forecast(replace(request, as_of=desk.now))).skill
    assert past is not None
    assert past.basis == "test"
    [row] = await desk.service.accuracy("BTCUSD")
    assert row.skill == live


async def test_what_was_learnt_since_widens_forecasts_of_now_and_none_of_the_past(desk: Desk) -> None:
    card = await desk.champion(age=timedelta(days=10))
    past = replace(REQUEST, as_of=NOW)
    before = [await desk.service.forecast(request) for request in (REQUEST, past)]
    wider = Recalibration(np.full((24, len(QUANTILES)), 1.5), 90)
    Recalibrations(desk.home / "recalibration").store(card.version, wider)
    await desk.service.follow_champions()
    now, then = [await desk.service.forecast(request) for request in (REQUEST, past)]
    assert now.points[5].upper["80"] > before[0].points[5].upper["80"]
    assert now.points[5].median == before[0].points[5].median
    assert then.points == before[1].points


async def test_symbol_that_the_model_lost_is_served_by_the_baseline_with_a_warning(desk: Desk) -> None:
    decision = Decision("", "promote", "good enough", NOW, lost_symbols=("ETHUSD",))
    card = desk.registry.publish(model_tensors(SHIFT), replace(model_card(NOW - timedelta(days=1)), decision=decision))
    await desk.service.promote(card.version, force=False)
    answers = await desk.service.forecast_batch(("BTCUSD", "ETHUSD"), REQUEST)
    served = {symbol: answer for symbol, answer in answers.items() if isinstance(answer, Forecast)}
    assert served["BTCUSD"].model.version == card.version
    assert (served["ETHUSD"].model.name, served["ETHUSD"].status) == ("ewma", ForecastStatus.FALLBACK)
    assert "on the model's test span" in served["ETHUSD"].warnings[0]
    assert (cause_of(served["BTCUSD"]), cause_of(served["ETHUSD"])) == (None, FallbackCause.LOST_ON_TEST)


async def test_live_setback_is_obeyed_now_and_not_in_the_past_and_ends_when_it_is_lifted(desk: Desk) -> None:
    card = await desk.champion(age=timedelta(days=10))
    setbacks, names = Setbacks(desk.home / "setback"), []
    for setback in (Setback(("BTCUSD",)), Setback(everywhere=True), Setback()):
        setbacks.store(card.version, setback)
        await desk.service.follow_champions()
        names.append(
            [(await desk.service.forecast(each)).model.name for each in (REQUEST, replace(REQUEST, as_of=NOW))]
        )
    assert names == [["ewma", "nhits"], ["ewma", "nhits"], ["nhits", "nhits"]]


async def test_trouble_of_the_keeper_is_told_by_the_health(desk: Desk) -> None:
    assert (await desk.service.health()).keeper is None
    status = KeeperStatus(KeeperState.FAILING, NOW, error="the disk is full", interval_s=300.0)
    (desk.home / "keeper.json").write_bytes(to_json(status))
    health = await desk.service.health()
    assert health.keeper == status
    assert "the disk is full" in health.reason


async def test_refused_candidate_becomes_champion_only_by_force(desk: Desk) -> None:
    card = desk.registry.publish(model_tensors(), model_card(NOW, verdict="keep"))
    with pytest.raises(PromotionRefused, match="the judge said keep"):
        await desk.service.promote(card.version, force=False)
    decision = await desk.service.promote(card.version, force=True)
    assert decision.verdict == "forced"
    assert (await desk.service.health()).loaded == (card.version,)


async def test_candidate_never_judged_is_refused(desk: Desk) -> None:
    card = desk.registry.publish(model_tensors(), model_card(NOW, verdict=None))
    with pytest.raises(PromotionRefused, match="never judged"):
        await desk.service.promote(card.version, force=False)


async def test_candidate_judged_beside_another_champion_is_refused(desk: Desk) -> None:
    first = await desk.champion(age=timedelta(days=3))
    card = model_card(NOW)
    assert card.decision is not None
    judged = replace(card, decision=replace(card.decision, against=first.version))
    candidate = desk.registry.publish(model_tensors(), judged)
    await desk.champion(age=timedelta(days=1))
    with pytest.raises(PromotionRefused, match=f"judged beside {first.version}"):
        await desk.service.promote(candidate.version, force=False)
    await desk.service.rollback()
    assert (await desk.service.promote(candidate.version, force=False)).replaced == first.version


async def test_rollback_brings_the_former_champion_back_at_once(desk: Desk) -> None:
    first = await desk.champion(age=timedelta(days=2))
    second = await desk.champion(age=timedelta(days=1))
    decision = await desk.service.rollback()
    assert (decision.version, decision.replaced) == (first.version, second.version)
    assert (await desk.service.forecast(REQUEST)).model.version == first.version
    listed = await desk.service.models()
    assert listed.champions == {"1h-h24": first.version}
    assert [entry.verdict for entry in listed.history] == ["rollback", "promote", "promote"]


@pytest.mark.parametrize("is_named", [False, True])
async def test_rollbacks_asked_for_together_go_back_one_step(desk: Desk, is_named: bool) -> None:
    champions = [(await desk.champion(timedelta(days=age))).version for age in (4, 3, 2)]
    named = champions[2] if is_named else None

    decisions = await asyncio.gather(*(desk.service.rollback(named) for _ in range(3)))

    assert {(decision.version, decision.replaced) for decision in decisions} == {(champions[1], champions[2])}
    assert desk.registry.champion(REQUEST.interval, REQUEST.horizon) == champions[1]


async def test_rollback_without_a_former_champion_is_refused(desk: Desk) -> None:
    with pytest.raises(NothingTrained):
        await desk.service.rollback()
    await desk.champion()
    with pytest.raises(NothingTrained):
        await desk.service.rollback()


async def test_unknown_version_is_told(desk: Desk) -> None:
    with pytest.raises(UnknownModel):
        await desk.service.model("nothing")
    with pytest.raises(UnknownModel):
        await desk.service.promote("nothing", force=True)


async def test_training_on_symbols_that_nobody_knows_is_refused_naming_them_and_starts_no_job(desk: Desk) -> None:
    with pytest.raises(UnknownSymbol, match="NOPEUSD, ZZZUSD"):
        await desk.service.start_training(TrainingRequest(symbols=("BTCUSD", "NOPEUSD", "ZZZUSD")))

    assert await desk.service.training_runs() == ()
    assert not desk.jobs.known


async def test_training_is_started_and_followed(desk: Desk) -> None:
    run = await desk.service.start_training(TrainingRequest(symbols=("BTCUSD",), horizon=6, max_steps=10))
    assert await desk.service.training_runs() == (run,)
    assert await desk.service.training_run(run.id) == run
    desk.jobs.logs[run.id] = "reading candles\n"
    assert await desk.service.training_log(run.id, 8) == ("candles\n", 16)
    assert (await desk.service.stop_training(run.id)).state == "stopped"
