"""One stack on this machine: database, Ray head, market and graph, in the order in which they need each other."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.common.errors import NotFound
from deployments.gateway.access.keys import KeyRing
from deployments.gateway.models import Scope
from deployments.knowledge.models import SyncState
from deployments.local_stack import processes
from deployments.local_stack.api import StackApi
from deployments.local_stack.config import SERVE_CONFIG, stack_config
from deployments.local_stack.environment import Profile, foreign_cluster, head_environment, ray_client_environment
from deployments.local_stack.errors import StackError
from deployments.local_stack.history import History
from deployments.local_stack.home import OwnedProcess, StackHome, StackState
from deployments.local_stack.market import Market, MarketKind, start_demo_market
from deployments.local_stack.ports import require_free
from deployments.local_stack.postgres import EmbeddedPostgres, stop_leftover
from deployments.local_stack.progress import Steps
from deployments.local_stack.ray_head import RayHead, disconnect
from deployments.local_stack.training import train_first_model

API_TIMEOUT_S = 60.0
WATCH_S = 1.0
ADMIN_KEY_NAME = "stack"
INHERITED = (
    "TIMESCALEDB_",
    "APP_DATABASE_",
    "EASYINSIGHT_",
    "OLLAMA_",
    "RAG_SYNC_",
    "CANDLECAST_",
    "EMBEDDING_",
    "HF_",
)
"""Variables that replicas on somebody else's cluster are given."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What the command line says."""

    home: Path
    port: int = 8000
    profile: Profile = Profile.LOOPBACK
    data: Path | None = None
    train: bool = True
    config: Path = SERVE_CONFIG


class Stack:
    """Bring the whole of Candlecast up in this process's care, and take all of it down again."""

    def __init__(self, options: StackOptions, steps: Steps) -> None:
        self._options = options
        self._steps = steps
        self._home = StackHome(options.home)
        self._postgres: EmbeddedPostgres | None = None
        self._head: RayHead | None = None
        self._environment: dict[str, str] = {}
        self._url = f"http://127.0.0.1:{options.port}"

    def run(self) -> None:
        """Start everything, say where it is, and stay until interrupted; whatever happens, leave no process behind."""
        with only_keeper(self._home):
            history = History.open(self._options.data)
            market = Market.choose(self._home, self._options.data, history)
            end_leftovers(self._home)
            require_free(self._options.port, "the gateway; choose another with --port")
            try:
                self._start(market, history)
                self._watch()
            except BaseException as error:
                self._record_end(error)
                raise
            finally:
                self._stop()

    def _start(self, market: Market, history: History) -> None:
        keeper = processes.owned("keeper", os.getpid())
        self._home.write_state(StackState(phase="starting", keeper=keeper, profile=self._options.profile))
        services = self._start_database() | self._start_market(market)
        head = self._start_ray(services)
        api = self._deploy(head)
        self._home.change_state(phase="importing", url=self._url, market_url=market.url)
        head.connect()
        try:
            history.bring_in(market.url, self._steps)
        finally:
            disconnect()
        market.remember(self._home)
        self._home.change_state(phase="training")
        self._without_fail(lambda: trigger_sync(api))
        if self._options.train:
            self._without_fail(lambda: train_first_model(api, market.interval, self._steps))
        self._home.change_state(phase="running")
        # Who reads a log later shall find no key in it; `up --detach` and `login` make links of their own.
        self._steps.ready(self._url, api.login_link() if self._steps.is_watched else "")

    def _start_database(self) -> dict[str, str]:
        if os.environ.get("TIMESCALEDB_HOST"):
            return {}
        with self._steps.step("Database", "embedded PostgreSQL 18"):
            self._postgres = EmbeddedPostgres(self._home)
            return self._postgres.start()

    def _start_market(self, market: Market) -> dict[str, str]:
        if market.kind is not MarketKind.DEMO:
            return {"EASYINSIGHT_API_URL": market.url}
        with self._steps.step("Market", "demo, seeded"):
            market.url = start_demo_market(self._home, self._remember)
            return {"EASYINSIGHT_API_URL": market.url}

    def _start_ray(self, services: dict[str, str]) -> RayHead:
        environment = head_environment(self._home, self._options.profile, services)
        self._environment = environment
        with self._steps.step("Ray", "head with token authentication"):
            head = RayHead(self._home, environment, self._remember)
            self._head = head
            if foreign_cluster():
                head.attach(foreign_cluster())
            else:
                head.start()
        self._home.ray_address_file.write_text(head.address, encoding="utf-8")
        switches = {name: value for name, value in environment.items() if name.startswith("RAY_SERVE_")}
        self._home.change_state(
            ray_address=head.address,
            ray_dashboard_url=head.dashboard_url,
            environment=ray_client_environment(self._home) | switches,
        )
        return head

    def _deploy(self, head: RayHead) -> StackApi:
        admin_key = ensure_admin_key(self._home)
        with self._steps.step("Graph", "five deployments") as step:
            head.deploy(self._config(head))
            head.await_application(step.update)
            api = StackApi(self._url, admin_key)
            api.await_alive(API_TIMEOUT_S)
        return api

    def _config(self, head: RayHead) -> dict[str, Any]:
        """Return the graph's configuration; replicas on a cluster of the user's learn here what ours inherit."""
        config = stack_config(self._options.config, "127.0.0.1", self._options.port, self._home.root)
        if head.process is None:
            names = [name for name in self._environment if name.startswith(INHERITED)]
            variables = {name: self._environment[name] for name in names}
            for application in config["applications"]:
                application["runtime_env"] = {"env_vars": variables}
        return config

    def _remember(self, process: OwnedProcess) -> None:
        state = self._home.read_state()
        known = state.processes if state else ()
        self._home.change_state(processes=(*known, process))

    def _without_fail(self, work: Callable[[], None]) -> None:
        """Do what a stack can live without; a failure is said and costs nothing else."""
        try:
            work()
        except StackError as error:
            self._steps.note(f"[yellow]{error}")

    def _watch(self) -> None:
        while True:
            state = self._home.read_state()
            for process in state.processes if state else ():
                if not processes.is_alive(process):
                    raise StackError(f"{process.name} (pid {process.pid}) ended by itself; see {self._home.logs}")
            self._keep_database()
            time.sleep(WATCH_S)

    def _keep_database(self) -> None:
        """Start an embedded database that ended by itself again: the graph reads on from memory meanwhile."""
        if self._postgres is None or self._postgres.is_running:
            return
        self._steps.note("[yellow]the database ended by itself; starting it again")
        if self._postgres.revive():
            self._steps.note("the database runs again")

    def _record_end(self, error: BaseException) -> None:
        phase = "failed" if isinstance(error, Exception) else "stopping"
        self._home.change_state(phase=phase, error=str(error) if isinstance(error, Exception) else "")

    def _stop(self) -> None:
        """End everything, one thing after the other, whatever the one before it did."""
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C would leave half of it running
        state = self._home.read_state()
        with self._steps.step("Stopping", "graph, Ray, database"), contextlib.ExitStack() as endings:
            if self._postgres is not None:
                endings.callback(self._postgres.stop)
            for process in state.processes if state else ():
                endings.callback(processes.end, process, 5)
            if self._head is not None:
                endings.callback(self._head.stop)
        if state is None or state.phase != "failed":
            self._home.clear_state()


def trigger_sync(api: StackApi) -> None:
    """Start a sync cycle: the sync's own first one found an empty database, and the next comes minutes later.

    One that is stopped, by `RAG_SYNC_ENABLED` or by hand, stays so.
    """
    if api.get("/api/v1/sync/status")["state"] == SyncState.STOPPED:
        return
    api.post("/api/v1/sync/trigger")


def ensure_admin_key(home: StackHome) -> str:
    """Return the stack's own admin key, kept in `<home>/admin.key` (0600), made anew where it no longer opens."""
    ring = KeyRing(home.auth)
    if home.admin_key_file.exists():
        key = home.admin_key_file.read_text(encoding="utf-8").strip()
        if ring.verify(key) is not None:
            return key
        home.admin_key_file.unlink()
    with contextlib.suppress(NotFound):
        ring.revoke(ADMIN_KEY_NAME)
    key = ring.create(ADMIN_KEY_NAME, (Scope.ADMIN,))
    handle = os.open(home.admin_key_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(key)
    return key


@contextlib.contextmanager
def only_keeper(home: StackHome) -> Iterator[None]:
    """Hold the home for this process; raises `StackError` where another stack holds it."""
    with home.lock_file.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise already_running(home) from error
        yield


def already_running(home: StackHome) -> StackError:
    """Return the error for a home that another stack holds."""
    state = home.read_state()
    where = f" at {state.url}" if state and state.url else ""
    return StackError(f"a stack already runs on {home.root}{where}; end it with `candlecast down`")


def end_leftovers(home: StackHome) -> None:
    """End what a killed stack left running: its own sessions, told by id and start time, and its database."""
    state = home.read_state()
    for process in state.processes if state else ():
        processes.end(process, grace_s=10)
    stop_leftover(home)
    home.clear_state()
