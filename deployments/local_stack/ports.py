"""Ports on this machine: free ones for a stack of its own, and who holds one that is wanted."""

import contextlib
import random
import socket

import psutil

from deployments.local_stack.errors import StackError

PORTS = range(20_000, 30_000)
"""Above those that another Ray hands to its workers, below those of Serve's replicas and of the kernel itself."""


def free_ports(count: int) -> list[int]:
    """Return `count` distinct ports that are free now on all interfaces; raises `StackError` where there are none.

    None is of those that the kernel hands out by itself: another process would have it before it is used.
    """
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise StackError(f"fewer than {count} ports of {PORTS.start} to {PORTS.stop - 1} are free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - Ray's own servers bind there, so it must be free there
        except OSError:
            return False
    return True


def require_free(port: int, purpose: str) -> None:
    """Raise `StackError` naming the holder if `port` is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(f"port {port} ({purpose}) is taken by {holder_of(port)}") from error


def holder_of(port: int) -> str:
    """Describe the process that listens on `port`, as far as this user may know."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                with contextlib.suppress(psutil.Error):
                    return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another process"
