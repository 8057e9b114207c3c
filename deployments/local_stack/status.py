"""What can be said about a stack from outside: its state, its shell exports, and its end."""

import contextlib
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from deployments.local_stack import processes
from deployments.local_stack.api import StackApi
from deployments.local_stack.errors import StackError
from deployments.local_stack.home import OwnedProcess, StackHome, StackState
from deployments.local_stack.stack import already_running, end_leftovers, only_keeper

DOWN_TIMEOUT_S = 60.0
UP_TIMEOUT_S = 600.0


def stack_status(home: StackHome) -> dict[str, Any]:
    """Return `url`, `state`, `deployments`, `model`, `passages` and the reason where something is wrong.

    `state` is the stack's phase (`starting`, `importing`, `training`, `running`, `failed`), `stopped` where there is
    none, or `dead` where its keeper was killed.
    """
    record = home.read_state()
    blank: dict[str, Any] = {
        "url": None,
        "state": "stopped",
        "deployments": {},
        "model": None,
        "passages": None,
        "reason": "",
    }
    if record is None:
        return blank
    alive = record.keeper is not None and processes.is_alive(record.keeper)
    state = record.phase if alive or record.phase == "failed" else "dead"
    answer = blank | {"url": record.url or None, "state": state, "reason": record.error}
    if alive and record.url:
        answer |= _from_gateway(home, record.url)
    return answer


def _from_gateway(home: StackHome, url: str) -> dict[str, Any]:
    try:
        api = StackApi(url, home.admin_key_file.read_text(encoding="utf-8").strip())
        health, models = api.get("/api/v1/health"), api.get("/api/v1/models")
        sync = api.get("/api/v1/sync/status")
    except (StackError, OSError) as error:
        return {"reason": str(error)}
    return {
        "deployments": {each["name"]: each["status"] for each in health["entries"] if each["kind"] == "deployment"},
        "model": next(iter(models["champions"].values()), None),
        "passages": sync["passages"],
    }


def shell_exports(home: StackHome) -> str:
    """Return `export` lines for `ray job submit`, the Ray dashboard, a Python session and curl."""
    state = running_state(home)
    exports = {
        **state.environment,
        "RAY_ADDRESS": state.ray_address,
        "CANDLECAST_RAY_ADDRESS": state.ray_address,
        "RAY_API_SERVER_ADDRESS": state.ray_dashboard_url,
        "CANDLECAST_HOME": str(home.root),
        "CANDLECAST_URL": state.url,
        "CANDLECAST_API_KEY": home.admin_key_file.read_text(encoding="utf-8").strip(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in exports.items())


def running_state(home: StackHome) -> StackState:
    """Return the record of a stack that runs; raises `StackError` where none does."""
    state = home.read_state()
    if state is None or state.keeper is None or not processes.is_alive(state.keeper) or not state.url:
        raise StackError(f"no stack runs on {home.root}; start one with `candlecast up`")
    return state


def stack_api(home: StackHome) -> StackApi:
    """Return a running stack's HTTP interface with its admin key."""
    return StackApi(running_state(home).url, home.admin_key_file.read_text(encoding="utf-8").strip())


def require_stopped(home: StackHome) -> None:
    """Raise `StackError` where a stack runs on this home."""
    state = home.read_state()
    if state is not None and state.keeper is not None and processes.is_alive(state.keeper):
        raise already_running(home)


def take_down(home: StackHome) -> None:
    """End a stack, in order if its keeper lives, else whatever it left behind.

    Raises `StackError` where it does not end in time, or where one is only just being started.
    """
    state = home.read_state()
    keeper = state.keeper if state is not None and state.keeper and processes.is_alive(state.keeper) else None
    if keeper is not None:
        _end_keeper(keeper)
    with contextlib.ExitStack() as holding:
        if _held(home, keeper, holding):
            end_leftovers(home)


def _held(home: StackHome, former: OwnedProcess | None, holding: contextlib.ExitStack) -> bool:
    """Hold the home as soon as its `former` keeper is wholly gone; False where another stack has taken it meanwhile.

    What that one wrote down is no leftover. Raises `StackError` where there was no keeper and the home is held.
    """
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    while True:
        try:
            holding.enter_context(only_keeper(home))
        except StackError as error:
            if former is None:
                raise StackError(f"a stack is just being started on {home.root}; try again in a moment") from error
            state = home.read_state()
            if state is not None and state.keeper != former:
                return False
            # A process that counts as dead may hold its files for a moment more.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return True


def _end_keeper(keeper: OwnedProcess) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(keeper.pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    while processes.is_alive(keeper):
        if time.monotonic() > deadline:
            raise StackError(f"the stack (pid {keeper.pid}) did not end within {DOWN_TIMEOUT_S:g} s")
        time.sleep(0.1)


def await_answer(home: StackHome, keeper: OwnedProcess) -> str:
    """Return a detached stack's address once its API answers and its history is in.

    Raises `StackError` with the keeper's own words where it failed.
    """
    deadline = time.monotonic() + UP_TIMEOUT_S
    while time.monotonic() < deadline:
        state = home.read_state()
        own = state if state is not None and state.keeper is not None and state.keeper.pid == keeper.pid else None
        if own is not None and own.phase in {"training", "running"} and _answers(own.url):
            return own.url
        if not processes.is_alive(keeper):
            reason = own.error if own is not None and own.error else f"see {home.logs / 'stack.log'}"
            raise StackError(f"the stack did not start: {reason}")
        time.sleep(0.2)
    raise StackError(f"the stack did not answer within {UP_TIMEOUT_S:g} s; see {home.logs / 'stack.log'}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=5.0).is_success
    except httpx.HTTPError:
        return False
