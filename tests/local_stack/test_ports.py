"""Ports: free ones, and a word about who holds a taken one."""

import socket

import pytest

from deployments.local_stack.errors import StackError
from deployments.local_stack.ports import free_ports, require_free


def test_free_ports_are_distinct_and_free() -> None:
    ports = free_ports(5)

    assert len(set(ports)) == 5
    for port in ports:
        require_free(port, "test")


def test_a_taken_port_is_named_with_its_holder() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StackError, match=rf"port {port} \(the gateway\) is taken by .*pid \d+"):
            require_free(port, "the gateway")
