"""Refuses every network address but loopback, in this process: tests and proofs stay at home.

Python imports this module by itself wherever `tools/guard` is on PYTHONPATH, so child processes
inherit it. The hook sits below the socket module and cannot be removed.
"""

from __future__ import annotations

import ipaddress
import sys

NETLINK = 16
"""AF_NETLINK leads to this machine's own kernel, and nowhere else."""

EVENTS = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"}
LOCAL_NAMES = {"", "localhost", "localhost.localdomain", "ip6-localhost"}


class OutsideError(PermissionError):
    """Something tried to reach beyond this machine."""


def install() -> None:
    """Refuse from now on; more than one call changes nothing."""
    if not getattr(sys, "_loopback_only", False):
        sys._loopback_only = True  # type: ignore[attr-defined]
        sys.addaudithook(_hook)


def is_local(host: object) -> bool:
    """Say whether a host is this machine: loopback, unspecified, or a local name."""
    if isinstance(host, bytes | bytearray):
        host = bytes(host).decode("ascii", "replace")
    if host is None:
        return True
    if not isinstance(host, str):
        return False
    if host.lower() in LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event in EVENTS:
        line, address = arguments[:2]
        if getattr(line, "family", None) == NETLINK:
            return
        if isinstance(address, tuple) and not is_local(address[0]):
            raise OutsideError(f"{event} to {address!r}: only loopback may be reached")
    elif event == "socket.getaddrinfo" and not is_local(arguments[0]):
        raise OutsideError(f"look-up of {arguments[0]!r}: only loopback may be reached")


install()
