"""Which station an address is of, as the kernel of a machine on the same network knows it.

What is sent back to an address goes to the neighbour the kernel has for it. A station that an
access point let in cannot have another's MAC address, so who hears our answers is who we think.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from opencarrier.access.agent import netlink
from opencarrier.access.agent.kernel_line import ROUTE, KernelLine
from opencarrier.kernel.refusals import PeerError

PARTS_MAX: Final = 256
"""Parts of an answer that are read: some hundred neighbours each."""


class Neighbours:
    """Asks for the neighbours of the moment."""

    def __init__(self) -> None:
        self._line = KernelLine(ROUTE)

    def station_of(self, address: str) -> str:
        """Return the MAC address an IP address is reached by, as 12 hex digits; "" if unknown."""
        wanted = ip_address(address)
        try:
            asked = netlink.neighbours_request(wanted.version, self._line.next())
            answer = self._line.ask(asked)
            for _ in range(PARTS_MAX):
                found, more = netlink.read_neighbours(answer, self._line.sequence)
                if wanted.packed in found:
                    self._line.close()
                    return found[wanted.packed].hex()
                if not more:
                    return ""
                answer = self._line.more()
        except (OSError, PeerError):
            pass
        self._line.close()
        return ""

    def close(self) -> None:
        """Close the line to the kernel."""
        self._line.close()
