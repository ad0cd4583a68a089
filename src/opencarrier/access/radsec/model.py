"""Limits and counters of RadSec connections."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from opencarrier.access.radsec.framing import IN_WORK_MAX

SECRET = b"radsec"
"""The shared secret of every connection (RFC 6614 section 2.3): TLS is what protects."""

PORT = 2083


@dataclass(frozen=True, slots=True, kw_only=True)
class RadsecLimits:
    """What a connection may take; times in seconds.

    `reserve` of the connections are for clients known by name: peers that are trusted by their
    authority alone do not get them. Handshakes under way are counted apart from connections.
    """

    connections_max: int = 1_024
    reserve: int = 256
    per_peer_max: int = 64
    handshakes_max: int = 256
    handshakes_per_address_max: int = 16
    in_work_max: int = IN_WORK_MAX
    write_octets_max: int = 65_536
    handshake_s: float = 10.0
    idle_s: float = 600.0
    stalled_s: float = 30.0


@dataclass(slots=True)
class Connections:
    """Counters by reason since the start; they only rise."""

    opened: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLine:
    """An open connection as `status` shows it."""

    peer: str
    certificate: str
    address: str
    tls: str
    in_work: int
    requests: int
