"""What clearing speaks of: records with their salts, paths, positions with their standing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import Id
from opencarrier.kernel.merkle import Path
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Reason
from opencarrier.kernel.signatures import Signature
from opencarrier.spine.money import Position, RatedUsage
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung

NO_JURISDICTION = "zz"
"""Where a creditor is that nobody placed; a live cycle's positions of it wait as `not_member`."""

SALT_OCTETS = 32


class DeferralReason(Reason):
    """Why a position stays out of a cycle; of several that apply, the lowest is given."""

    OTHER_ASSET = 1
    NOT_MEMBER = 2
    NO_PAYOUT = 3
    UNCLAIMED = 4
    WINDOW_OPEN = 5
    OVER_CAP = 6
    EXCLUDED = 7
    SHORT_OF_COLLATERAL = 8
    REPLACED = 9


class SignatureRefusal(Reason):
    """Why a signature over a position is not taken."""

    UNKNOWN_POSITION = 1
    NOT_A_PARTY = 2
    BAD_SIGNATURE = 3


class ProofRefusal(Reason):
    """Why no proof of a record can be given."""

    NO_RECORD = 1
    NOT_SETTLED = 2


class Standing(Enum):
    """Where a position stands: waiting for a cycle, in one that is under way, settled for good.

    One is replaced where a co-signed statement agrees on other amounts for some of its records.
    """

    OPEN = "open"
    TAKEN = "taken"
    SETTLED = "settled"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When one-sided evidence is paid: microseconds after the cut, and how much per pair and cycle.

    `one_sided_cap_minor` bounds what matures by silence between a debtor and a creditor in one
    cycle, in minor units of the asset; what both signed knows no bound.
    """

    one_sided_window_us: int
    one_sided_cap_minor: int

    def __post_init__(self) -> None:
        assert self.one_sided_window_us >= 0
        assert self.one_sided_cap_minor >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SaltedRecord:
    """A rated usage and the salt its leaf is hidden with."""

    rated: RatedUsage
    salt: bytes

    def __post_init__(self) -> None:
        assert len(self.salt) == SALT_OCTETS, "a record's salt has 32 octets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitments:
    """Hashes that stand for a record's parts; each part is disclosed with its own salt."""

    usage: bytes
    wholesale: bytes
    retail: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blinded:
    """What is left of a record's salt when its subscriber was erased.

    The salts of the parts that others prove, and the hash that stands for the retail part, which
    nobody can open or guess any more.
    """

    usage_salt: bytes
    wholesale_salt: bytes
    retail: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A record's place in its position: where it stands, its salt, its hash.

    `has_retail` says whether the retail charge was known when the record was made: one that is
    rated later is no part of it.
    """

    usage_id: Id
    index: int
    salt: bytes
    leaf_hash: bytes
    has_retail: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPath:
    """A record's whole way to the records root, through the three levels of the tree.

    `record` leads to the pair root, which with the facts of the position makes its id;
    `position` leads to the root of the `jurisdiction`; `domain` to the records root.
    """

    record: Path
    cycle_id: Id
    debtor: PartyId
    creditor: PartyId
    asset: AssetId
    rung: Rung
    amount_minor: int
    position: Path
    jurisdiction: str
    domain: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordProof:
    """A settled record with its parts' salts, the cycle that paid it, and the path to that root.

    `settled_in` is the cycle whose settlement holds the root, `path.cycle_id` the one in which
    the usage was cut; they differ where a position had to wait. A part without a salt can be
    shown to nobody any more: its subscriber was erased.
    """

    usage_id: Id
    position_id: Id
    settled_in: Id
    records_root: bytes
    rated: RatedUsage
    salts: Mapping[str, bytes]
    commitments: Commitments
    path: RecordPath


@dataclass(frozen=True, slots=True, kw_only=True)
class DueProof:
    """A settled record of an adjustment: what it says, its salt, and the path to the root."""

    record_id: Id
    position_id: Id
    settled_in: Id
    records_root: bytes
    salt: bytes
    part: Mapping[str, Value]
    path: RecordPath


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPosition:
    """A position that no cycle has taken, since when, and whether its debtor signed it.

    Accepted is also what a statement of both sides agrees on. Held is what its creditor, asked in
    an exchange, does not claim.
    """

    position: Position
    cut_us: int
    accepted: bool
    is_held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPosition:
    """A position, where it stands, and the signatures of its parties over its statement digest."""

    position: Position
    standing: Standing
    settled_in: Id | None
    signatures: tuple[tuple[PartyId, Signature], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What two operators put to each other for one cycle: gross per direction, both signed.

    `positions` ascend by id. What is due between them is settled net; this is what is owed.
    """

    cycle_id: Id
    first: PartyId
    second: PartyId
    asset: AssetId
    first_owes_minor: int
    second_owes_minor: int
    positions: tuple[SignedPosition, ...]
