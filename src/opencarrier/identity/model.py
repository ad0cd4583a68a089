"""What `identity` knows beyond the spine's parties: credentials, keys, standings and refusals."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum, unique

from opencarrier.kernel.refusals import Reason
from opencarrier.kernel.signatures import Address
from opencarrier.spine import access as spine
from opencarrier.spine.parties import PartyId


class PartyKind(StrEnum):
    """What a party is; each kind has its own prefix of party ids."""

    OPERATOR = "operator"
    HOST = "host"
    SUBSCRIBER = "subscriber"
    TAX = "tax"
    PROTOCOL = "protocol"

    @property
    def prefix(self) -> str:
        """The letters before the underscore of a party id."""
        return _PREFIXES[self]


_PREFIXES = {
    PartyKind.OPERATOR: "op",
    PartyKind.HOST: "host",
    PartyKind.SUBSCRIBER: "sub",
    PartyKind.TAX: "tax",
    PartyKind.PROTOCOL: "protocol",
}


@unique
class IdentityReason(Reason):
    """Why `identity` says no; of several that apply, the lowest is the one given."""

    INVALID_NAME = 1
    INVALID_JURISDICTION = 2
    INVALID_ADDRESS = 3
    INVALID_REALM = 4
    INVALID_PLMN = 5
    INVALID_PREFIX = 6
    INVALID_IMSI = 7
    INVALID_SECRET = 8
    INVALID_WINDOW = 9
    INVALID_SPLIT = 10
    INVALID_PARTY = 11
    INVALID_SERVER = 12
    INVALID_CERTIFICATE = 13
    INVALID_USER_NAME = 14
    INVALID_PASSWORD = 15
    INVALID_PLACE = 16
    UNKNOWN_OPERATOR = 20
    UNKNOWN_HOST = 21
    UNKNOWN_NODE = 22
    UNKNOWN_CLIENT = 23
    UNKNOWN_SUBSCRIBER = 24
    UNKNOWN_IMSI = 25
    UNKNOWN_PARTY = 26
    UNKNOWN_KEY = 27
    UNKNOWN_ROUTE = 28
    UNKNOWN_CREDENTIAL = 29
    FOREIGN_IMSI = 40
    FOREIGN_NODE = 41
    FOREIGN_KEY = 42
    EXISTS_WITH_DIFFERENT_OPERATOR = 60
    EXISTS_WITH_DIFFERENT_HOST = 61
    EXISTS_WITH_DIFFERENT_SUBSCRIBER = 62
    EXISTS_WITH_DIFFERENT_JURISDICTION = 63
    EXISTS_WITH_DIFFERENT_REALMS = 64
    EXISTS_WITH_DIFFERENT_PLMNS = 65
    EXISTS_WITH_DIFFERENT_ADDRESS = 66
    EXISTS_WITH_DIFFERENT_NAS_IDENTIFIER = 67
    EXISTS_WITH_DIFFERENT_PREFIX = 68
    EXISTS_WITH_DIFFERENT_PLAN = 69
    EXISTS_WITH_DIFFERENT_SECRET = 70
    EXISTS_WITH_DIFFERENT_WINDOW = 71
    EXISTS_WITH_DIFFERENT_ID = 72
    EXISTS_WITH_DIFFERENT_ROUTE = 73
    REALM_TAKEN = 80
    PLMN_TAKEN = 81
    ADDRESS_TAKEN = 82
    NAS_IDENTIFIER_TAKEN = 83
    PREFIX_TAKEN = 84
    PARTY_TAKEN = 85
    WBA_ID_TAKEN = 86
    TOO_MANY_KEYS = 119
    BARRED = 120
    NETWORK_NAME_INVALID = 121
    AUTS_INVALID = 122
    SEQUENCE_EXHAUSTED = 123
    SIGNATURE_INVALID = 140
    KEY_NOT_YET_VALID = 141
    KEY_EXPIRED = 142
    KEY_COMPROMISED = 143


class Standing(IntEnum):
    """How a key stood at the instant it signed."""

    VALID = 1
    NOT_YET_VALID = 2
    EXPIRED = 3
    COMPROMISED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A party's key and its history: valid in [`valid_from_us`, `valid_to_us`), until compromised.

    `held` says whether this installation has the secret and may sign with it.
    """

    kid: Address
    party: PartyId
    valid_from_us: int
    valid_to_us: int | None
    compromised_from_us: int | None
    held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Anybody with an id, as the ledger and the chain meet them."""

    party_id: PartyId
    kind: PartyKind
    name: str
    address: Address | None
    jurisdiction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A SIM by its IMSI: whose it is and where its sequence numbers stand; its keys stay sealed."""

    imsi: str
    subscriber: PartyId
    sqn: int
    barred: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A certificate or a password that lets a subscriber on, until it expires or is revoked."""

    credential: spine.Credential
    subscriber: PartyId
    expires_us: int | None
    revoked_us: int | None

    def holds(self, at_us: int) -> bool:
        """Whether it lets anybody on at an instant."""
        ends = (self.expires_us, self.revoked_us)
        return all(end is None or at_us < end for end in ends)


class Cause(StrEnum):
    """Who asked that a subscriber be erased; words of one's own could name the person again."""

    REQUEST = "request"
    """The person."""

    RETENTION = "retention"
    """The operator: it need not keep the person's data any longer."""

    AUTHORITY = "authority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """That a subscriber was erased; it names nobody."""

    party_id: PartyId
    erased_us: int
    cause: Cause


@dataclass(frozen=True, slots=True, repr=False)
class SimKeys:
    """K and OPc of a SIM, 16 octets each; never shown."""

    k: bytes
    opc: bytes

    def __repr__(self) -> str:
        """Say that there is a secret, not which."""
        return "SimKeys(<sealed>)"
