"""The home's keys for encrypted identities, asked for and remembered for a moment.

So a key that was made or removed while the server runs is known within `ttl_s`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from opencarrier.access.wire.aka_identity import PrivacyRing
from opencarrier.spine.ports import PrivacyKeySource

if TYPE_CHECKING:
    from sqlalchemy import Connection

TTL_S = 5.0


class PrivacyCache:
    """Opens encrypted identities with the keys of the home, at most `ttl_s` old."""

    def __init__(
        self,
        source: PrivacyKeySource,
        read: Callable[[], AbstractContextManager[Connection]],
        *,
        monotonic: Callable[[], float],
        ttl_s: float = TTL_S,
    ) -> None:
        self._source = source
        self._read = read
        self._monotonic = monotonic
        self._ttl_s = ttl_s
        self._ring = PrivacyRing({})
        self._until_s = monotonic()

    def open(self, identity: bytes) -> bytes | None:
        """Return the permanent identity inside, None where no key opens it."""
        now_s = self._monotonic()
        if now_s >= self._until_s:
            self._ring = PrivacyRing(self._keys())
            self._until_s = now_s + self._ttl_s
        return self._ring.open(identity)

    def _keys(self) -> dict[str, RSAPrivateKey]:
        with self._read() as unit:
            found = self._source.private_keys(unit)
        keys = {name: load_der_private_key(octets, None) for name, octets in found.items()}
        return {name: key for name, key in keys.items() if isinstance(key, RSAPrivateKey)}
