"""Typed data of the node agent: who it serves, what it may hold, what it counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from opencarrier.access.agent.location import Location


class Source(StrEnum):
    """Where a station's octets come from."""

    REPORTED = "reported"
    KERNEL = "kernel"
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPoint:
    """An access point that may speak to the agent, and the node it is at its operator's.

    `port` is the interface a station's traffic passes, where one is named; `reversed_port` says it
    is seen from the other side, so that what comes in there goes out to the station.
    """

    name: str
    prefix: IPv4Network | IPv6Network
    secret: bytes = field(repr=False)
    nas_identifier: str
    source: Source = Source.AUTO
    port: str = ""
    reversed_port: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """What the agent says of where it stands: Operator-Name and location."""

    operator_name: str = ""
    location: Location | None = None
    located_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Limits; every one has a default that holds for one venue."""

    require_message_authenticator: bool = True
    link_octets_per_s: int = 125_000_000
    authentications_max: int = 512
    authentication_limit_s: float = 10.0
    accounting_queue_max: int = 4_096
    accounting_batch_max: int = 128
    spool_octets_max: int = 64 * 1024 * 1024
    spool_age_max_s: int = 7 * 86_400
    sending_max: int = 32
    retry_first_s: float = 1.0
    retry_max_s: float = 30.0
    refused_pause_s: float = 600.0
    sessions_max: int = 65_536
    session_silence_s: int = 86_400
    sample_s: float = 5.0
    statements_kept_s: int = 90 * 86_400
    holders_kept_s: int = 90 * 86_400
    housekeeping_s: float = 60.0


@dataclass(slots=True)
class AgentMetrics:
    """Counters by outcome and reason since the start; they only rise."""

    accepts: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    spooled: int = 0
    acknowledged: int = 0
    delivered: int = 0
    retries: int = 0
    payments: Counter[str] = field(default_factory=Counter)

    def as_mapping(self) -> dict[str, int | dict[str, int]]:
        """The counters with stable keys, for JSON."""
        return {
            "accepts": self.accepts,
            "rejects": dict(sorted(self.rejects.items())),
            "dropped": dict(sorted(self.dropped.items())),
            "repaired": dict(sorted(self.repaired.items())),
            "duplicates": self.duplicates,
            "spooled": self.spooled,
            "acknowledged": self.acknowledged,
            "delivered": self.delivered,
            "retries": self.retries,
            "payments": dict(sorted(self.payments.items())),
        }
