"""A training run in this process: candles in, a promoted version and a finished record out."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deployments.common.errors import BadUpstream, DatabaseUnavailable, PromotionRefused, TooLittleHistory
from deployments.forecasting.models import Decision, ModelStatus, TrainingRequest, TrainingState
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.predictor import Predictor
from deployments.forecasting.registry import promotion
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.series.windows import windows_at
from deployments.forecasting.training.data import TrainingData
from deployments.forecasting.training.ledger import TrainingLedger
from deployments.forecasting.training.lesson import Material
from deployments.forecasting.training.loop import Hooks, TrainingConfig, train
from deployments.forecasting.training.run import Progress, TrainingJob
from deployments.forecasting.training.state import Trained
from deployments.market_data.models import CANDLE_SCHEMA, Interval
from tests.fakes.panels import wavy_panel, wavy_tables

REQUEST = TrainingRequest(horizon=6, input_size=48, max_steps=2)
NOW = datetime(2024, 6, 1, tzinfo=UTC)


class Stage:
    """Everything around a run: a home, what was said, and what was asked to be promoted."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.said: list[str] = []
        self.ledger = TrainingLedger(models)
        self.registry = Registry(models)

    def job(self, run_id: str = "run-1", request: TrainingRequest = REQUEST) -> TrainingJob:
        return TrainingJob(run_id, request, self.models, self.said.append, clock=lambda: NOW)

    def train(self, material: Material, shape: NetworkConfig, config: TrainingConfig) -> Trained:
        progress = Progress(self.ledger, "run-1", config.max_steps, 0.0, self.said.append)
        return train(material, shape, config, hooks=Hooks(on_progress=progress))

    def promote(self, version: str) -> Decision:
        return promotion.promote(self.registry, version, False, NOW)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "models")


def candles() -> TrainingData:
    return TrainingData(wavy_tables(1_500))


def test_a_run_ends_with_a_promoted_version_that_loads_and_forecasts(stage: Stage) -> None:
    run = stage.job().run(candles, stage.train, stage.promote)

    assert run.state is TrainingState.SUCCEEDED
    assert run == stage.ledger.run("run-1")
    assert run.decision is not None
    assert run.decision.verdict == "promote"
    assert run.version is not None
    assert stage.registry.champion(Interval.H1, 6) == run.version
    tensors, card = stage.registry.load(run.version)
    assert card.symbols == ("AAAUSD", "BBBUSD")
    assert card.metrics["test"]["n"] > 100
    past = windows_at(wavy_panel(600), np.array([500]), 512, 6).past
    answer = Predictor(tensors, card.config).quantiles(past)
    assert answer.shape == (1, 6, 9)


def test_a_run_on_few_quantiles_still_answers_all_nine(stage: Stage) -> None:
    request = replace(REQUEST, quantiles=(0.9, 0.1, 0.5))
    run = stage.job(request=request).run(candles, stage.train, None)

    assert run.version is not None
    tensors, card = stage.registry.load(run.version)
    assert card.config["network"]["quantiles"] == [0.1, 0.5, 0.9]
    assert Predictor(tensors, card.config).horizon == 6


def test_the_second_run_meets_the_first_ones_model(stage: Stage) -> None:
    stage.job().run(candles, stage.train, stage.promote)

    second = stage.job("run-2", replace(REQUEST, seed=2)).run(candles, stage.train, None)

    assert second.version is not None
    card = stage.registry.card(second.version)
    assert card.metrics["champion"] is not None
    assert card.decision is not None
    assert "champion_pinball" in card.decision.evidence


def test_the_card_names_the_champion_that_was_met_whoever_is_promoted_meanwhile(stage: Stage) -> None:
    first = stage.job().run(candles, stage.train, stage.promote).version
    rival = stage.job("run-2", replace(REQUEST, seed=2)).run(candles, stage.train, None).version
    assert rival is not None

    def clock() -> datetime:
        # Asked when the verdict is written, after the contest.
        stage.registry.promote(rival, Decision("", "promote", "meanwhile", NOW))
        return NOW + timedelta(minutes=1)

    late = TrainingJob("run-3", replace(REQUEST, seed=3), stage.models, stage.said.append, clock=clock)
    version = late.run(candles, stage.train, None).version

    assert version is not None
    decision = stage.registry.card(version).decision
    assert decision is not None
    assert decision.against == first
    assert stage.registry.champion(Interval.H1, 6) == rival


def test_a_run_on_chosen_symbols_does_not_replace_the_model_of_all(stage: Stage) -> None:
    chosen = wavy_tables(1_500)
    young = {"NEWUSD": wavy_tables(50, ("NEWUSD",))["NEWUSD"]}
    stage.job().run(lambda: TrainingData(chosen | young), stage.train, stage.promote)

    def verdict_on(*symbols: str) -> str:
        # A week later what is no worse takes over.
        later = NOW + timedelta(days=8, seconds=len(symbols))
        request = replace(REQUEST, symbols=symbols)
        job = TrainingJob("run-2", request, stage.models, stage.said.append, clock=lambda: later)
        decision = job.run(lambda: TrainingData(chosen), stage.train, None).decision
        return decision.verdict if decision else ""

    assert verdict_on() == "promote"
    assert verdict_on(*chosen) == "keep"
    assert "not trained on all that the champion serves, as NEWUSD" in stage.said[-1]


def test_a_champion_whose_files_are_gone_is_succeeded(stage: Stage) -> None:
    first = stage.job().run(candles, stage.train, stage.promote).version
    assert first is not None
    shutil.rmtree(stage.models / "1h-h6" / first)

    run = stage.job("run-2", replace(REQUEST, seed=2)).run(candles, stage.train, stage.promote)

    assert stage.registry.champion(Interval.H1, 6) == run.version != first


def test_a_run_that_is_not_to_promote_leaves_a_candidate(stage: Stage) -> None:
    run = stage.job().run(candles, stage.train, None)

    assert run.version is not None
    assert stage.registry.champion(Interval.H1, 6) is None
    assert stage.registry.card(run.version).status is ModelStatus.CANDIDATE


def test_a_forecaster_that_does_not_promote_leaves_its_reason(stage: Stage) -> None:
    def refuse(version: str) -> Decision:
        raise PromotionRefused(f"{version} is not wanted")

    run = stage.job().run(candles, stage.train, refuse)

    assert run.state is TrainingState.SUCCEEDED
    assert "not promoted" in run.error


def test_progress_reaches_the_record_and_the_log(stage: Stage) -> None:
    stage.job().run(candles, stage.train, None)

    run = stage.ledger.run("run-1")
    assert (run.step, run.max_steps) == (2, 2)
    assert run.train_loss
    assert run.validation_loss
    assert any(line.startswith("step 2/2 ") for line in stage.said)


@pytest.mark.parametrize(
    ("tables", "error"),
    [
        ({}, TooLittleHistory),
        ({"AAAUSD": CANDLE_SCHEMA.empty_table()}, TooLittleHistory),
        (wavy_tables(300), TooLittleHistory),
        ({"AAAUSD": wavy_tables(9)["AAAUSD"].take([0, 2, 1])}, BadUpstream),
    ],
)
def test_data_that_cannot_be_trained_on_fail_the_run_with_the_reason(
    stage: Stage, tables: dict[str, pa.Table], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        stage.job().run(lambda: TrainingData(tables), stage.train, stage.promote)

    run = stage.ledger.run("run-1")
    assert run.state is TrainingState.FAILED
    assert run.error == str(caught.value)


def test_a_database_that_is_away_fails_the_run(stage: Stage) -> None:
    def away() -> TrainingData:
        raise DatabaseUnavailable("the database does not answer")

    with pytest.raises(DatabaseUnavailable):
        stage.job().run(away, stage.train, None)

    assert stage.ledger.run("run-1").error == "the database does not answer"


def test_a_stopped_run_says_so(stage: Stage) -> None:
    stage.ledger.start("run-1", REQUEST, 2)

    assert stage.job().stopped().state is TrainingState.STOPPED
