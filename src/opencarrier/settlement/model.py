"""What settlement speaks of: the venue, cycles and their attempts, outcomes. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.spine.money import Cleared, Net, SettlementOrder, Suspense
from opencarrier.spine.parties import PartyId


class CycleState(Enum):
    """Where a cycle stands; `final` and `lost` are terminal."""

    OPEN = "open"
    ORDERED = "ordered"
    SENT = "sent"
    FINAL = "final"
    LOST = "lost"


class CycleEvent(Enum):
    """What happens to a cycle."""

    ORDER = "order"
    SEND = "send"
    CONFIRM = "confirm"
    RETRY = "retry"
    ABANDON = "abandon"
    CONFLICT = "conflict"


class AttemptState(Enum):
    """Where an attempt to settle a cycle stands: under way, posted, provably dead, beaten."""

    OPEN = "open"
    FINAL = "final"
    DEAD = "dead"
    LOST = "lost"


class CloseRefusal(Reason):
    """Why a cycle is not closed now; of several that apply, the lowest is given."""

    HALTED = 1
    IN_FLIGHT = 2
    CUT_BEFORE_LAST = 3
    TOO_MANY_MEMBERS = 4
    VENUE_UNAVAILABLE = 5
    NOT_PREPARED = 6


class Alarm(Enum):
    """What stops settling until a person has looked; nothing posted is ever unposted."""

    SETTLED_OTHERWISE = "settled_otherwise"
    DEEP_REORG = "deep_reorg"
    ENDPOINTS_DIFFER = "endpoints_differ"
    SEQUENCE = "sequence"
    UNEXPLAINED = "unexplained"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """Where one asset is settled: one chain, one clearing house, one distributor.

    `first_sequence` is the contract's `last_sequence` at deployment plus one; `from_block` is
    where its logs begin.
    """

    domain: str
    asset: AssetId
    chain_id: int
    token: Address
    clearing_house: Address
    distributor: Address
    rulebook_hash: bytes
    first_sequence: int = 1
    from_block: int = 0

    def __post_init__(self) -> None:
        assert len(self.rulebook_hash) == 32, "a rulebook's hash has 32 octets"
        assert self.first_sequence >= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """A cycle: its number, where it stands, how often it was tried, when it was last cut.

    `sequence` counts settlements at the venue: a cycle with nothing due stays open and is cut
    again, so no number is ever used up for nothing. `cuts` and `attempt` count from one.
    """

    cycle_id: Id
    sequence: int
    state: CycleState
    attempt: int
    cuts: int
    cut_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of an order: a member's net, or what an address has of a host's share."""

    party: PartyId
    address: Address
    amount_minor: int
    is_host: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to settle a cycle: its order, the transaction that carries it, what became of it.

    The figures are those of `spine.money.Cleared`. `tx_hash` and `block_number` say which
    transaction settled the cycle, ours or a twin's; None until it is final.
    """

    cycle_id: Id
    number: int
    state: AttemptState
    reason: str
    intent_id: Id
    order: SettlementOrder
    rows: tuple[Row, ...]
    positions: int
    records: int
    gross_minor: int
    residual_minor: int
    payments: int
    ordered_us: int
    final_us: int | None
    tx_hash: bytes | None
    block_number: int | None

    @property
    def net_minor(self) -> int:
        """What moves at the venue: the sum of all debits."""
        return _debits(self.order.nets)


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleClosed:
    """What a close did. Without due positions there is no attempt and the cycle stays open."""

    cycle: Cycle
    attempt: Attempt | None
    usages: int
    suspended: tuple[Suspense, ...]
    cleared: Cleared


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Why settling stopped, since when; a person ends it."""

    alarm: Alarm
    detail: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """What one pass found: the cycle in flight (None where none is), and what a person must see.

    `note` says what is waited for; `unapproved` that it is people. `alarms` are those of the
    transaction manager.
    """

    cycle: Cycle | None
    note: str
    halt: Halt | None = None
    unapproved: Refusal | None = None
    alarms: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Say whether nothing is in flight any more: the last cycle is final or open again."""
        return self.halt is None and (self.cycle is None or self.cycle.state in _RESTING)


_RESTING = frozenset({CycleState.FINAL, CycleState.OPEN})


def _debits(nets: tuple[Net, ...]) -> int:
    return -sum(net.amount_minor for net in nets if net.amount_minor < 0)
