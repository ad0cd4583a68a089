"""Tests cannot reach beyond this machine, and neither can the processes they start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

OUTSIDE = "192.0.2.1"
"""TEST-NET-1 (RFC 5737): nobody's address, should the guard ever fail."""


def test_a_connection_outside_is_refused() -> None:
    with socket.socket() as tcp, pytest.raises(PermissionError, match="only loopback"):
        tcp.connect((OUTSIDE, 9))


def test_a_datagram_outside_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        with pytest.raises(PermissionError, match="only loopback"):
            udp.sendto(b"x", (OUTSIDE, 9))
        with pytest.raises(PermissionError, match="only loopback"):
            udp.sendmsg([b"x"], [], 0, (OUTSIDE, 9))


def test_a_name_outside_is_not_looked_up() -> None:
    with pytest.raises(PermissionError, match="only loopback"):
        socket.getaddrinfo("example.invalid", 80)


def test_loopback_is_reached() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        assert udp.sendto(b"x", udp.getsockname()) == 1
    assert socket.getaddrinfo("localhost", 80)


def test_a_child_process_is_held_too() -> None:
    program = f"import socket; socket.socket().connect(({OUTSIDE!r}, 9))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ)
    )
    assert "only loopback may be reached" in done.stderr
