"""90 days of hourly candles over HTTP: our graph in both profiles beside two peers on the same database."""

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks._load import Load, measure
from benchmarks._measured_graph import FIXED
from benchmarks._measured_stack import (
    SYMBOL,
    MeasuredStack,
    database_alone,
    running_peer,
    running_stack,
    stack_home,
    write_candles,
)

SECONDS = 12.0
ROUNDS = 3
CONNECTIONS = (1, 8)
PATH = f"/api/v1/data/{SYMBOL}?interval=1h&lookback_days=90"
PEERS = {
    "usual": ("benchmarks.peers.candles_usual", "data"),
    "usual, typed": ("benchmarks.peers.candles_usual", "typed"),
    "tuned": ("benchmarks.peers.candles_tuned", "data"),
}
PROFILES = ("loopback", "performance")
GOALS = {"performance": {"usual": 40, "tuned": 6}, "loopback": {"usual": 20, "tuned": 3}}
P50_GOAL = 1.5


Service = tuple[str, dict[str, str]]
"""An address and the headers to ask it with."""


@dataclass(slots=True)
class Table:
    """What was measured, by service and number of connections; printed line by line as it comes."""

    seconds: float
    loads: dict[tuple[str, int], Load] = field(default_factory=dict)

    def add(self, services: Mapping[str, Service]) -> None:
        """Measure services with each number of connections, in turns, so that what else happens meets all of them."""
        for connections in CONNECTIONS:
            rounds: dict[str, list[Load]] = {name: [] for name in services}
            for _ in range(ROUNDS):
                for name, (url, headers) in services.items():
                    rounds[name].append(measure(url, connections, self.seconds / ROUNDS, headers))
            for name, loads in rounds.items():
                load = self.loads[name, connections] = middle(loads)
                figures = f"{load.per_s:>10.0f}{load.p50_ms:>10.2f}{load.p99_ms:>10.2f}{load.body_bytes / 1000:>9.0f}"
                print(f"{name:<34}{connections:>6}{figures}", flush=True)

    def ratios(self) -> None:
        """Print what the goals speak of."""
        for profile in PROFILES:
            ours = self.loads[profile, 8]
            for peer, goal in GOALS[profile].items():
                ratio = ours.per_s / self.loads[f"peer, {peer}", 8].per_s
                print(f"{profile} to the {peer} peer: {ratio:.1f} × (goal {goal} ×)")
            fixed = self.loads[f"{profile}, fixed bytes", 1]
            ratio = self.loads[profile, 1].p50_ms / fixed.p50_ms
            print(f"{profile} p50 at one connection to fixed bytes: {ratio:.2f} × (goal at most {P50_GOAL} ×)")


def middle(loads: list[Load]) -> Load:
    """Return the median of each figure; a round that something else disturbed does not count."""
    return Load(*(statistics.median(getattr(load, each) for load in loads) for each in Load.__slots__))


def measure_stack(table: Table, profile: str, stack: MeasuredStack) -> None:
    """Measure candles as they are, compressed, and fixed bytes of the same size."""
    plain = stack.headers | {"Accept-Encoding": "identity"}
    size = measure(stack.url + PATH, 1, 1.0, plain).body_bytes
    table.add(
        {
            profile: (stack.url + PATH, plain),
            f"{profile}, fixed bytes": (f"{stack.url}{FIXED}{size}", plain),
            f"{profile}, gzip": (stack.url + PATH, stack.headers | {"Accept-Encoding": "gzip"}),
        }
    )


def main() -> None:
    """Print the table and the ratios."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.candles")
    options.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    table = Table(options.parse_known_args()[0].seconds)
    print(f"{'':<34}{'conns':>6}{'per s':>10}{'p50 ms':>10}{'p99 ms':>10}{'kB':>9}")
    with stack_home() as folder:
        data = write_candles(folder)
        for profile in PROFILES:
            with running_stack(folder, profile, data) as stack:
                measure_stack(table, profile, stack)
        with database_alone(folder) as dsn:
            for name, (module, route) in PEERS.items():
                with running_peer(module, dsn) as url:
                    table.add({f"peer, {name}": (f"{url}/{route}/{SYMBOL}?lookback_days=90", {})})
    table.ratios()


if __name__ == "__main__":
    main()
