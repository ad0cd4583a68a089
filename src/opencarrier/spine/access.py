"""What passes between authentication, the quote and the hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from opencarrier.kernel.ids import ID_OCTETS, Id, derive
from opencarrier.kernel.money import Money
from opencarrier.spine.parties import Node, PartyId, Subscriber
from opencarrier.spine.records import Qos, RcoiClass, Service

AUTHORISATION_OCTETS = 16


class CredentialKind(StrEnum):
    """What a peer proves itself with."""

    SIM = "sim"
    CERTIFICATE = "certificate"
    PASSWORD = "password"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Credential:
    """A proven identity: the IMSI, a client certificate's SHA-256 in hex, or a user name.

    A user name is the part before the realm, in lower case.
    """

    kind: CredentialKind
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AkaVector:
    """A vector of the authentication centre (TS 33.102 section 6.3).

    For EAP-AKA' `ck` and `ik` are CK' and IK', bound to the network (TS 33.402 annex A.2).
    """

    rand: bytes
    autn: bytes
    xres: bytes = field(repr=False)
    ck: bytes = field(repr=False)
    ik: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Quote:
    """The price use was offered for in band: a currency, and nano-units per 1,024 octets."""

    currency: str
    nano_per_kib: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A price a visited operator offers in band, and the index by which it is accepted."""

    index: int
    quote: Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What a visited operator offers a session: which service, at which quality, for how much.

    Without a quote the agreement alone says the price.
    """

    service: Service = Service.WIFI
    qos: Qos = Qos.NONE
    rcoi: RcoiClass = RcoiClass.NONE
    quote: Quote | None = None

    def at(self, at_us: int, expires_us: int) -> Offered:
        """Return it as it counts at an instant: a quote holds until its grant expires."""
        return replace(self, quote=None) if at_us >= expires_us else self


WIFI = Offered()
"""Wi-Fi of which nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisationRequest:
    """A subscriber, proven to be there, asks to be served by a visited operator's node.

    `rates` are the prices it may be served at, of which the home accepts one or none.
    """

    subscriber: Subscriber
    visited: PartyId
    node: Node
    at_us: int
    offered: Offered = WIFI
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a running session is to be served from now on; what is None stays as it is.

    `filter_id` names what the access point has agreed to do, as the quality to fall back to;
    `session_timeout_s` counts from the change, the rate is for each direction.
    """

    filter_id: str | None = None
    session_timeout_s: int | None = None
    rate_octets_per_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The answer to an authorisation request: what it costs, how long, and the hold behind it.

    `authorisation_id` is 16 octets the home minted; the hold belongs to it. Tariff hashes name
    what both charges will be rated by. `rate` is what was accepted of the rates offered: it holds
    for as long as the grant does, and `signature` is the home's over the digest of it. No more
    than `rate_cap_octets_per_s` is to be used in a second, both ways together; None leaves it to
    the access point.
    """

    authorisation_id: bytes
    home: PartyId
    visited: PartyId
    node_id: str
    subscriber: PartyId
    wholesale_tariff_hash: bytes
    retail_tariff_hash: bytes
    hold: Money
    session_timeout_s: int
    interim_interval_s: int
    granted_us: int
    expires_us: int
    offered: Offered = WIFI
    rate: Rate | None = None
    rate_cap_octets_per_s: int | None = None
    signature: bytes = b""

    def __post_init__(self) -> None:
        assert len(self.authorisation_id) == AUTHORISATION_OCTETS
        assert self.session_timeout_s > 0
        assert self.granted_us < self.expires_us

    @property
    def terms(self) -> Id:
        """The digest of what both sides know was agreed."""
        return terms_digest(
            self.authorisation_id,
            home=self.home,
            visited=self.visited,
            offered=self.offered,
            rate=self.rate,
            expires_us=self.expires_us,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What a home agreed to of a session elsewhere, as whoever serves it keeps it.

    `offered` holds the rate that was accepted, none where none was. `digest` is over all of it;
    `signature` is the home's, empty where it gave none. It is for one access point alone.
    """

    authorisation_id: bytes
    home: PartyId
    visited: PartyId
    nas_identifier: str
    offered: Offered
    granted_us: int
    expires_us: int
    digest: Id
    signature: bytes = b""

    def __post_init__(self) -> None:
        assert len(self.authorisation_id) == AUTHORISATION_OCTETS
        assert len(self.digest) == ID_OCTETS
        assert self.granted_us < self.expires_us


def terms_digest(
    authorisation_id: bytes,
    *,
    home: PartyId,
    visited: PartyId,
    offered: Offered,
    rate: Rate | None,
    expires_us: int,
) -> Id:
    """Hash what both sides know of an authorisation: who, what quality and class, what rate."""
    quote = None if rate is None else rate.quote
    return derive(
        "authorised",
        authorisation_id,
        home,
        visited,
        int(offered.qos),
        int(offered.rcoi),
        "" if quote is None else quote.currency,
        0 if quote is None else quote.nano_per_kib,
        expires_us,
    )
