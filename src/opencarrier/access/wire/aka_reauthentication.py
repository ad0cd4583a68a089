"""What a server remembers for fast re-authentication: in memory, bounded, for a time.

An identity serves once; its successor is kept when the attempt it was given out in was granted.
Whoever offers one that is not here goes through a full authentication: after a restart, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from opencarrier.access.wire.aka_keys import Keys
from opencarrier.kernel.clock import SECOND_US

ENTRIES_MAX = 65_536
"""About 1 kB each."""

TTL_S = 12 * 3_600
"""From the full authentication on, however often the peer came back in between."""

TIMES_MAX = 100
"""Re-authentications that may follow one full authentication."""


@dataclass(frozen=True, slots=True)
class Reauthentication:
    """Whom an identity stands for, and what the next re-authentication goes on from."""

    kind: int
    imsi: str
    realm: str
    keys: Keys = field(repr=False)
    counter: int
    expires_us: int


class Reauthentications:
    """One entry a SIM, found by the name it was given; where there are too many the oldest go."""

    def __init__(self, *, entries_max: int = ENTRIES_MAX) -> None:
        assert entries_max > 0
        self._entries_max = entries_max
        self._entries: dict[str, Reauthentication] = {}
        self._names: dict[str, str] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._entries)

    def keep(self, name: str, entry: Reauthentication) -> None:
        """Remember an entry in place of what its SIM had before."""
        self._forget(self._names.get(entry.imsi))
        while len(self._entries) >= self._entries_max:
            self._forget(next(iter(self._entries)))
        self._entries[name] = entry
        self._names[entry.imsi] = name

    def take(self, name: str, *, now_us: int) -> Reauthentication | None:
        """Return the entry of a name and forget it; None where it is unknown or too old."""
        entry = self._forget(name)
        return entry if entry is not None and now_us < entry.expires_us else None

    def _forget(self, name: str | None) -> Reauthentication | None:
        entry = self._entries.pop(name, None) if name is not None else None
        if entry is not None:
            del self._names[entry.imsi]
        return entry


def expiry_us(now_us: int) -> int:
    """When what is remembered from a full authentication now is over."""
    return now_us + TTL_S * SECOND_US
