"""A load generator: some connections, each asking again as soon as it is answered. One process, one thread, epoll.

`python -m benchmarks._load URL --connections 8 --seconds 5 --header 'X-API-Key: …'` prints one JSON object. Several
URLs of one server are asked for in turn.
"""

import argparse
import itertools
import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

BUFFER_BYTES = 1 << 20
MAX_REQUESTS = 200_000
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What was measured: answers per second, latencies in milliseconds, and the size of the last body in bytes."""

    per_s: float
    p50_ms: float
    p99_ms: float
    answers: int
    body_bytes: int


def measure(
    url: str, connections: int, seconds: float, headers: dict[str, str] | None = None, others: Sequence[str] = ()
) -> Load:
    """Run the generator in a process of its own; raises where it fails or an answer is not a 200."""
    command = [sys.executable, "-m", "benchmarks._load", url, *others]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    for name, value in (headers or {}).items():
        command += ["--header", f"{name}: {value}"]
    done = subprocess.run(  # noqa: S603  (our own module)
        command, capture_output=True, text=True, timeout=seconds + 2 * PATIENCE_S, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Load(**json.loads(done.stdout))


@dataclass(slots=True)
class Connection:
    """One connection: sends its request, counts what comes back, and sends it again."""

    address: tuple[str, int]
    requests: Iterator[bytes]
    sock: socket.socket = field(init=False)
    began: float = 0.0
    head: bytes = b""
    left: int = -1
    body_bytes: int = 0

    def __post_init__(self) -> None:
        self.sock = socket.create_connection(self.address, timeout=PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> None:
        self.head, self.left = b"", -1
        self.began = time.perf_counter()
        self.sock.sendall(next(self.requests))

    def take(self, buffer: bytearray) -> bool:
        """Read what there is; return whether the answer is complete."""
        count = self.sock.recv_into(buffer)
        if not count:
            raise ConnectionError("the server closed the connection")
        if self.left >= 0:
            self.left -= count
        else:
            self.head += buffer[:count]
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.body_bytes = _length(self.head[:end])
            self.left = self.body_bytes - (len(self.head) - end - 4)
        return self.left == 0


def _length(head: bytes) -> int:
    status, *lines = head.lower().split(b"\r\n")
    if b" 200" not in status:
        raise RuntimeError(f"answered {status.decode()}")
    fields = dict(line.split(b":", 1) for line in lines)
    return int(fields[b"content-length"])


def run(urls: Sequence[str], connections: int, seconds: float, headers: list[str]) -> Load:
    """Load a server for `seconds` seconds, after a tenth of that to warm up."""
    parts = urlsplit(urls[0])
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    requests = itertools.cycle([_request(url, headers) for url in urls])
    clients = [Connection(address, requests) for _ in range(connections)]
    _drive(clients, seconds / 10)
    latencies, took = _drive(clients, seconds)
    for client in clients:
        client.sock.close()
    ordered = sorted(latencies)
    return Load(
        len(ordered) / took,
        statistics.median(ordered) * 1000,
        ordered[int(len(ordered) * 0.99)] * 1000,
        len(ordered),
        clients[0].body_bytes,
    )


def _request(url: str, headers: list[str]) -> bytes:
    parts = urlsplit(url)
    lines = [f"GET {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}", "Accept: */*", *headers, "", ""]
    return "\r\n".join(lines).encode()


def _drive(clients: list[Connection], seconds: float) -> tuple[list[float], float]:
    """Let every connection ask until the time is over, then wait for the last answers."""
    buffer, latencies, busy = bytearray(BUFFER_BYTES), [], len(clients)
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ, client)
            client.ask()
        while busy:
            ready = selector.select(PATIENCE_S)
            if not ready:
                raise TimeoutError(f"no answer within {PATIENCE_S:g} s")
            for key, _ in ready:
                if key.data.take(buffer):
                    now = time.perf_counter()
                    latencies.append(now - key.data.began)
                    if now - began < seconds and len(latencies) < MAX_REQUESTS:
                        key.data.ask()
                    else:
                        busy -= 1
    return latencies, time.perf_counter() - began


def main() -> None:
    """Print what was measured."""
    options = argparse.ArgumentParser()
    options.add_argument("urls", nargs="+", metavar="URL")
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--header", action="append", default=[])
    chosen = options.parse_args()
    found = run(chosen.urls, chosen.connections, chosen.seconds, chosen.header)
    print(json.dumps({name: getattr(found, name) for name in Load.__slots__}))


if __name__ == "__main__":
    main()
