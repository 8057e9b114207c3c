"""Starting processes as session leaders and ending exactly those sessions, nothing else."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from deployments.local_stack.home import OwnedProcess

CLOCK_STEP_S = 30.0
"""Creation times are told by the wall clock, which may be stepped while a stack runs."""

_started: dict[int, subprocess.Popen[bytes]] = {}
"""Our own children, so that each is reaped when it is ended."""


def start(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> OwnedProcess:
    """Start `command` as the leader of a new session, its output going to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _started[process.pid] = process
    return owned(name, process.pid)


def owned(name: str, pid: int) -> OwnedProcess:
    """Describe a running process so that it can be told from a later one with the same id."""
    return OwnedProcess(name, pid, psutil.Process(pid).create_time())


def is_alive(process: OwnedProcess) -> bool:
    """Return whether the process itself still runs; a zombie does not."""
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < CLOCK_STEP_S
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def members(process: OwnedProcess) -> list[psutil.Process]:
    """Return everything in the session of `process`, and all that descends from it.

    A session keeps its id after its leader was killed, so orphans are found too; children in sessions of their own
    (a Ray job's command) are found through their parents.
    """
    found: dict[int, psutil.Process] = {}
    for candidate in psutil.process_iter(["create_time", "status"]):
        if _in_session(candidate, process):
            found[candidate.pid] = candidate
    for member in list(found.values()):
        try:
            found.update({child.pid: child for child in member.children(recursive=True)})
        except psutil.NoSuchProcess:
            continue
    return [each for each in found.values() if each.pid != os.getpid()]


def _in_session(candidate: psutil.Process, process: OwnedProcess) -> bool:
    try:
        if candidate.info["status"] == psutil.STATUS_ZOMBIE or os.getsid(candidate.pid) != process.pid:
            return False
    except (ProcessLookupError, PermissionError):
        return False
    return bool(candidate.info["create_time"] > process.started - CLOCK_STEP_S)


def end(process: OwnedProcess, grace_s: float) -> None:
    """Ask the leader to end, then whatever is left of its session, and kill what stays after `grace_s` seconds."""
    everything = members(process)
    if is_alive(process):
        _signal([psutil.Process(process.pid)], signal.SIGTERM)
    else:
        _signal(everything, signal.SIGTERM)
    psutil.wait_procs(everything, timeout=grace_s)
    leftover = [*members(process), *(each for each in everything if each.is_running())]
    _signal(leftover, signal.SIGKILL)
    psutil.wait_procs(leftover, timeout=5)
    child = _started.pop(process.pid, None)
    if child is not None:
        child.wait(timeout=5)


def _signal(processes: Sequence[psutil.Process], which: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(which)
        except psutil.NoSuchProcess:
            continue
