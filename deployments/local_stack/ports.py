"""Ports on this machine: free ones for a stack of its own, and who holds one that is wanted."""

import contextlib
import socket

import psutil

from deployments.local_stack.errors import StackError


def free_ports(count: int) -> list[int]:
    """Return `count` distinct ports that are free now on all interfaces."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("0.0.0.0", 0))  # noqa: S104 - Ray's own servers bind there, so the port must be free there
        return [each.getsockname()[1] for each in sockets]


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
