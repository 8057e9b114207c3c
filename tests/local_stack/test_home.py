"""A stack's folder: secrets, state, short runtime paths."""

import stat
from pathlib import Path

from deployments.local_stack.home import OwnedProcess, StackHome, StackState


def test_a_secret_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    home = StackHome(tmp_path / "home")

    first, second = home.secret(home.ray_token_file), home.secret(home.ray_token_file)

    assert first == second
    assert len(first) == 64
    assert stat.S_IMODE(home.ray_token_file.stat().st_mode) == 0o600


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    home = StackHome(tmp_path)
    state = StackState(
        phase="running",
        keeper=OwnedProcess("keeper", 1, 2.5),
        processes=(OwnedProcess("ray", 3, 4.5),),
        url="http://127.0.0.1:8000",
        environment={"A": "b"},
    )

    home.write_state(state)

    assert home.read_state() == state


def test_half_a_state_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"phase": "run')

    assert StackHome(tmp_path).read_state() is None


def test_changing_one_field_keeps_the_others(tmp_path: Path) -> None:
    home = StackHome(tmp_path)
    home.write_state(StackState(phase="starting", profile="performance"))

    home.change_state(phase="running")

    state = home.read_state()
    assert state is not None
    assert (state.phase, state.profile) == ("running", "performance")


def test_sockets_stay_short_under_a_deep_home(tmp_path: Path) -> None:
    home = StackHome(tmp_path / ("deep" * 30))

    longest = home.runtime / "ray" / "session_2026-01-01_00-00-00_000000_1234567" / "sockets" / "plasma_store"

    assert len(str(longest)) < 107


def test_two_homes_have_two_runtime_folders(tmp_path: Path) -> None:
    assert StackHome(tmp_path / "a").runtime != StackHome(tmp_path / "b").runtime
