"""The training ledger: how each run stands, written by the job and read by the forecaster.

One file per run, `<root>/training/<run_id>/run.json`, replaced whole at every change; `root` is `models/` under
Candlecast's home, beside the registry.
"""

import re
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from deployments.common.clock import Clock, utc_now
from deployments.common.disk import locked
from deployments.common.errors import UnknownTraining
from deployments.common.telemetry import logger
from deployments.forecasting.models import TrainingRequest, TrainingRun, TrainingState
from deployments.forecasting.records import create_atomically, from_json, to_json, write_atomically

log = logger(__name__)

FINISHED = frozenset({TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.STOPPED})

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class TrainingLedger:
    """Keep training runs under `root`. What a run is up to its job writes, and others only how it ended."""

    def __init__(self, root: Path, clock: Clock = utc_now) -> None:
        self._directory = root / "training"
        self._clock = clock
        self._changing = threading.RLock()
        self._is_changing = False

    def start(self, run_id: str, request: TrainingRequest, max_steps: int) -> TrainingRun:
        """Enter a run as pending and return it; a run already entered, by anyone, is returned as it stands."""
        now = self._clock()
        run = TrainingRun(run_id, TrainingState.PENDING, "waiting", request, now, now, max_steps=max_steps)
        return run if create_atomically(self._path(run_id), to_json(run)) else self.run(run_id)

    def update(
        self, run_id: str, check: Callable[[TrainingRun], object] = lambda run: None, **changes: Any
    ) -> TrainingRun:
        """Change fields of a run and return it; raises `UnknownTraining`, or `TypeError` for an unknown field.

        `check` is told the run while nobody else can change it; what it raises leaves all as it is.
        """
        with self._alone():
            run = self.run(run_id)
            check(run)
            return self._changed(run, changes)

    def settle(
        self, run_id: str, state: TrainingState, error: str, unless: Collection[TrainingState] = FINISHED
    ) -> TrainingRun:
        """Enter how a run ended, told from outside, unless it says otherwise by now; return it as it stands."""
        with self._alone():
            run = self.run(run_id)
            return run if run.state in unless else self._changed(run, dict(state=state, phase=state.value, error=error))

    def run(self, run_id: str) -> TrainingRun:
        """Return one run; raises `UnknownTraining`."""
        try:
            return from_json(TrainingRun, self._path(run_id).read_bytes())
        except FileNotFoundError:
            raise UnknownTraining(f"there is no training run {run_id!r}") from None
        except ValueError:
            raise UnknownTraining(f"the record of training run {run_id!r} cannot be read") from None

    def runs(self) -> tuple[TrainingRun, ...]:
        """Return all readable runs, newest first."""
        found = [run for path in self._directory.glob("*/run.json") if (run := self._readable(path.parent.name))]
        return tuple(sorted(found, key=lambda run: (run.created_at, run.id), reverse=True))

    def ids(self) -> set[str]:
        """Return the ids of all runs, also of those whose record cannot be read."""
        return {path.parent.name for path in self._directory.glob("*/run.json")}

    def prune(self, older_than: datetime) -> tuple[str, ...]:
        """Forget finished runs last changed before `older_than` and return their ids."""
        with self._alone():
            gone = tuple(run.id for run in self.runs() if run.state in FINISHED and run.updated_at < older_than)
            for run_id in gone:
                shutil.rmtree(self._path(run_id).parent, ignore_errors=True)
        return gone

    def _readable(self, run_id: str) -> TrainingRun | None:
        try:
            return self.run(run_id)
        except UnknownTraining as error:
            log.warning("training record left out", run_id=run_id, reason=error.detail)
            return None

    def _changed(self, run: TrainingRun, changes: dict[str, Any]) -> TrainingRun:
        run = replace(run, **{"updated_at": self._clock(), **changes})
        write_atomically(self._path(run.id), to_json(run))
        return run

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one thread of one process change the ledger at a time: the job, its workers and replicas all do."""
        with self._changing:
            if self._is_changing:  # a job's SIGTERM came in the midst of a change: its last word cannot wait
                yield
                return
            self._is_changing = True
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
                with locked(self._directory / ".lock"):
                    yield
            finally:
                self._is_changing = False

    def _path(self, run_id: str) -> Path:
        if not _RUN_ID.fullmatch(run_id):
            raise UnknownTraining(f"there is no training run {run_id!r}")
        return self._directory / run_id / "run.json"
