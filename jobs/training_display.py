"""What a person sees of a training run: a bar on a terminal, plain lines in a log."""

import sys
import threading
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from deployments.common.errors import UnknownTraining
from deployments.forecasting.models import TrainingRun
from deployments.forecasting.training.ledger import TrainingLedger

LOOK_EVERY_S = 0.5

TRAINING = "training"
"""The phase in which steps are taken; those after it say nothing of how long they last."""


class TrainingDisplay:
    """Follow a run's record while it is entered; on a terminal the steps move a bar."""

    def __init__(self, ledger: TrainingLedger, run_id: str, stream: TextIO | None = None) -> None:
        self._ledger, self._run_id = ledger, run_id
        self._stream = stream or sys.stdout
        self._console = Console(file=self._stream)
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
        )
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    @property
    def is_watched(self) -> bool:
        """Whether a person sees this, and not a log."""
        return self._console.is_terminal

    def say(self, line: str) -> None:
        """Say one line, above the bar where there is one."""
        if self.is_watched:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def __enter__(self) -> Self:
        if self.is_watched:
            self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self.is_watched:
            self._watcher.join()
            self._bar.stop()

    def _watch(self) -> None:
        task: TaskID | None = None
        while not self._over.wait(LOOK_EVERY_S):
            run = self._run()
            if run is None or not run.step:
                continue
            if task is None:
                self._bar.start()
                task = self._bar.add_task(TRAINING, total=run.max_steps, detail="")
            self._bar.update(task, completed=run.step, description=run.phase, detail=detail_of(run))

    def _run(self) -> TrainingRun | None:
        try:
            return self._ledger.run(self._run_id)
        except UnknownTraining:
            return None


def detail_of(run: TrainingRun) -> str:
    """Return what stands behind the bar: step, losses, and how long it takes at most."""
    parts = [f"step {run.step}/{run.max_steps}"]
    if run.train_loss is not None and run.validation_loss is not None:
        parts.append(f"train {run.train_loss:.5f} validation {run.validation_loss:.5f}")
    if run.eta_s is not None and run.phase == TRAINING:
        parts.append(f"at most {run.eta_s:.0f} s to go")
    return "  ".join(parts)
