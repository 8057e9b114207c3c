"""The environment of a Ray head: switches of the profile, no secrets in the open."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.local_stack.environment import (
    THREADS,
    Profile,
    foreign_cluster,
    head_environment,
    profile_environment,
)
from deployments.local_stack.home import StackHome


def test_the_loopback_profile_keeps_haproxy_off(tmp_path: Path) -> None:
    switches = profile_environment(Profile.LOOPBACK, tmp_path)

    assert switches["RAY_SERVE_ENABLE_HA_PROXY"] == "0"
    assert switches["RAY_SERVE_ENABLE_DIRECT_INGRESS"] == "0"


def test_two_performance_stacks_share_no_haproxy_port_and_no_file(tmp_path: Path) -> None:
    first = profile_environment(Profile.PERFORMANCE, tmp_path / "a")
    second = profile_environment(Profile.PERFORMANCE, tmp_path / "b")

    for name in ("STATS_PORT", "METRICS_PORT", "CONFIG_FILE_LOC", "SOCKET_PATH"):
        assert first[f"RAY_SERVE_HAPROXY_{name}"] != second[f"RAY_SERVE_HAPROXY_{name}"]


def test_a_database_password_is_handed_on_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESCALEDB_PASSWORD", "k3-J9!vLw")

    environment = head_environment(StackHome(tmp_path), Profile.LOOPBACK, {})

    file = Path(environment["TIMESCALEDB_PASSWORD_FILE"])
    assert "k3-J9!vLw" not in environment.values()
    assert file.read_text() == "k3-J9!vLw"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", THREADS)
def test_thread_count_of_the_shell_reaches_no_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")

    assert name not in head_environment(StackHome(tmp_path), Profile.LOOPBACK, {})


def test_ray_asks_for_a_token(tmp_path: Path) -> None:
    environment = head_environment(StackHome(tmp_path), Profile.LOOPBACK, {"EASYINSIGHT_API_URL": "http://market"})

    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["EASYINSIGHT_API_URL"] == "http://market"
    assert environment["CANDLECAST_HOME"] == str(tmp_path)


def test_haproxy_can_bind_its_sockets_behind_a_node_id(tmp_path: Path) -> None:
    switches = profile_environment(Profile.PERFORMANCE, StackHome(tmp_path).runtime)

    for name in ("RAY_SERVE_HAPROXY_SOCKET_PATH", "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH"):
        path = Path(switches[name])
        assert len(str(path.parent / ("n" * 56) / path.name)) <= 97


@pytest.mark.parametrize(
    ("named", "own", "foreign"),
    [("10.0.0.1:6379", None, "10.0.0.1:6379"), ("10.0.0.1:6379", "10.0.0.1:6379", ""), (None, None, "")],
    ids=["a cluster of the user's", "a shell of candlecast env", "nothing"],
)
def test_only_a_cluster_that_is_not_the_stacks_own_is_foreign(
    monkeypatch: pytest.MonkeyPatch, named: str | None, own: str | None, foreign: str
) -> None:
    for name, value in {"RAY_ADDRESS": named, "CANDLECAST_RAY_ADDRESS": own}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    assert foreign_cluster() == foreign


@pytest.mark.ray
def test_serves_own_proxy_speaks_grpc_to_the_gateway_on_loopback(tmp_path: Path) -> None:
    look = "from ray.serve._private.constants import RAY_SERVE_PROXY_USE_GRPC as on; print(on)"
    environment = os.environ | profile_environment(Profile.LOOPBACK, tmp_path)
    answer = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "True"


def test_registry_named_from_here_is_found_from_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_REGISTRY", "models")

    environment = head_environment(StackHome(tmp_path), Profile.LOOPBACK, {})

    assert environment["MODEL_REGISTRY"] == str(tmp_path / "models")
