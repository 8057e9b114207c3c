"""Ending a stack while others start and end stacks on the same home."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.local_stack import processes
from deployments.local_stack.errors import StackError
from deployments.local_stack.home import OwnedProcess, StackHome, StackState
from deployments.local_stack.stack import only_keeper
from deployments.local_stack.status import take_down

SLEEPER = "import time; time.sleep(120)"
KEEPER = """
import sys, time
from pathlib import Path
from deployments.local_stack.home import StackHome
from deployments.local_stack.stack import only_keeper
with only_keeper(StackHome(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(120)
"""

SLOW_KEEPER = """
import os, sys, time
from pathlib import Path
from deployments.local_stack.home import StackHome
from deployments.local_stack.stack import only_keeper
with only_keeper(StackHome(Path(sys.argv[1]))):
    if os.fork() == 0:  # a child shares the lock until it ends, as threads do that outlive the first one
        time.sleep(1)
        os._exit(0)
    print("held", flush=True)
    time.sleep(120)
"""
SUCCEEDED = """
import signal, sys, time
from dataclasses import replace
from pathlib import Path
from deployments.local_stack.home import OwnedProcess, StackHome
home = StackHome(Path(sys.argv[1]))
def end(*_):
    home.write_state(replace(home.read_state(), keeper=OwnedProcess("keeper", 1, 0.0)))  # the next one's
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(120)
"""


@pytest.fixture
def home(tmp_path: Path) -> StackHome:
    return StackHome(tmp_path)


@pytest.fixture
def sleeper(home: StackHome) -> Iterator[OwnedProcess]:
    process = processes.start("sleeper", [sys.executable, "-c", SLEEPER], os.environ, home.logs / "sleeper.log")
    yield process
    processes.end(process, grace_s=1)


def test_leftovers_of_a_killed_stack_are_ended(home: StackHome, sleeper: OwnedProcess) -> None:
    home.write_state(StackState("running", OwnedProcess("keeper", sleeper.pid, sleeper.started - 600), (sleeper,)))

    take_down(home)

    assert not processes.is_alive(sleeper)
    assert home.read_state() is None


def test_stack_that_is_just_being_started_is_not_taken_for_a_leftover(home: StackHome, sleeper: OwnedProcess) -> None:
    state = StackState("starting", None, (sleeper,))
    with only_keeper(home):
        home.write_state(state)

        with pytest.raises(StackError, match="just being started"):
            take_down(home)

    assert processes.is_alive(sleeper)
    assert home.read_state() == state


def test_keeper_that_dies_slowly_leaves_nothing_behind(home: StackHome, sleeper: OwnedProcess) -> None:
    with subprocess.Popen([sys.executable, "-c", SLOW_KEEPER, str(home.root)], stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"held\n"
        home.write_state(StackState("running", processes.owned("keeper", keeper.pid), (sleeper,)))

        take_down(home)

        assert not processes.is_alive(sleeper)
        assert home.read_state() is None


def test_stack_started_in_the_moment_that_the_former_ended_lives_on(home: StackHome, sleeper: OwnedProcess) -> None:
    with subprocess.Popen([sys.executable, "-c", SUCCEEDED, str(home.root)], stdout=subprocess.PIPE) as former:
        assert former.stdout is not None
        assert former.stdout.readline() == b"ready\n"
        with only_keeper(home):
            home.write_state(StackState("running", processes.owned("keeper", former.pid), (sleeper,)))

            take_down(home)

    assert former.returncode == 0
    assert processes.is_alive(sleeper)


def test_home_is_free_as_soon_as_its_keeper_is_killed(home: StackHome) -> None:
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER, str(home.root)], stdout=subprocess.PIPE, text=True)
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "held\n"
        with pytest.raises(StackError, match="already runs"), only_keeper(home):
            pass
    finally:
        keeper.kill()
        keeper.communicate(timeout=60)
    with only_keeper(home):
        pass
