"""Which TLS sessions may be resumed, and whose authorisation each came from.

OpenSSL remembers how to decrypt; what a resumed session is worth stands here. A session is entered
when its authentication has been granted, by method and home, and it ends with its lifetime, its
credential's, or the server's certificates, whichever comes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from opencarrier.spine.access import Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """What a session was granted for: with which method, from which outer realm, until when.

    `realm` is the home's that authorised it, `outer` the one told before the tunnel, `secret` the
    SHA-256 of what a password was compared with.
    """

    method: int
    outer: str
    credential: Credential
    realm: str
    expires_us: int
    secret: bytes = field(default=b"", repr=False)


class Resumptions:
    """Sessions by the SHA-256 of what names them on the wire; the oldest gives way at the bound."""

    def __init__(self, *, entries_max: int) -> None:
        assert entries_max > 0
        self._entries_max = entries_max
        self._entries: dict[bytes, Earned] = {}

    def __len__(self) -> int:
        """How many sessions can be resumed."""
        return len(self._entries)

    def enter(self, names: Iterable[bytes], earned: Earned) -> None:
        """Let the sessions of these names be resumed."""
        for name in names:
            if len(self._entries) >= self._entries_max:
                del self._entries[next(iter(self._entries))]
            self._entries[_key(name)] = earned

    def find(self, name: bytes, *, method: int, outer: str, now_us: int) -> Earned | None:
        """What a session was granted for, where it may be resumed by this method and realm."""
        earned = self._entries.get(_key(name)) if name else None
        if earned is None or (earned.method, earned.outer) != (method, outer):
            return None
        if earned.expires_us <= now_us:
            self.forget(name)
            return None
        return earned

    def forget(self, name: bytes) -> None:
        """Let a session be resumed no more."""
        self._entries.pop(_key(name), None)

    def clear(self) -> None:
        """Forget all: what they were verified by has changed."""
        self._entries.clear()


def _key(name: bytes) -> bytes:
    return sha256(name).digest()
