"""Counters as the kernel keeps them: an interface's (sysfs), a wireless station's (nl80211)."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Final

from opencarrier.access.agent import netlink
from opencarrier.access.agent.counters import PortReading
from opencarrier.kernel.refusals import PeerError

SYSFS = Path("/sys/class/net")
NAME = re.compile(r"[^/\s]{1,15}")
"""An interface's name (IFNAMSIZ less its NUL)."""

STATION: Final = re.compile(r"[0-9a-f]{12}")
NETLINK_GENERIC: Final = 16
FAMILY: Final = "nl80211"
ANSWER_S: Final = 0.2
ANSWER_OCTETS_MAX: Final = 16_384


class KernelPorts:
    """Reads octets, 64 bits wide, of named interfaces.

    A wireless interface carries many stations: of it only a station's own are told.
    """

    def __init__(self, root: Path = SYSFS, stations: Stations | None = None) -> None:
        self._root = root
        self._stations = stations or Stations()

    def read(self, name: str, station: str = "") -> PortReading | None:
        """Return what was counted, None where there is no such interface, or station at it, now."""
        assert NAME.fullmatch(name)
        assert name not in (".", "..")
        folder = self._root / name
        try:
            interface = _number(folder / "ifindex")
            if (folder / "phy80211").exists():
                return self._stations.read(interface, station)
            return PortReading(
                interface=interface,
                octets_in=_number(folder / "statistics" / "rx_bytes"),
                octets_out=_number(folder / "statistics" / "tx_bytes"),
            )
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Close the line to the kernel."""
        self._stations.close()


class Stations:
    """Asks the kernel over generic netlink; anybody may (no privilege is needed to read)."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._family: int | None = None
        self._sequence = 0

    def read(self, interface: int, station: str) -> PortReading | None:
        """Return a station's counters; `OSError` where the kernel does not answer as it should."""
        if not STATION.fullmatch(station):
            return None
        mac = bytes.fromhex(station)
        try:
            family = self.family(FAMILY) if self._family is None else self._family
            self._family = family
            if family is None:
                return None
            asked = netlink.station_request(family, interface, mac, self._next())
            answer = self._ask(asked)
            return netlink.read_station(answer, family, interface, mac, self._sequence)
        except (OSError, PeerError) as error:
            self.close()
            raise OSError(f"nl80211: {error}") from None

    def family(self, name: str) -> int | None:
        """Return a family's number, None where the kernel has none of that name."""
        answer = self._ask(netlink.family_request(name, self._next()))
        return netlink.read_family(answer, self._sequence)

    def close(self) -> None:
        """Close the socket; the next question opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = self._family = None

    def _next(self) -> int:
        self._sequence = self._sequence % 0xFFFF_FFFF + 1
        return self._sequence

    def _ask(self, request: bytes) -> bytes:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
            self._socket.bind((0, 0))
            self._socket.settimeout(ANSWER_S)
        self._socket.sendto(request, (0, 0))
        answer, source = self._socket.recvfrom(ANSWER_OCTETS_MAX)
        if source[0] != 0:
            raise OSError("an answer that is not the kernel's")
        return answer


def _number(path: Path) -> int:
    return int(path.read_text("ascii"))
