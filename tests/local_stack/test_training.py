"""Training from the command line: what Ctrl-C ends, and what it leaves alone."""

import io
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from deployments.forecasting.models import TrainingRequest, TrainingRun, TrainingState
from deployments.local_stack.api import StackApi
from deployments.local_stack.errors import StackError
from deployments.local_stack.progress import Steps
from deployments.local_stack.training import train_until_interrupted
from tests.fakes.gateway import RUN, FakeForecaster
from tests.fakes.in_process import InProcess


class Trainer(FakeForecaster):
    """One run that is under way once it is asked for, or from the beginning, until it is stopped."""

    def __init__(self, is_under_way: bool) -> None:
        super().__init__()
        self.is_known = is_under_way
        self.run = replace(self.run, state=TrainingState.RUNNING)

    async def start_training(self, request: TrainingRequest) -> TrainingRun:
        self.is_known = True
        return await super().start_training(request)

    async def training_runs(self) -> tuple[TrainingRun, ...]:
        return (self.run,) if self.is_known else ()

    async def stop_training(self, run_id: str) -> TrainingRun:
        self.run = replace(self.run, state=TrainingState.STOPPED)
        return self.run


class Impatient(httpx.BaseTransport):
    """A person who presses Ctrl-C before an answer is there: the first of those that end with `asked`."""

    def __init__(self, stack: InProcess, asked: str) -> None:
        self._stack = stack
        self._asked = asked
        self._has_pressed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._stack.handle_request(request)
        if f"{request.method} {request.url.path}".endswith(self._asked) and not self._has_pressed:
            self._has_pressed = True
            raise KeyboardInterrupt
        return answer


def interrupted(trainer: Trainer, folder: Path, asked: str = f"/training/{RUN}") -> StackApi:
    stack = InProcess(trainer, folder)
    return StackApi("http://stack", stack.key, Impatient(stack, asked))


def quiet() -> Steps:
    return Steps(Console(file=io.StringIO()))


def test_ctrl_c_stops_the_run_that_was_begun(tmp_path: Path) -> None:
    trainer = Trainer(is_under_way=False)

    run = train_until_interrupted(interrupted(trainer, tmp_path), {"interval": "1h"}, quiet())

    assert run["state"] == "stopped"
    assert trainer.run.state is TrainingState.STOPPED


def test_ctrl_c_before_the_run_is_named_stops_it_too(tmp_path: Path) -> None:
    trainer = Trainer(is_under_way=False)

    run = train_until_interrupted(interrupted(trainer, tmp_path, "POST /api/v1/training"), {"interval": "1h"}, quiet())

    assert run["state"] == "stopped"
    assert trainer.run.state is TrainingState.STOPPED


def test_ctrl_c_leaves_a_run_alone_that_was_under_way_before(tmp_path: Path) -> None:
    trainer = Trainer(is_under_way=True)

    with pytest.raises(StackError, match="goes on"):
        train_until_interrupted(interrupted(trainer, tmp_path), {"interval": "1h"}, quiet())

    assert trainer.run.state is TrainingState.RUNNING
