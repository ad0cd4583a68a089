"""What is asked of the DNS, what comes back, and the limits of both."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

TAG: Final = "aaa+auth:radius.tls.tcp"
"""The S-NAPTR service that WBA's own scripts look for."""

RADSEC_PORT: Final = 2083


class Kind(IntEnum):
    """Record types that are asked for (RFC 1035, 2782, 3403, 3596)."""

    A = 1
    AAAA = 28
    SRV = 33
    NAPTR = 35


@dataclass(frozen=True, slots=True)
class Question:
    """One name and type; the name is lower case, A-labels, without the last dot."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, order=True)
class Naptr:
    """A pointer from a realm: lowest order first, then preference (RFC 3403 section 4.1)."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


@dataclass(frozen=True, slots=True, order=True)
class Srv:
    """A server of a service: lowest priority first, then by chance as weights say (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question brought: records (text for addresses), for so long.

    `failed` says why there is no answer; one without records or failure is a proven "no".
    """

    records: tuple[Naptr | Srv | str, ...]
    ttl_s: int
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """A RadSec server to try: the name its certificate is judged by, and where it is."""

    host: str
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Who answers for a realm, in the order to try, and for how long that holds."""

    peers: tuple[Peer, ...]
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nobody answers for a realm; `reason` is for counters and the Reply-Message."""

    reason: str
    ttl_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySettings:
    """What is looked for, and how much a realm may cost.

    `accounting_tags` name services of their own for accounting; where a realm has none, or none is
    asked for, accounting goes where authentication does.
    `private` lets names lead to addresses that are not of the public internet: for a closed
    federation, and for tests.
    """

    tags: tuple[str, ...] = (TAG,)
    accounting_tags: tuple[str, ...] = ()
    private: bool = False
    ttl_min_s: int = 60
    ttl_max_s: int = 86_400
    negative_ttl_max_s: int = 600
    failure_ttl_s: int = 30
    peers_max: int = 8
    questions_max: int = 24
    entries_max: int = 8_192
    lookups_max: int = 64
    lookups_per_asker_max: int = 32
    lookup_s: float = 5.0
