"""Typed data of the access room: where packets come from, settings, counters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from opencarrier.access.class_token import ClassRing
from opencarrier.access.discovery.model import DiscoverySettings
from opencarrier.access.guessing import GuessLimits
from opencarrier.access.hub.model import HubSettings
from opencarrier.access.openroaming.attributes import SILENT, Told
from opencarrier.access.openroaming.obligations import ALONE, FederationTerms
from opencarrier.access.wire.aka import NETWORK_NAME_WLAN
from opencarrier.access.wire.aka_identity import PseudonymRing
from opencarrier.access.wire.aka_reauthentication import ENTRIES_MAX as REAUTHENTICATIONS_MAX
from opencarrier.access.wire.duplicates import ENTRIES_MAX as DUPLICATES_MAX
from opencarrier.access.wire.duplicates import TTL_S as DUPLICATES_TTL_S
from opencarrier.access.wire.duplicates import Address, Key
from opencarrier.access.wire.eap import (
    SESSION_TTL_S,
    SESSIONS_MAX,
    SESSIONS_PER_CLIENT_MAX,
    EapType,
)
from opencarrier.access.wire.radius import Packet
from opencarrier.access.wire.tls_material import TlsLimits
from opencarrier.spine.parties import RadiusClient
from opencarrier.spine.spans import Span


class Transport(StrEnum):
    """What carries RADIUS packets: datagrams, or a connection of RFC 6614."""

    UDP = "udp"
    TLS = "tls"


class Listener(StrEnum):
    """What may come in here: a UDP port takes one kind of request, a TLS connection all."""

    AUTH = "auth"
    ACCT = "acct"
    ANY = "any"


class Origin(NamedTuple):
    """Where a packet came from, and where its reply goes.

    Over TLS `client` is who the connection's certificate named; over UDP it is found by address.
    """

    listener: Listener
    address: Address
    transport: Transport = Transport.UDP
    client: RadiusClient | None = None

    def key(self, packet: Packet) -> Key:
        """What a repeat has in common: over TLS who asks, as it may use another connection."""
        host, port = self.address
        if self.transport is Transport.TLS:
            assert self.client is not None, "a connection has its client"
            host, port = self.client.client_id, 0
        return host, port, packet.identifier, packet.authenticator


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKeys:
    """The room's own secrets: the Class key ring and the CUI key (32 octets), a pseudonym ring.

    Without that ring SIM cards are given no pseudonym.
    """

    ring: ClassRing
    cui_key: bytes = field(repr=False)
    pseudonyms: PseudonymRing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """Limits and names; every one has a default that holds for a small installation."""

    worker: int | None = None
    """Which of several processes on one port this is, None where it is alone."""
    network_name: bytes = NETWORK_NAME_WLAN
    methods: tuple[EapType, ...] = (EapType.TLS, EapType.TTLS, EapType.AKA_PRIME, EapType.AKA)
    tls: TlsLimits = field(default_factory=TlsLimits)
    guesses: GuessLimits = field(default_factory=GuessLimits)
    require_message_authenticator: bool = True
    federation: FederationTerms = ALONE
    own_bases: tuple[bytes, ...] = ()
    offering: Told = SILENT
    session_ttl_s: float = SESSION_TTL_S
    reauthentications_max: int = REAUTHENTICATIONS_MAX
    sessions_max: int = SESSIONS_MAX
    sessions_per_client_max: int = SESSIONS_PER_CLIENT_MAX
    duplicates_ttl_s: float = DUPLICATES_TTL_S
    duplicates_max: int = DUPLICATES_MAX
    accounting_batch_max: int = 256
    accounting_queue_max: int = 8_192
    authentication_batch_max: int = 64
    gather_s: float = 0.02
    """How long an attempt waits for others under way, to share its transaction with them."""
    authentication_queue_max: int = 1_024
    directory_ttl_s: float = 0.5
    hub: HubSettings = field(default_factory=HubSettings)
    discovery: DiscoverySettings = field(default_factory=DiscoverySettings)
    directory_entries_max: int = 65_536


class Round(NamedTuple):
    """A packet that is recorded: its span, and that of its conversation's first packet."""

    span: Span
    first: Span


@dataclass(slots=True)
class Metrics:
    """Counters by outcome and reason since the start; they only rise, but for what is open.

    `eap` has how conversations ended, by `method outcome`: `accepted`, `resumed`, or the reason.
    `spans` has what became of what was recorded for a collector.
    """

    accepts: int = 0
    challenges: int = 0
    accounting_responses: int = 0
    duplicates: int = 0
    observations_new: int = 0
    batches: int = 0
    batches_failed: int = 0
    holds_released: int = 0
    eap_open: int = 0
    eap_displaced: int = 0
    tls_open: int = 0
    tls_displaced: int = 0
    eap: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    unrouted: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    class_refused: Counter[str] = field(default_factory=Counter)
    statements: Counter[str] = field(default_factory=Counter)
    payments: Counter[str] = field(default_factory=Counter)
    terms_refused: Counter[str] = field(default_factory=Counter)
    spans: Counter[str] = field(default_factory=Counter)
    silent: int = 0

    def as_mapping(self) -> dict[str, int | dict[str, int]]:
        """The counters with stable keys, for JSON and `/metrics`."""
        return {
            "accepts": self.accepts,
            "challenges": self.challenges,
            "rejects": dict(sorted(self.rejects.items())),
            "accounting_responses": self.accounting_responses,
            "observations_new": self.observations_new,
            "batches": self.batches,
            "batches_failed": self.batches_failed,
            "holds_released": self.holds_released,
            "duplicates": self.duplicates,
            "eap_open": self.eap_open,
            "eap_displaced": self.eap_displaced,
            "tls_open": self.tls_open,
            "tls_displaced": self.tls_displaced,
            "eap": dict(sorted(self.eap.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "unrouted": dict(sorted(self.unrouted.items())),
            "dropped": dict(sorted(self.dropped.items())),
            "class_refused": dict(sorted(self.class_refused.items())),
            "statements": dict(sorted(self.statements.items())),
            "payments": dict(sorted(self.payments.items())),
            "silent": self.silent,
            "terms_refused": dict(sorted(self.terms_refused.items())),
            "spans": dict(sorted(self.spans.items())),
        }
