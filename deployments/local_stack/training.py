"""The first training of a stack, through the same HTTP calls that a user would make."""

import time
from typing import Any

from deployments.local_stack.api import POLL_S, StackApi
from deployments.local_stack.errors import StackError
from deployments.local_stack.progress import Step, Steps
from deployments.market_data.models import Interval

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
        return await_run(api, api.post("/api/v1/training", request)["id"], step)


def await_run(api: StackApi, run_id: str, step: Step) -> dict[str, Any]:
    """Follow a training run to its end and return it."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            run: dict[str, Any] = api.get(f"/api/v1/training/{run_id}")
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
