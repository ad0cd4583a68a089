"""Counters of an interface as the kernel keeps them, read from sysfs."""

from __future__ import annotations

import re
from pathlib import Path

from opencarrier.access.agent.counters import PortReading

SYSFS = Path("/sys/class/net")
NAME = re.compile(r"[^/\s]{1,15}")
"""An interface's name (IFNAMSIZ less its NUL)."""


class KernelPorts:
    """Reads octets of named interfaces, 64 bits wide."""

    def __init__(self, root: Path = SYSFS) -> None:
        self._root = root

    def read(self, name: str) -> PortReading | None:
        """Return what an interface has counted, None where there is no such interface now."""
        assert NAME.fullmatch(name)
        assert name not in (".", "..")
        folder = self._root / name
        try:
            return PortReading(
                interface=_number(folder / "ifindex"),
                octets_in=_number(folder / "statistics" / "rx_bytes"),
                octets_out=_number(folder / "statistics" / "tx_bytes"),
            )
        except (OSError, ValueError):
            return None


def _number(path: Path) -> int:
    return int(path.read_text("ascii"))
