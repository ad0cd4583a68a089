"""Randomness is an argument, asked for by label, so that a simulation replays in any order."""

from __future__ import annotations

import hmac
from collections import defaultdict
from hashlib import sha256
from typing import Protocol


class Entropy(Protocol):
    """Whoever supplies secrets: the operating system in production, a seed in a simulation."""

    def octets(self, label: str, size: int) -> bytes:
        """Return `size` fresh octets; the label says what for and decides nothing in production."""
        ...


class SeededEntropy:
    """Octets that follow from (seed, label, how often it asked): never outside demo and tests.

    Because each label has its own stream, concurrent work gets the same octets in whatever
    order it happens to run.
    """

    def __init__(self, seed: int) -> None:
        self._key = sha256(f"opencarrier seed {seed}".encode()).digest()
        self._asked: defaultdict[str, int] = defaultdict(int)

    def octets(self, label: str, size: int) -> bytes:
        """Return the label's next octets."""
        assert "\x00" not in label, "NUL ends the label in what is hashed"
        self._asked[label] += 1
        out = b""
        while len(out) < size:
            message = f"{label}\x00{self._asked[label]}\x00{len(out)}".encode()
            out += hmac.digest(self._key, message, "sha256")
        return out[:size]
