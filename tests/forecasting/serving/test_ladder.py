"""The ladder: tasks of many requests in few passes, and the baseline below whatever breaks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from deployments.forecasting.models import FallbackCause
from deployments.forecasting.predicting.recalibration import Recalibration
from deployments.forecasting.quantiles import MEDIAN, QUANTILES, FloatArray
from deployments.forecasting.series.windows import Past
from deployments.forecasting.serving.history import History, history_of
from deployments.forecasting.serving.ladder import TOGETHER, Task, predict
from deployments.forecasting.serving.shelf import Choice, LoadedModel
from deployments.market_data.models import CandleQuery, Interval
from tests.fakes.forecasting import FakeModel, model_card, model_tensors
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2024, 2, 1, tzinfo=UTC)
CONFIG = {"input_size": 48, "horizon": 24}


async def history(symbol: str, bars: int, seed: int = 1) -> History:
    market = FakeMarketData({symbol: walk_table(START, bars, seed=seed)}, START + timedelta(hours=bars))
    return history_of(await market.candles(CandleQuery(symbol, Interval.H1, limit=bars)), "24/7")


def loaded(shift: float) -> LoadedModel:
    return LoadedModel(model_card(), FakeModel(model_tensors(shift), CONFIG))


class Broken(FakeModel):
    def __init__(self, answer: float | None) -> None:
        super().__init__(model_tensors(), CONFIG)
        self.answer = answer

    def quantiles(self, past: Past) -> FloatArray:
        if self.answer is None:
            raise RuntimeError("out of memory")
        return np.full((len(past), self.horizon, len(QUANTILES)), self.answer)


async def test_requests_for_one_model_share_a_pass_and_keep_their_order_and_horizons() -> None:
    model = loaded(0.01)
    tasks = [Task(Choice(model), await history(f"A{n}USD", 200, seed=n), 6 + n) for n in range(4)]
    answers = predict(tasks)
    assert isinstance(model.model, FakeModel)
    assert model.model.batches == [(4, 200)]
    for task, answer in zip(tasks, answers, strict=True):
        assert answer.quantiles.shape == answer.baseline.shape == (task.horizon, len(QUANTILES))
        assert answer.quantiles[:, MEDIAN] == pytest.approx(task.history.log_closes[-1] + 0.01)


async def test_every_task_is_answered_by_the_version_it_was_given() -> None:
    old, new = loaded(0.01), loaded(0.02)
    same = await history("BTCUSD", 200)
    answers = predict([Task(Choice(model), same, 3) for model in (old, new, old)])
    assert [answer.loaded for answer in answers] == [old, new, old]
    assert [answer.quantiles[0, MEDIAN] - same.log_closes[-1] for answer in answers] == pytest.approx(
        [0.01, 0.02, 0.01]
    )


async def test_company_changes_no_answer() -> None:
    model = loaded(0.01)
    alone, other = await history("BTCUSD", 60), await history("ETHUSD", 400, seed=2)
    single = predict([Task(Choice(model), alone, 6)])[0]
    company = predict([Task(Choice(model), other, 24), Task(Choice(model), alone, 6)])[1]
    assert np.array_equal(single.quantiles, company.quantiles)
    assert np.array_equal(single.baseline, company.baseline)


async def test_more_tasks_than_one_pass_takes_keep_their_order() -> None:
    model, few = loaded(0.01), [await history("BTCUSD", 60 + bars, seed=bars) for bars in range(2)]
    tasks = [Task(Choice(model), few[place % 2], 1 + place % 24) for place in range(2 * TOGETHER + 3)]
    together = predict(tasks)
    assert [len(answer.quantiles) for answer in together] == [task.horizon for task in tasks]
    singles = [predict([task])[0] for task in tasks[:48]]
    for place, answer in enumerate(together):
        np.testing.assert_allclose(answer.quantiles, singles[place % 48].quantiles, rtol=1e-12)


@pytest.mark.parametrize(("answer", "reason"), [(None, "failed with RuntimeError"), (np.nan, "not a number")])
async def test_baseline_answers_below_a_model_that_breaks(answer: float | None, reason: str) -> None:
    choice = Choice(LoadedModel(model_card(), Broken(answer)))
    prediction = predict([Task(choice, await history("BTCUSD", 200), 6)])[0]
    assert prediction.loaded is None
    assert reason in prediction.reason
    assert prediction.cause is FallbackCause.MODEL_FAILED
    assert np.array_equal(prediction.quantiles, prediction.baseline)


async def test_without_a_model_each_task_keeps_its_own_reason() -> None:
    same = await history("BTCUSD", 200)
    answers = predict([Task(Choice(None, reason), same, 6) for reason in ("no model", "too early")])
    assert [answer.reason for answer in answers] == ["no model", "too early"]


async def test_recalibration_stretches_the_model_and_keeps_what_it_had_said() -> None:
    wider, task = Recalibration(np.full((24, len(QUANTILES)), 1.5), 100), await history("BTCUSD", 200)
    plain, corrected = predict(
        [Task(Choice(loaded(0.01), recalibration=recalibration), task, 6) for recalibration in (None, wider)]
    )
    assert corrected.raw is not None
    assert plain.raw is None
    assert np.array_equal(corrected.raw, plain.quantiles)
    width = corrected.quantiles[:, -1] - corrected.quantiles[:, 0]
    assert width == pytest.approx(1.5 * (plain.quantiles[:, -1] - plain.quantiles[:, 0]))


async def test_baseline_is_not_recalibrated() -> None:
    choice = Choice(None, "no model", Recalibration(np.full((24, len(QUANTILES)), 1.5), 100))
    prediction = predict([Task(choice, await history("BTCUSD", 200), 6)])[0]
    assert prediction.raw is None


async def test_a_task_with_too_few_bars_to_read_takes_no_model_from_the_others() -> None:
    model, whole = loaded(0.01), await history("BTCUSD", 200)
    known = whole.bars.known.copy()
    known[-40:-1] = False
    torn = replace(whole, bars=replace(whole.bars, known=known))
    together = predict([Task(Choice(model), each, 6) for each in (torn, whole)])
    assert [answer.loaded for answer in together] == [None, model]
    assert together[0].reason == "39 of the last 48 bars are missing"
    assert together[0].cause is FallbackCause.BARS_MISSING
    assert not together[0].failed
    alone = predict([Task(Choice(model), whole, 6)])[0]
    assert np.array_equal(together[1].quantiles, alone.quantiles)
