"""The environment in which a stack's Ray head, and with it every replica and job, runs."""

import os
import sys
from enum import StrEnum
from pathlib import Path

from deployments.common.settings import located
from deployments.local_stack.home import StackHome
from deployments.local_stack.ports import free_ports

_GRPC_MESSAGE_BYTES = 256 * 1024 * 1024
"""Candles of a batch travel in one message; Serve's own limit of 4 MiB is less than 50,000 of them."""


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables of a shell that no head inherits: unless they are set, Ray gives each replica as many threads as CPUs."""


class Profile(StrEnum):
    """How HTTP reaches the gateway: through Serve's own proxy on loopback, or through HAProxy on all interfaces."""

    LOOPBACK = "loopback"
    PERFORMANCE = "performance"


def profile_environment(profile: Profile, runtime: Path) -> dict[str, str]:
    """Return Serve's speed switches, which it reads when Ray starts.

    Each stack gets HAProxy ports and files of its own: their defaults would collide between two stacks.
    """
    switches = {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Serve's proxy looks at this before the switch above has set it, and would hand answers over by object store.
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1",
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(_GRPC_MESSAGE_BYTES),
    }
    if profile is Profile.LOOPBACK:
        return switches | {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}
    statistics, metrics = free_ports(2)
    return switches | {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(statistics),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(runtime / "haproxy.cfg"),
        # Serve puts a node id of 56 characters before the file, and HAProxy takes 97 in all: short names, no folder.
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(runtime / "a.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(runtime / "m.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(runtime),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(runtime / "server-state"),
    }


def foreign_cluster() -> str:
    """Return the address of a cluster of the user's that `RAY_ADDRESS` names, empty where a stack has its own.

    A shell that took over `candlecast env` names the stack's own cluster, which may have ended since.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    return "" if address == os.environ.get("CANDLECAST_RAY_ADDRESS", "") else address


def ray_client_environment(home: StackHome) -> dict[str, str]:
    """Return what a process needs to be let in by the Ray head."""
    own = str(home.ray_token_file)
    path = os.environ.get("RAY_AUTH_TOKEN_PATH", own) if foreign_cluster() else own
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": path}


def head_environment(home: StackHome, profile: Profile, services: dict[str, str]) -> dict[str, str]:
    """Return the whole environment of the Ray head.

    `services` says where the database and the market are. A database password in our own environment is handed on
    as a file, so that of all replicas only MarketData comes to hold it.
    """
    agent_metrics, dashboard_metrics = free_ports(2)
    environment = dict(os.environ) | services | ray_client_environment(home)
    environment |= profile_environment(profile, home.runtime)
    environment |= {
        "CANDLECAST_HOME": str(home.root),
        "MODEL_REGISTRY": located(environment.get("MODEL_REGISTRY", "")),
        "HF_HUB_OFFLINE": environment.get("HF_HUB_OFFLINE", "1"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}",
        "AUTOSCALER_METRIC_PORT": str(agent_metrics),
        "DASHBOARD_METRIC_PORT": str(dashboard_metrics),
        # Ray would run all its workers at niceness 15; here each part chooses for itself, serving first.
        "RAY_worker_niceness": "0",
    }
    if profile is Profile.PERFORMANCE:
        environment["CANDLECAST_PUBLIC"] = "true"  # HAProxy listens on all interfaces
    # The addresses would lead the head's own processes elsewhere.
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", *THREADS):
        environment.pop(name, None)
    password = environment.pop("TIMESCALEDB_PASSWORD", "")
    if password:
        file = home.root / "timescaledb_password"
        file.touch(mode=0o600)
        file.write_text(password, encoding="utf-8")
        environment["TIMESCALEDB_PASSWORD_FILE"] = str(file)
    return environment
