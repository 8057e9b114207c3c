"""Ports: free ones, and a word about who holds a taken one."""

import socket
from pathlib import Path

import pytest

from deployments.local_stack.errors import StackError
from deployments.local_stack.ports import PORTS, free_ports, require_free

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_free_ports_are_distinct_and_free() -> None:
    ports = free_ports(5)

    assert len(set(ports)) == 5
    for port in ports:
        require_free(port, "test")


def test_free_ports_are_none_that_the_kernel_gives_to_whoever_comes_next() -> None:
    if not RANGE.exists():
        pytest.skip("this system does not say which ports it hands out")
    first, last = map(int, RANGE.read_text().split())
    if first <= PORTS.stop:
        first = max(first, PORTS.stop)  # a machine that hands out nearly all of them leaves nothing better

    assert not [port for port in free_ports(20) if first <= port <= last]


def test_a_taken_port_is_named_with_its_holder() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StackError, match=rf"port {port} \(the gateway\) is taken by .*pid \d+"):
            require_free(port, "the gateway")
