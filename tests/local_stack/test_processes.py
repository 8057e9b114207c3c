"""Ending exactly what was started: a session, its orphans, nobody else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from deployments.local_stack import processes
from deployments.local_stack.home import OwnedProcess

SLEEPER = "import time; time.sleep(120)"
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
own = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}], start_new_session=True)
open(sys.argv[1], "w").write(f"{{child.pid}} {{own.pid}}")
time.sleep(120)
"""


def start_family(tmp_path: Path) -> tuple[OwnedProcess, list[int]]:
    note = tmp_path / "children"
    process = processes.start("family", [sys.executable, "-c", PARENT, str(note)], os.environ, tmp_path / "log")
    deadline = time.monotonic() + 60
    while not (note.exists() and len(note.read_text().split()) == 2):
        assert time.monotonic() < deadline
    return process, [int(pid) for pid in note.read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_ending_a_process_ends_its_children_also_in_sessions_of_their_own(tmp_path: Path) -> None:
    process, children = start_family(tmp_path)

    processes.end(process, grace_s=1)

    assert not processes.is_alive(process)
    assert all(is_gone(pid) for pid in children)


def test_orphans_of_a_killed_leader_are_found_by_their_session(tmp_path: Path) -> None:
    process, (child, own_session) = start_family(tmp_path)
    os.kill(process.pid, 9)
    psutil.Process(process.pid).wait(timeout=60)

    processes.end(process, grace_s=1)

    assert is_gone(child)
    os.kill(own_session, 9)


def test_a_process_with_a_reused_id_is_not_ours() -> None:
    bystander = subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True)
    try:
        earlier = OwnedProcess("gone", bystander.pid, psutil.Process(bystander.pid).create_time() + 600)

        processes.end(earlier, grace_s=1)

        assert not processes.is_alive(earlier)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait(timeout=60)
