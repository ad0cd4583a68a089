"""Counters as the kernel keeps them: an interface's (sysfs), a wireless station's (nl80211)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from opencarrier.access.agent import netlink
from opencarrier.access.agent.counters import PortReading
from opencarrier.access.agent.kernel_line import GENERIC, KernelLine
from opencarrier.kernel.refusals import PeerError

SYSFS = Path("/sys/class/net")
NAME = re.compile(r"[^/\s]{1,15}")
"""An interface's name (IFNAMSIZ less its NUL)."""

STATION: Final = re.compile(r"[0-9a-f]{12}")
FAMILY: Final = "nl80211"


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
    """Asks the kernel what it counted for a station."""

    def __init__(self) -> None:
        self._line = KernelLine(GENERIC)
        self._family: int | None = None

    def read(self, interface: int, station: str) -> PortReading | None:
        """Return a station's counters; `OSError` where the kernel does not answer as it should."""
        if not STATION.fullmatch(station):
            return None
        mac, line = bytes.fromhex(station), self._line
        try:
            family = self.family(FAMILY) if self._family is None else self._family
            self._family = family
            if family is None:
                return None
            answer = line.ask(netlink.station_request(family, interface, mac, line.next()))
            return netlink.read_station(answer, family, interface, mac, line.sequence)
        except (OSError, PeerError) as error:
            self.close()
            raise OSError(f"nl80211: {error}") from None

    def family(self, name: str) -> int | None:
        """Return a family's number, None where the kernel has none of that name."""
        answer = self._line.ask(netlink.family_request(name, self._line.next()))
        return netlink.read_family(answer, self._line.sequence)

    def close(self) -> None:
        """Close the line to the kernel; the next question opens another."""
        self._line.close()
        self._family = None


def _number(path: Path) -> int:
    return int(path.read_text("ascii"))
