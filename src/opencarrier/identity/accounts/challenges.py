"""Challenges of sign-in: each carries its end and its proof, so none is kept before it is used.

A challenge is 12 random octets, 4 octets of its end in seconds, and 16 octets of an HMAC over both
and what it is for, under a key of this process. Only those used are kept until they are over: so
who asks for many takes no memory, and a used one is refused.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from threading import Lock

from opencarrier.identity.accounts.model import CHALLENGE_S
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy

CHALLENGE_OCTETS = 32
USED_MAX = 10_000

_RANDOM_OCTETS = 12
_END_OCTETS = 4
_SIGNED_OCTETS = _RANDOM_OCTETS + _END_OCTETS


class Challenges:
    """Makes challenges and takes each once, for what it was made for; thread safe."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._key = entropy.octets("challenge-key", 32)
        self._used: OrderedDict[bytes, int] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._used)

    def make(self, purpose: str) -> bytes:
        """Return a challenge that holds `CHALLENGE_S` seconds."""
        end_s = self._clock.now_us() // SECOND_US + CHALLENGE_S
        signed = self._entropy.octets("challenge", _RANDOM_OCTETS)
        signed += end_s.to_bytes(_END_OCTETS, "big")
        return signed + self._proof(purpose, signed)

    def holds(self, purpose: str, challenge: bytes) -> bool:
        """Say whether a challenge is ours, for this purpose, and not over."""
        signed, proof = challenge[:_SIGNED_OCTETS], challenge[_SIGNED_OCTETS:]
        if not hmac.compare_digest(proof, self._proof(purpose, signed)):
            return False
        return self._clock.now_us() // SECOND_US < _end_s(challenge)

    def take(self, purpose: str, challenge: bytes) -> bool:
        """Use a challenge up; False where it does not hold, was used, or too many were.

        Call it last, once the answer is proven: who proves nothing uses none up.
        """
        if not self.holds(purpose, challenge):
            return False
        with self._lock:
            self._forget()
            if challenge in self._used or len(self._used) >= USED_MAX:
                return False
            self._used[challenge] = _end_s(challenge)
            return True

    def _forget(self) -> None:
        now_s = self._clock.now_us() // SECOND_US
        for challenge in [one for one, end_s in self._used.items() if end_s <= now_s]:
            del self._used[challenge]

    def _proof(self, purpose: str, signed: bytes) -> bytes:
        return hmac.digest(self._key, purpose.encode() + b"\x00" + signed, "sha256")[:16]


def _end_s(challenge: bytes) -> int:
    return int.from_bytes(challenge[_RANDOM_OCTETS:_SIGNED_OCTETS], "big")
