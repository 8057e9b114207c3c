"""What a training run would do, without doing it: symbols, spans, windows, the network, and how long it would take."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.series.panel import Panel, Span, spans_of
from deployments.forecasting.training.fitting import material_of, origins_of
from deployments.forecasting.training.lesson import Material
from deployments.forecasting.training.loop import Hooks, TrainingConfig, train

WARM_UP_STEPS = 3
MEASURED_STEPS = 12
"""Steps taken to measure how long one lasts, after a few that are slower."""


@dataclass(frozen=True, slots=True)
class SpanPlan:
    name: str
    span: Span
    windows: int


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """`bars` by symbol; `seconds` of `config.max_steps` steps and what comes before them, measured on this machine."""

    bars: dict[str, int]
    spans: tuple[SpanPlan, ...]
    shape: NetworkConfig
    config: TrainingConfig
    weights: int
    seconds: float


def plan_of(panel: Panel, shape: NetworkConfig, config: TrainingConfig, device: str = "cpu") -> TrainingPlan:
    """Return what training on a panel would come to; raises `TooLittleHistory` as training would."""
    material = material_of(panel, shape)
    spans = spans_of(panel)
    named = {
        "training": spans.train,
        "validation": spans.validation,
        "calibration": spans.calibration,
        "test": spans.test,
    }
    weights = sum(parameter.numel() for parameter in network.build(shape).parameters())
    return TrainingPlan(
        bars=dict(zip(panel.symbols, _bars(panel), strict=True)),
        spans=tuple(SpanPlan(name, span, len(origins_of(panel, span, shape))) for name, span in named.items()),
        shape=shape,
        config=config,
        weights=weights * config.members,
        seconds=estimated_seconds(material, shape, config, device),
    )


def described(plan: TrainingPlan) -> Iterator[str]:
    """Yield a plan in lines for people."""
    yield f"{len(plan.bars)} symbols, {sum(plan.bars.values()):,} bars"
    for symbol, bars in plan.bars.items():
        yield f"  {symbol:<12} {bars:>9,} bars"
    for each in plan.spans:
        start, end = (np.datetime_as_string(instant, "m") for instant in (each.span.start, each.span.end))
        yield f"{each.name:<12} {start} to {end} UTC {each.windows:>9,} windows"
    shape, config = plan.shape, plan.config
    yield f"network      reads {shape.input_size} bars, forecasts {shape.horizon}, {plan.weights:,} weights"
    yield f"steps        at most {config.max_steps:,} of {config.batch} windows, {config.members} networks in turn"
    yield f"time         about {plan.seconds:,.0f} s of training at most, early stopping aside"


def estimated_seconds(material: Material, shape: NetworkConfig, config: TrainingConfig, device: str) -> float:
    """Return how long training would take, from a few steps taken and thrown away."""
    marks = [time.monotonic()]

    def enough() -> bool:
        # Asked once before each step.
        marks.append(time.monotonic())
        return len(marks) > WARM_UP_STEPS + MEASURED_STEPS + 1

    train(material, shape, config, device, Hooks(should_stop=enough))
    measured = marks[1 + WARM_UP_STEPS : 2 + WARM_UP_STEPS + MEASURED_STEPS] or marks[-1:]
    per_step = (measured[-1] - measured[0]) / max(len(measured) - 1, 1)
    return marks[1] - marks[0] + per_step * config.max_steps


def _bars(panel: Panel) -> list[int]:
    return [int(bars) for bars in np.diff(panel.offsets)]
