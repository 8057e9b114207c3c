"""What a whole idle stack holds in memory: demo market, embedded PostgreSQL, a served model, an index that is filled.

Of each process its proportional set size, in which a page that n processes share counts for 1/n (`smaps_rollup` in the
kernel's documentation of /proc), so that the sum is what the machine would have back. Linux alone tells it.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks._measured_stack import candlecast, stack_home
from deployments.local_stack import processes
from deployments.local_stack.home import StackHome
from deployments.local_stack.ports import free_ports
from deployments.local_stack.postgres import running_server

GOAL_GB = 3.0
IDLE_S = 300.0
CALM_S = 60.0
SHOWN = 12
MB = 2.0**20


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds, in bytes: its share of all pages, and every page that it touches."""

    name: str
    proportional: int
    resident: int


def held_by(home: StackHome) -> list[Held]:
    """Return what each process of a running stack holds, the largest first."""
    state = home.read_state()
    if state is None or state.keeper is None:
        raise RuntimeError(f"no stack runs on {home.root}")
    everyone = {each.pid: each for owned in (state.keeper, *state.processes) for each in processes.members(owned)}
    server = running_server(home.postgres)
    for each in [server, *server.children()] if server else []:
        everyone[each.pid] = each
    found = []
    for process in everyone.values():
        try:
            memory = process.memory_full_info()
            found.append(Held(_name(process), memory.pss, memory.rss))
        except psutil.NoSuchProcess:
            continue
    return sorted(found, key=lambda held: held.proportional, reverse=True)


def _name(process: psutil.Process) -> str:
    """Return what Ray calls it, else what it runs."""
    command = process.cmdline() or [process.name()]
    if command[0].startswith(("ray::", "postgres")):
        return command[0].strip()
    words = [Path(word).name for word in command if not word.startswith("-")]
    return " ".join(words[:3])


def await_idle(url: str, headers: dict[str, str]) -> None:
    """Return when a model serves, the index is filled and nothing has run for a while."""
    with httpx.Client(base_url=url, headers=headers, timeout=30.0) as client:
        deadline = time.monotonic() + IDLE_S
        while time.monotonic() < deadline:
            forecast = client.get("/api/v1/forecast/BTCUSD").json()
            sync = client.get("/api/v1/sync/status").json()
            if forecast.get("status") == "fresh" and sync["passages"] and not sync["busy"]:
                time.sleep(CALM_S)
                return
            time.sleep(1.0)
    raise TimeoutError("the stack did not come to rest")


def main() -> None:
    """Print the largest processes, and the sum."""
    with stack_home() as folder:
        (port,) = free_ports(1)
        try:
            candlecast(folder, "up", "--detach", "--port", str(port), sync=True)
            home = StackHome(folder / "home")
            await_idle(f"http://127.0.0.1:{port}", {"X-API-Key": home.admin_key_file.read_text("utf-8").strip()})
            held = held_by(home)
        finally:
            candlecast(folder, "down")
    for each in held[:SHOWN]:
        print(f"{each.proportional / MB:7.0f} MB, resident {each.resident / MB:5.0f}  {each.name}")
    proportional = sum(each.proportional for each in held) / MB
    resident = sum(each.resident for each in held) / MB
    print(f"{len(held)} processes: {proportional:.0f} MB, goal at most {GOAL_GB * 1024:.0f}; resident {resident:.0f}")


if __name__ == "__main__":
    main()
