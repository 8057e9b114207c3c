"""A plan of a training run: what it would read and learn from, without learning it."""

from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.series.panel import spans_of
from deployments.forecasting.training.fitting import origins_of
from deployments.forecasting.training.loop import TrainingConfig
from deployments.forecasting.training.plan import described, plan_of
from tests.fakes.panels import wavy_panel

SHAPE = NetworkConfig(input_size=48, horizon=6, width=16)


def test_plan_counts_what_training_would_use() -> None:
    panel = wavy_panel(1_500)
    plan = plan_of(panel, SHAPE, TrainingConfig(max_steps=600, batch=64))
    assert plan.bars == {"AAAUSD": 1_500, "BBBUSD": 1_500}
    assert [each.name for each in plan.spans] == ["training", "validation", "calibration", "test"]
    assert plan.spans[3].windows == len(origins_of(panel, spans_of(panel).test, SHAPE))
    assert plan.seconds > 0
    assert plan.weights > 1_000


def test_plan_of_a_run_shorter_than_its_own_measurement_has_a_duration() -> None:
    assert plan_of(wavy_panel(1_500), SHAPE, TrainingConfig(max_steps=1, batch=64)).seconds > 0


def test_described_plan_names_symbols_spans_and_windows() -> None:
    plan = plan_of(wavy_panel(1_500), SHAPE, TrainingConfig(max_steps=3, batch=64))
    text = "\n".join(described(plan))
    assert "2 symbols, 3,000 bars" in text
    for word in ("AAAUSD", "validation", "reads 48 bars, forecasts 6", "windows"):
        assert word in text
