"""When a request is sent again, a server is asked for a sign of life, or dialled again: pure rules.

Sources: RFC 5080 section 2.2.1 (retransmission over UDP), RFC 3539 section 3.4.1 (watchdog) with
RFC 5997 (Status-Server as its probe).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from opencarrier.kernel.entropy import Entropy


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that double from `first_s` up to `most_s`, each a tenth off by chance."""

    first_s: float
    most_s: float

    def waits(self, entropy: Entropy) -> Iterator[float]:
        """The waits, one after another, without end."""
        wait_s = self.first_s
        while True:
            chance = int.from_bytes(entropy.octets("access/jitter", 2)) / 0xFFFF
            yield wait_s * (0.9 + 0.2 * chance)
            wait_s = min(2 * wait_s, self.most_s)


RETRANSMISSION = Backoff(first_s=2.0, most_s=16.0)
REQUEST_S = 30.0
"""How long a request is tried over UDP."""

RECONNECTION = Backoff(first_s=1.0, most_s=60.0)


class Health(Enum):
    """What is known of a server: a suspect one is asked for a sign of life, a dead one left."""

    OKAY = "okay"
    SUSPECT = "suspect"
    DOWN = "down"


class Probe(Enum):
    """What a watchdog asks for."""

    NOTHING = "nothing"
    ASK = "ask"
    CLOSE = "close"


REVIVAL_REPLIES = 3
"""So many replies in a row make a server that was down one to rely on."""


class Watchdog:
    """Says of one server when to probe it, and whether to rely on it.

    Any packet from it is a sign of life. Silence for `silence_s` asks for a probe; a probe that
    stays unanswered as long makes it suspect, as long again down.
    """

    def __init__(self, now_s: float, *, silence_s: float) -> None:
        self._silence_s = silence_s
        self._next_s = now_s + silence_s
        self._asked = 0
        self._to_revive = 0
        self.health = Health.OKAY

    def heard(self, now_s: float) -> None:
        """Note a packet of it."""
        self._next_s = now_s + self._silence_s
        self._asked = 0
        if self._to_revive:
            self._to_revive -= 1
        if self._to_revive:
            self._next_s = now_s
        self.health = Health.SUSPECT if self._to_revive else Health.OKAY

    def opened(self, now_s: float) -> None:
        """Note a new connection: one after silence has to prove itself first."""
        self._next_s = now_s if self._to_revive else now_s + self._silence_s
        self._asked = 0

    def tick(self, now_s: float) -> Probe:
        """What is due now."""
        if now_s < self._next_s:
            return Probe.NOTHING
        self._next_s = now_s + self._silence_s
        self._asked += 1
        if self._asked == 2 and self.health is Health.OKAY:
            self.health = Health.SUSPECT
        if self._asked <= 2:
            return Probe.ASK
        self.health = Health.DOWN
        self._to_revive = REVIVAL_REPLIES
        return Probe.CLOSE
