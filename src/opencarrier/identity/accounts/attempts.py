"""How often something may be tried: a count for each origin within a window, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from opencarrier.kernel.clock import SECOND_US, Clock

PER_ADDRESS = 30
PER_CREDENTIAL = 10
WINDOW_S = 60
ACTS_PER_ACCOUNT = 1_200
ACTS_WINDOW_S = 3_600
"""How often whoever is signed in may change something: each is a line that stays in the log."""
ORIGINS_MAX = 10_000
_OTHERS = "*"


class Attempts:
    """Counts attempts in windows of equal length; thread safe.

    Whoever comes when `ORIGINS_MAX` are counted shares one count with all others who do: a flood
    of addresses neither makes us forget who tried too often nor takes more memory.
    """

    def __init__(self, clock: Clock, *, allowed: int, window_s: int = WINDOW_S) -> None:
        self._clock = clock
        self._allowed = allowed
        self._window_us = window_s * SECOND_US
        self._counted: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._counted)

    def retry_after_s(self, origin: str) -> int:
        """Count an attempt; return 0 where it may go on, else in how many seconds one may."""
        now_us = self._clock.now_us()
        with self._lock:
            self._forget(now_us)
            if origin not in self._counted and len(self._counted) >= ORIGINS_MAX:
                origin = _OTHERS
            began_us, count = self._counted.get(origin, (now_us, 0))
            if count >= self._allowed:
                return max(1, -((now_us - began_us - self._window_us) // SECOND_US))
            self._counted[origin] = (began_us, count + 1)
            return 0

    def _forget(self, now_us: int) -> None:
        """Forget windows that are over: the oldest began first and stand first."""
        while self._counted:
            origin, (began_us, _) = next(iter(self._counted.items()))
            if now_us - began_us < self._window_us:
                return
            del self._counted[origin]
