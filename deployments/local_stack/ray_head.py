"""The Ray head of a stack: starting it, deploying the graph on it, and talking to the graph by handle."""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from deployments.local_stack import processes
from deployments.local_stack.errors import StackError
from deployments.local_stack.home import OwnedProcess, StackHome
from deployments.local_stack.ports import free_ports

APPLICATION = "candlecast"
START_TIMEOUT_S = 180.0
"""A head that dies is noticed at once; one on a machine with much else to do takes minutes."""

DEPLOY_TIMEOUT_S = 240.0
END_GRACE_S = 15.0

KEPT_SESSIONS = 3
"""Folders of earlier heads with their logs, some 2 to 14 MB each; Ray itself never deletes one."""


class RayHead:
    """A Ray head with token authentication, its dashboard on loopback, all its ports its own."""

    def __init__(
        self, home: StackHome, environment: Mapping[str, str], remember: Callable[[OwnedProcess], None]
    ) -> None:
        self._home = home
        self._remember = remember
        self._environment = environment
        token_file = Path(environment["RAY_AUTH_TOKEN_PATH"])
        self._token = home.secret(token_file)
        self.process: OwnedProcess | None = None
        self.dashboard_url = ""
        self.address = ""

    def start(self) -> None:
        """Start the head and return once its dashboard answers; raises `StackError` with the end of its log."""
        folder = self._home.runtime / "ray"
        forget_sessions(folder)
        gcs, dashboard, agent, agent_grpc, runtime_env, metrics, client = free_ports(7)
        self.dashboard_url = f"http://127.0.0.1:{dashboard}"
        log = self._home.logs / "ray_head.log"
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
        command += [f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
        command += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
        command += [f"--runtime-env-agent-port={runtime_env}", f"--metrics-export-port={metrics}"]
        # Random worker ports: two heads on one machine would hand out the same fixed range.
        command += [f"--ray-client-server-port={client}", "--min-worker-port=0", "--max-worker-port=0"]
        command += [f"--temp-dir={folder}", "--disable-usage-stats"]
        # The graph's own shares leave too little of one core for a training worker.
        command += [f"--num-cpus={max(2, os.cpu_count() or 1)}"]
        self.process = processes.start("ray", command, self._environment, log)
        self._remember(self.process)
        self.address = f"{self._await_node(log)}:{gcs}"

    def attach(self, address: str) -> None:
        """Use a cluster that already runs, at `address`; its dashboard is the one `RAY_API_SERVER_ADDRESS` names."""
        dashboard = os.environ.get("RAY_API_SERVER_ADDRESS", "")
        if not dashboard:
            raise StackError(
                "RAY_ADDRESS is set: set RAY_API_SERVER_ADDRESS too, the address of that cluster's dashboard"
            )
        self.address, self.dashboard_url = address, dashboard.rstrip("/")
        others = sorted(set(self._applications()) - {APPLICATION})
        if others:
            raise StackError(f"that cluster serves {', '.join(others)}: use `serve deploy`, which this would replace")

    def _await_node(self, log: Path) -> str:
        """Return the address under which the head has registered itself.

        Ray replaces a loopback address by the machine's own; drivers must use the one that it chose.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process is not None and not processes.is_alive(self.process):
                raise StackError(f"Ray did not start:\n{tail(log)}")
            try:
                nodes = self._get("/nodes?view=summary").json()["data"]["summary"]
                if nodes:
                    return str(nodes[0]["ip"])
            except (httpx.HTTPError, ValueError, KeyError):
                pass  # The dashboard comes up before the parts that it asks.
            time.sleep(0.1)
        raise StackError(f"Ray did not start within {START_TIMEOUT_S:g} s:\n{tail(log)}")

    def _get(self, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"}
        return httpx.get(self.dashboard_url + path, headers=headers, timeout=5.0)

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Hand the graph's configuration to Serve, as `serve deploy` does."""
        headers = {"Authorization": f"Bearer {self._token}"}
        url = f"{self.dashboard_url}/api/serve/applications/"
        try:
            answer = httpx.put(url, json=dict(config), headers=headers, timeout=60.0)
        except httpx.HTTPError as error:
            raise StackError(f"the Ray dashboard at {self.dashboard_url} does not answer: {error}") from error
        if answer.status_code != httpx.codes.OK:
            raise StackError(f"Serve refused the graph: {answer.text[:2000]}")

    def application(self) -> dict[str, Any]:
        """Return Serve's own view of the application: `status`, `message`, `deployments`."""
        found: dict[str, Any] = self._applications().get(APPLICATION, {})
        return found

    def _applications(self) -> dict[str, Any]:
        """Return all applications on the cluster; none while a busy head does not answer in time."""
        try:
            found: dict[str, Any] = self._get("/api/serve/applications/").json().get("applications", {})
        except (httpx.HTTPError, ValueError):
            return {}
        return found

    def await_application(self, on_progress: Callable[[int, int], None]) -> None:
        """Return once every deployment is healthy; raises `StackError` with Serve's message."""
        deadline = time.monotonic() + DEPLOY_TIMEOUT_S
        while time.monotonic() < deadline:
            state = self.application()
            deployments = state.get("deployments", {})
            on_progress(sum(each["status"] == "HEALTHY" for each in deployments.values()), len(deployments))
            if state.get("status") == "RUNNING":
                return
            if state.get("status") == "DEPLOY_FAILED":
                raise StackError(f"the graph could not be deployed: {why(state)}")
            time.sleep(0.2)
        raise StackError(f"the graph was not healthy within {DEPLOY_TIMEOUT_S:g} s: {why(self.application())}")

    def connect(self) -> None:
        """Make this process a driver of the cluster, so that it can call the graph by handle."""
        connect(self.address, self._environment)

    def stop(self) -> None:
        """Let replicas end in order, then end every process of the head."""
        if not self.dashboard_url:
            return
        headers = {"Authorization": f"Bearer {self._token}"}
        if set(self._applications()) - {APPLICATION}:
            return  # Deleting ends Serve as a whole, and others have come to use it.
        # A head that no longer answers is ended all the same.
        with contextlib.suppress(httpx.HTTPError):
            httpx.delete(f"{self.dashboard_url}/api/serve/applications/", headers=headers, timeout=END_GRACE_S)
        if self.process is not None:
            processes.end(self.process, END_GRACE_S)


def forget_sessions(folder: Path, kept: int = KEPT_SESSIONS) -> None:
    """Delete what heads of this home have left in `folder`, but for the newest; none of them may be running."""
    # Their names begin with the time of their start. `session_latest` is a link to the newest.
    sessions = sorted(path for path in folder.glob("session_2*") if path.is_dir() and not path.is_symlink())
    for session in sessions[: max(0, len(sessions) - kept)]:
        shutil.rmtree(session, ignore_errors=True)


def connect(address: str, environment: Mapping[str, str]) -> None:
    """Make this process a driver of the cluster at `address`, with Serve's switches set as that cluster has them."""
    os.environ.update({name: value for name, value in environment.items() if name.startswith("RAY_")})
    os.environ["RAY_SERVE_LOG_TO_STDERR"] = "0"  # Serve's own log lines would stand between the steps
    import ray

    with _own_ending():
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")


def disconnect() -> None:
    """End the driver connection; does nothing where there is none."""
    if "ray" in sys.modules:
        import ray

        with _own_ending():
            ray.shutdown()


@contextlib.contextmanager
def _own_ending() -> Iterator[None]:
    """Keep what SIGTERM does here: Ray takes it while it is connected, and then leaves a process to die of it."""
    kept = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():  # only there can Ray, or anybody, change it
        signal.signal(signal.SIGTERM, kept)


def deployment_handle(name: str) -> Any:
    """Return a handle on one deployment of the graph; needs `RayHead.connect`."""
    from ray import serve

    return serve.get_deployment_handle(name, APPLICATION)


def why(application: Mapping[str, Any]) -> str:
    """Return what Serve says about an application that is not running."""
    messages = [str(application.get("message", ""))]
    messages += [str(each.get("message", "")) for each in application.get("deployments", {}).values()]
    return "\n".join(dict.fromkeys(text.strip() for text in messages if text.strip())) or "no reason given"


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
