"""The duplicate cache: the same request is answered with the same octets (RFC 5080 section 2.2.2).

A request that is still being worked on is dropped when it comes again; one that was answered gets
the stored reply. Entries live `ttl_s` and the cache holds at most `entries_max`, oldest out first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

Address = tuple[str, int]
"""Source address and port of a datagram."""

Key = tuple[str, int, int, bytes]
"""(source address, source port, identifier, request authenticator)."""

TTL_S = 30.0
ENTRIES_MAX = 65_536


class Seen(Enum):
    """What the cache knows of a request that has no reply to repeat."""

    NEW = "new"
    PENDING = "pending"


@dataclass(slots=True)
class _Entry:
    expires_s: float
    reply: bytes | None = None
    moved_to: Address | None = None


class DuplicateCache:
    """Remembers requests and their replies; `now_s` is monotonic and given by the caller."""

    def __init__(self, *, ttl_s: float = TTL_S, entries_max: int = ENTRIES_MAX) -> None:
        assert ttl_s > 0
        assert entries_max > 0
        self._ttl_s = ttl_s
        self._entries_max = entries_max
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def __len__(self) -> int:
        """How many requests are remembered."""
        return len(self._entries)

    def begin(self, key: Key, now_s: float) -> bytes | Seen:
        """The stored reply, or PENDING while one is being made, or NEW: then it is remembered."""
        self._expire(now_s)
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= self._entries_max:
                self._entries.popitem(last=False)
            self._entries[key] = _Entry(now_s + self._ttl_s)
            return Seen.NEW
        return Seen.PENDING if entry.reply is None else entry.reply

    def move(self, key: Key, address: Address) -> None:
        """Note that a request in work was asked again, from elsewhere: over a new connection."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.moved_to = address

    def answer(self, key: Key, reply: bytes) -> Address | None:
        """Keep the reply for repeats, and say where the request was asked from since it came.

        An entry that is gone by now stays gone.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.reply = reply
        return entry.moved_to

    def forget(self, key: Key) -> None:
        """Drop a request that got no reply, so that its repeat is worked on anew."""
        self._entries.pop(key, None)

    def _expire(self, now_s: float) -> None:
        while self._entries:
            key = next(iter(self._entries))
            if self._entries[key].expires_s > now_s:
                return
            del self._entries[key]
