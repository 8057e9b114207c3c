"""Training runs as users see them: the job's own record, corrected by what became of the job."""

import asyncio
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol

from deployments.common.clock import Clock
from deployments.common.errors import InvalidRequest, Unavailable
from deployments.common.telemetry import logger
from deployments.forecasting.models import TrainingRequest, TrainingRun, TrainingState
from deployments.forecasting.records import to_json
from deployments.forecasting.training.ledger import FINISHED, TrainingLedger
from deployments.market_data.symbols.names import SYMBOL_PATTERN

log = logger(__name__)

SUBMIT_TRIES = 12
SUBMIT_PAUSE_S = 5.0
"""A cluster that has just started refuses jobs for up to half a minute, until its agent is there."""

STOP_RETRY_S = 5.0

STATES_WITHIN_S = 5.0
"""Time for the cluster to say how its jobs stand; after it, runs are told by their own records."""

MOST_AT_ONCE = 8
"""Runs under way together: Ray starts the process of every job at once, and each takes hundreds of megabytes."""

FULL_RETRY_S = 60.0

LOST_AFTER = timedelta(minutes=10)
"""Silence after which a run without a job is given up; a job reports every few seconds once it trains."""

MOST_QUANTILES = 19
MOST_DAYS = 36_500

# A window longer than the history that is kept per forecast (`recipe.HISTORY_BARS`) could not be filled.
_LIMITS = {"horizon": (1, 168), "input_size": (24, 512), "max_steps": (1, 100_000), "seed": (0, 2**31 - 1)}


class JobRunner(Protocol):
    """Whoever runs training jobs. States are `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED`, `STOPPED`, by run id."""

    async def submit(self, run_id: str, request: TrainingRequest) -> None:
        """Start a job; a run id submitted before, by anyone, starts nothing and may raise."""
        ...

    async def stop(self, run_id: str) -> None: ...

    async def states(self) -> dict[str, str]: ...

    async def log(self, run_id: str) -> str: ...


class Trainings:
    """Start, follow and stop training runs.

    Any number of replicas may do so at once: what makes two requests one job is the run's id, made of the request and
    of how often it ran before, which only one of them can enter and the cluster takes only once.
    """

    def __init__(
        self,
        ledger: TrainingLedger,
        jobs: JobRunner,
        clock: Clock,
        pause_s: float = SUBMIT_PAUSE_S,
        states_within_s: float = STATES_WITHIN_S,
    ) -> None:
        self._states_within_s = states_within_s
        self._ledger = ledger
        self._jobs = jobs
        self._clock = clock
        self._pause_s = pause_s
        self._starting = asyncio.Lock()
        self._submissions: dict[str, asyncio.Task[None]] = {}

    async def start(self, request: TrainingRequest) -> TrainingRun:
        """Enter a run and submit its job in the background; the same request while one is under way returns that one.

        Raises `InvalidRequest`, or `Unavailable` where `MOST_AT_ONCE` runs are under way.
        """
        check_training(request)
        # The same symbols in another order are the same request.
        request = replace(
            request, symbols=tuple(sorted(set(request.symbols))), quantiles=tuple(sorted(request.quantiles))
        )
        async with self._starting:
            # In this order: a run is entered before its job is submitted, so nothing known by id lacks its record then.
            states = await self._states()
            known = await asyncio.to_thread(self._ledger.ids)
            runs = await self._runs(states)
            run = next((run for run in runs if run.request == request and run.state not in FINISHED), None)
            if run is None:
                _check_room(runs)
                run_id = next_run_id(request, known.union(states or ()))
                run = await asyncio.to_thread(self._ledger.start, run_id, request, request.max_steps)
            # Also one that is there already: who entered it may have died before submitting it.
            self._send(run, states)
            return run

    async def runs(self) -> tuple[TrainingRun, ...]:
        """Return all runs, newest first."""
        return await self._runs(await self._states())

    async def run(self, run_id: str) -> TrainingRun:
        """Return one run; raises `UnknownTraining`."""
        # The job's state is asked first: a job that ends in between has then written its record already.
        states = await self._states()
        return await self._settled(await asyncio.to_thread(self._ledger.run, run_id), states)

    async def log(self, run_id: str, offset: int) -> tuple[str, int]:
        """Return the job's log from character `offset` on and the next offset; raises `UnknownTraining`."""
        run = await asyncio.to_thread(self._ledger.run, run_id)
        text = await self._jobs.log(run.job)
        return text[offset:], max(offset, len(text))

    async def stop(self, run_id: str) -> TrainingRun:
        """Stop a run and return it; a finished one stays as it is. Raises `UnknownTraining` or `Unavailable`."""
        run = await self.run(run_id)
        if run.state in FINISHED:
            return run
        try:
            await self._jobs.stop(run.job)
        except Exception as error:
            raise Unavailable(f"the cluster's jobs cannot be reached: {type(error).__name__}", STOP_RETRY_S) from error
        if run.job not in (await self._states() or {run.job: ""}):
            return await self._update(run, TrainingState.STOPPED, "")
        return await self.run(run_id)

    async def submitted(self) -> None:
        """Wait until no submission is under way."""
        await asyncio.gather(*self._submissions.values())

    def _send(self, run: TrainingRun, states: dict[str, str] | None) -> None:
        if run.state is not TrainingState.PENDING or run.id in self._submissions or run.id in (states or {}):
            return
        self._submissions[run.id] = asyncio.create_task(self._submit(run))
        self._submissions[run.id].add_done_callback(lambda _: self._submissions.pop(run.id, None))

    async def _submit(self, run: TrainingRun) -> None:
        reason = ""
        for _ in range(SUBMIT_TRIES):
            if await self._is_over(run.id):
                return
            try:
                await self._jobs.submit(run.id, run.request)
            except Exception as error:
                if run.id in (await self._states() or {}):
                    return  # another replica was quicker
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                log.warning("training not submitted yet", run_id=run.id, reason=reason)
                await asyncio.sleep(self._pause_s)
            else:
                await self._check_still_wanted(run.id)
                return
        failed, known = TrainingState.FAILED, f"the job could not be submitted: {reason}"
        # One that runs was submitted by another replica.
        await asyncio.to_thread(self._ledger.settle, run.id, failed, known, {*FINISHED, TrainingState.RUNNING})

    async def _check_still_wanted(self, run_id: str) -> None:
        """Stop the job of a run that was stopped while it was being submitted."""
        log.info("training submitted", run_id=run_id)
        if await self._is_over(run_id):
            await self._jobs.stop(run_id)

    async def _is_over(self, run_id: str) -> bool:
        return (await asyncio.to_thread(self._ledger.run, run_id)).state in FINISHED

    async def _runs(self, states: dict[str, str] | None) -> tuple[TrainingRun, ...]:
        runs = await asyncio.to_thread(self._ledger.runs)
        return tuple([await self._settled(run, states) for run in runs])

    async def _settled(self, run: TrainingRun, states: dict[str, str] | None) -> TrainingRun:
        if states is None:
            return run
        seen = reconcile(run, states.get(run.job), self._clock())
        return seen if seen is run else await self._update(run, seen.state, seen.error)

    async def _update(self, run: TrainingRun, state: TrainingState, error: str) -> TrainingRun:
        return await asyncio.to_thread(self._ledger.settle, run.id, state, error)

    async def _states(self) -> dict[str, str] | None:
        try:
            async with asyncio.timeout(self._states_within_s):
                return await self._jobs.states()
        except Exception as error:
            log.warning("job states unknown", reason=type(error).__name__)
            return None


def reconcile(run: TrainingRun, job_state: str | None, now: datetime) -> TrainingRun:
    """Return the run as it stands given the state of its job, None for a job that nobody knows."""
    if run.state in FINISHED or job_state in {"PENDING", "RUNNING"}:
        return run
    if job_state == "STOPPED":
        return _ended(run, TrainingState.STOPPED, "")
    if job_state is not None:
        return _ended(run, TrainingState.FAILED, "the job ended without a result; its log says why")
    if now - run.updated_at > LOST_AFTER:
        return _ended(run, TrainingState.FAILED, "the cluster no longer knows this job")
    return run


def next_run_id(request: TrainingRequest, known: Collection[str]) -> str:
    """Return the id of the next run of a request: a digest of what is asked, and how many were known before.

    Whoever asks the same at the same instant gets the same id.
    """
    family = f"train-{sha256(to_json(request)).hexdigest()[:10]}"
    numbers = [int(match[1]) for run_id in known if (match := re.fullmatch(rf"{family}-(\d+)", run_id))]
    return f"{family}-{max(numbers, default=0) + 1}"


def check_training(request: TrainingRequest) -> None:
    """Raise `InvalidRequest` naming every field of a training request that cannot be."""
    fields = [
        (name, f"must lie between {low} and {high:,}")
        for name, (low, high) in _LIMITS.items()
        if not low <= getattr(request, name) <= high
    ]
    if request.lookback_days is not None and not 1 <= request.lookback_days <= MOST_DAYS:
        fields.append(("lookback_days", f"must lie between 1 and {MOST_DAYS:,}"))
    if wrong := [symbol for symbol in request.symbols if not SYMBOL_PATTERN.fullmatch(symbol)]:
        fields.append(("symbols", f"not a symbol: {wrong[0]!r}"))
    if not all(0 < quantile < 1 for quantile in request.quantiles) or len(set(request.quantiles)) > MOST_QUANTILES:
        fields.append(("quantiles", f"at most {MOST_QUANTILES}, each between 0 and 1"))
    if len(set(request.quantiles)) < len(request.quantiles):
        fields.append(("quantiles", "each only once"))
    if fields:
        raise InvalidRequest("the training request cannot be carried out", tuple(fields))


def _check_room(runs: Iterable[TrainingRun]) -> None:
    under_way = sum(run.state not in FINISHED for run in runs)
    if under_way >= MOST_AT_ONCE:
        raise Unavailable(f"{under_way} training runs are under way; wait for one to end, or stop one", FULL_RETRY_S)


def _ended(run: TrainingRun, state: TrainingState, error: str) -> TrainingRun:
    return replace(run, state=state, phase=state.value, error=error)
