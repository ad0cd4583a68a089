"""What a receipt holds, and the four answers a verifier gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opencarrier.clearing.model import RecordPath
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import Id
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.money import StakeReading
from opencarrier.spine.parties import PartyId
from opencarrier.spine.routing import Choice

FORMAT: Final = "opencarrier-receipt/1"
DUE_FORMAT: Final = "opencarrier-adjustment-receipt/1"
PARTS: Final = ("usage", "wholesale", "retail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A part of the record, disclosed: its salt and its content."""

    salt: bytes
    content: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A part of the record that stays hidden behind its commitment."""

    commitment: bytes


Part = Opened | Sealed | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementPointer:
    """Where on which chain the cycle was settled."""

    chain_id: int
    clearing_house: Address
    sequence: int
    cycle_id: Id
    settlement_id: Id
    tx_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A usage, what it cost, its way into the cycle's root, and where that root was settled.

    Parts are disclosed or sealed one by one: the host needs `usage` and `wholesale`, the
    subscriber `usage` and `retail`.
    """

    usage_id: Id
    usage: Part
    wholesale: Part
    retail: Part
    path: RecordPath
    agreement_signatures: tuple[Signature, ...]
    statement_signatures: tuple[Signature, ...]
    settlement: SettlementPointer


@dataclass(frozen=True, slots=True, kw_only=True)
class DueReceipt:
    """What a deal's adjustment moves in one of its flows, its way into the root, and where.

    It is for the two operators and whom its leg goes to: nothing of it is sealed.
    """

    record_id: Id
    adjustment: Opened
    path: RecordPath
    agreement_signatures: tuple[Signature, ...]
    statement_signatures: tuple[Signature, ...]
    settlement: SettlementPointer


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscountRead:
    """A discount as the pinned stake contract tells it, and where it was read."""

    ppm: int
    reading: StakeReading


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRead:
    """Of whom a session was chosen, and who was the best by the rule, chosen again.

    `best` is None where none might serve; it is not whom the session took where the home does not
    steer, or sent it away as often as it may.
    """

    choice: Choice
    best: PartyId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A verifier's answers, apart from each other; each is a fact it checked, never a claim.

    `included`: the record is under the root the chain holds. `rated_right`: rating again gives
    the charge, for each disclosed charge. `discount`: what the stake contract tells of the retail
    charge's discount, None where there is none to see. `choice`: of whom the
    session was chosen, where it was from several. `signed_by`: whose signatures stand under
    what. `finality`: how final the settlement is on that chain now. `kind` says what the record is
    of: a usage, named by its id, or an adjustment.
    """

    kind: str
    record_id: Id
    included: bool
    rated_right: tuple[str, ...]
    discount: DiscountRead | None
    choice: ChoiceRead | None
    signed_by: Mapping[str, tuple[Address, ...]]
    finality: str
    final: bool
    amount_minor: int | None
    records_root: bytes
