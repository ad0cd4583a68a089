"""How often somebody may ask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How often one session may ask: `burst` at once, then `per_s` a second."""

    per_s: float = 5.0
    burst: float = 20.0
    sessions_max: int = 65_536


class Turnstile:
    """A token bucket per session; at `sessions_max` the longest unseen is forgotten."""

    def __init__(self, manners: Manners, monotonic: Callable[[], float]) -> None:
        self._manners = manners
        self._monotonic = monotonic
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def passes(self, key: bytes) -> bool:
        """Take one token of a session's, or say that it has none."""
        manners, now_s = self._manners, self._monotonic()
        tokens, seen_s = self._buckets.pop(key, (manners.burst, now_s))
        tokens = min(manners.burst, tokens + (now_s - seen_s) * manners.per_s)
        self._buckets[key] = (max(tokens - 1, 0), now_s) if tokens >= 1 else (tokens, now_s)
        if len(self._buckets) > manners.sessions_max:
            self._buckets.popitem(last=False)
        return tokens >= 1
