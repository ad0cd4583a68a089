"""Passwords that are tried one after another: slowed by user name and by client, sans-IO.

A stranger who guesses slows whoever logs on with that name for the first time, by a minute at
most; devices that had the right password before are counted apart, so nobody is locked out of
what he uses. Only digests of names are kept, in bounded room.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

CLIENTS_MAX = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class GuessLimits:
    """How often may be guessed; times in seconds.

    After `free` attempts a name waits 2, 4, 8 ... up to `pause_s`; it is forgotten `ttl_s` after
    the last. A client may bring `client_burst` attempts at once and `client_per_s` after that.
    """

    free: int = 5
    pause_s: int = 60
    ttl_s: float = 3_600.0
    entries_max: int = 65_536
    client_burst: int = 256
    client_per_s: float = 16.0


@dataclass(slots=True)
class _Tried:
    attempts: int = 0
    until_s: float = 0.0
    at_s: float = 0.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Guess:
    """Who tries a password: a user name, from a device, by a RADIUS client."""

    user: str
    device: bytes
    client: str


class Guesses:
    """Attempts of names, devices and clients; what was tried longest ago is forgotten first.

    An attempt counts when it begins, so that many at once gain nothing; the right password takes
    it back. `now_s` is monotonic and given by the caller.
    """

    def __init__(self, limits: GuessLimits) -> None:
        self._limits = limits
        self._tried: OrderedDict[bytes, _Tried] = OrderedDict()
        self._devices: OrderedDict[bytes, None] = OrderedDict()
        self._clients: OrderedDict[bytes, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How much is remembered."""
        return len(self._tried) + len(self._devices) + len(self._clients)

    def admits(self, guess: Guess, now_s: float) -> bool:
        """Whether a password may be compared now; if so it counts as an attempt.

        A name that was never tried is not remembered: it would push out one that was.
        """
        key, is_known = self._key(guess)
        tried = self._tried.pop(key, None)
        if tried is None or tried.at_s + self._limits.ttl_s <= now_s:
            tried = _Tried()
        waited = now_s >= tried.until_s
        admitted = waited and (is_known or self._client_may(guess.client, now_s))
        if admitted or tried.attempts:
            _put(self._tried, key, tried, self._limits.entries_max)
        if not admitted:
            return False
        tried.attempts += 1
        tried.at_s = now_s
        beyond = tried.attempts - self._limits.free
        if beyond >= 0:
            tried.until_s = now_s + min(2 << min(beyond, 16), self._limits.pause_s)
        return True

    def was_right(self, guess: Guess) -> None:
        """Forget the attempts, and know the device."""
        key, _ = self._key(guess)
        self._tried.pop(key, None)
        if guess.device:
            device = _digest(guess, guess.device)
            self._devices.pop(device, None)
            _put(self._devices, device, None, self._limits.entries_max)

    def _key(self, guess: Guess) -> tuple[bytes, bool]:
        device = _digest(guess, guess.device)
        is_known = device in self._devices
        return (device, True) if is_known else (_digest(guess, b""), False)

    def _client_may(self, client: str, now_s: float) -> bool:
        limits, key = self._limits, client.encode()
        bucket = self._clients.pop(key, None) or _Bucket(limits.client_burst, now_s)
        _put(self._clients, key, bucket, CLIENTS_MAX)
        gained = (now_s - bucket.at_s) * limits.client_per_s
        bucket.tokens = min(limits.client_burst, bucket.tokens + gained)
        bucket.at_s = now_s
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def _put(table: OrderedDict[bytes, Any], key: bytes, value: object, most: int) -> None:
    while len(table) >= most:
        table.popitem(last=False)
    table[key] = value


def _digest(guess: Guess, device: bytes) -> bytes:
    return sha256(guess.user.encode() + b"\x00" + device).digest()[:16]
