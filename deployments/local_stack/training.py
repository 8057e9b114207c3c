"""The first training of a stack, through the same HTTP calls that a user would make."""

import time
from typing import Any

from deployments.local_stack.api import POLL_S, StackApi
from deployments.local_stack.errors import StackError
from deployments.local_stack.progress import Step, Steps
from deployments.market_data.models import Interval

PATH = "/api/v1/training"
TIMEOUT_S = 900.0
_ENDED = {"succeeded", "failed", "stopped"}


def train_first_model(api: StackApi, interval: Interval, steps: Steps) -> None:
    """Train a model where this interval has no champion; a run that fails leaves the baseline in place and says so."""
    champions: dict[str, str] = api.get("/api/v1/models")["champions"]
    if any(name.startswith(f"{interval.value}-") for name in champions):
        return
    run = train_and_show(api, {"interval": interval.value}, steps)
    if run["state"] != "succeeded":
        steps.note(f"[yellow]Training {run['state']}: {run['error'] or 'see the log'}; the baseline answers.")


def train_and_show(api: StackApi, request: dict[str, object], steps: Steps) -> dict[str, Any]:
    """Submit a training with the fields of `POST /training`, show its progress, and return the ended run."""
    with steps.step("Training", "NHITS") as step:
        return await_run(api, api.post(PATH, request)["id"], step)


def train_until_interrupted(api: StackApi, request: dict[str, object], steps: Steps) -> dict[str, Any]:
    """Train as `train_and_show`; Ctrl-C stops the run that this call began, and returns it as it ended.

    Raises `StackError` on Ctrl-C where the same request was under way before: that run is somebody else's.
    """
    before = {run["id"] for run in api.get(PATH)["runs"] if run["state"] not in _ENDED}
    run_id = ""
    try:
        with steps.step("Training", "NHITS") as step:
            run_id = api.post(PATH, request)["id"]
            return await_run(api, run_id, step)
    except KeyboardInterrupt:
        # It may have begun though nobody heard its name: the same request is answered with the run under way.
        run_id = run_id or api.post(PATH, request)["id"]
        if run_id in before:
            raise StackError(f"training {run_id} was under way before and goes on") from None
    with steps.step("Stopping", run_id) as step:
        api.delete(f"{PATH}/{run_id}")
        return await_run(api, run_id, step)


def await_run(api: StackApi, run_id: str, step: Step) -> dict[str, Any]:
    """Follow a training run to its end and return it."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            run: dict[str, Any] = api.get(f"{PATH}/{run_id}")
        except StackError:
            time.sleep(POLL_S)  # a machine busy with training may answer late
            continue
        step.update(run["step"], run["max_steps"], describe(run))
        if run["state"] in _ENDED:
            return run
        time.sleep(POLL_S)
    raise StackError(f"training {run_id} did not end within {TIMEOUT_S:g} s")


def describe(run: dict[str, Any]) -> str:
    """Return one line about a run: its phase, its losses, the time it thinks it needs."""
    parts = [str(run["phase"] or run["state"])]
    if run["validation_loss"] is not None:
        parts.append(f"validation loss {run['validation_loss']:.4f}")
    if run["eta_s"]:
        parts.append(f"{run['eta_s']:.0f} s left")
    if run["version"]:
        parts.append(str(run["version"]))
    return ", ".join(parts)
