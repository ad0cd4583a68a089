"""The canonical form of result tables written a second time, for engines that share no code."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any


def digest(rows: Iterable[tuple[Any, ...]]) -> str:
    """Return the SHA-256 over rows as lines: tabs between fields, LF after, in order of octets."""
    lines = sorted("\t".join(map(str, row)).encode() + b"\n" for row in rows)
    return sha256(b"".join(lines)).hexdigest()
