"""Processor time of other processes, as the kernel counts it (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM, _USER_OF_CHILDREN, _SYSTEM_OF_CHILDREN = 11, 12, 13, 14
"""Places in `/proc/PID/stat` after the name (proc(5))."""


def cpu_us(root: int) -> int:
    """Return what a process and all that came of it have used, those that ended included.

    The kernel counts in hundredths of a second.
    """
    return sum(_ticks(pid) for pid in tree(root)) * _TICK_US


def resident_kib(root: int) -> int:
    """Return the memory a process and its children hold at the moment, shared pages each time."""
    return sum(_resident_kib(pid) for pid in tree(root))


def tree(root: int) -> Iterator[int]:
    """Yield a process and all that came of it."""
    yield root
    for tasks in Path(f"/proc/{root}/task").glob("*/children"):
        for child in _text(tasks).split():
            yield from tree(int(child))


def _ticks(pid: int) -> int:
    words = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    counted = (_USER, _SYSTEM, _USER_OF_CHILDREN, _SYSTEM_OF_CHILDREN)
    return sum(int(words[place]) for place in counted) if words else 0


def _resident_kib(pid: int) -> int:
    for line in _text(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
