"""The machine's own clock and randomness."""

from __future__ import annotations

import os
import time


class SystemClock:
    """The system's wall clock."""

    def now_us(self) -> int:
        """Return UTC microseconds since 1970-01-01."""
        return time.time_ns() // 1_000


class SystemEntropy:
    """The operating system's randomness."""

    def octets(self, label: str, size: int) -> bytes:
        """Return `size` fresh octets, whatever the label."""
        return os.urandom(size)
