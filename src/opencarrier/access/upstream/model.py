"""What asking another RADIUS server looks like, whatever carries it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from opencarrier.access.wire.radius import Attribute, Packet


class Lost(Enum):
    """Why a request has no reply; what was asked may have been done all the same."""

    TIMEOUT = "timeout"
    QUEUE_FULL = "queue_full"
    UNREACHABLE = "unreachable"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply whose authenticators hold.

    Keys and passwords in it are hidden under the request's authenticator and the shared secret.
    """

    packet: Packet
    request_authenticator: bytes
    secret: bytes = field(repr=False)


class Upstream(Protocol):
    """A server that can be asked."""

    @property
    def name(self) -> str:
        """What it is called in settings, logs and counters."""
        ...

    @property
    def secret(self) -> bytes:
        """The shared secret; attributes that hide something are made with it."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it answers, as far as is known; one never asked is believed to."""
        ...

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        """Ask, and wait for the reply; repeats where the transport loses.

        Message-Authenticator is put first here; `attributes` has none. An authenticator is given
        where attributes were hidden with it: of Access-Request and Status-Server alone, as others
        compute theirs.
        """
        ...
