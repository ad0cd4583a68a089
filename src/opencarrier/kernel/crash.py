"""Named points where a test may kill the process; they cost one look-up otherwise."""

from __future__ import annotations

import os
import signal

VARIABLE = "OPENCARRIER_CRASH_AT"


def crashpoint(name: str) -> None:
    """Die by SIGKILL here if the environment names this point (`name`, or `name:N`: N-th pass)."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    point, _, count = wanted.partition(":")
    if point != name:
        return
    _passes[name] = _passes.get(name, 0) + 1
    if _passes[name] >= int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)


_passes: dict[str, int] = {}
