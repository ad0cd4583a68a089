"""What use costs, who owes whom, and how a cycle is paid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.parties import PartyId
from opencarrier.spine.routing import Choice
from opencarrier.spine.usage import Rung, Usage

SETTLEMENT_FREE = derive("settlement-free")
"""What stands for tariff and agreement where no agreement prices: settlement-free service."""


class Kind(IntEnum):
    """Which contract a charge belongs to."""

    WHOLESALE = 1
    RETAIL = 2


class Role(IntEnum):
    """Why a party gets a leg of a charge."""

    SELLER = 1
    HOST = 2
    PROTOCOL = 3
    TAX = 4


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Allocation:
    """One leg of a charge: who gets it, why, in which ledger account, and how much."""

    role: Role
    party: PartyId
    account: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeReading:
    """Where a discount can be read: the contract, whose stake, and in which past second."""

    contract: Address
    account: Address
    timepoint_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """What a subscriber's stake carries: parts per million off the price, read at `reading`.

    It ends with the lock, at `unlock_at_s`. Use at a discount may cost up to `cap_minor` of
    `asset` in one lock, the one that began at `lock_began_s`.
    """

    ppm: int
    reading: StakeReading
    unlock_at_s: int
    lock_began_s: int
    asset: AssetId
    cap_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A rated usage under one of its two contracts.

    `amount_minor` is what the payer owes for this usage: f(counters_to) - f(counters_from), tax
    included. `inputs` is the canonical encoding of everything rating read (tariff terms,
    discount, counters), so that anybody can rate it again. `discount_minor` (retail only) comes
    from the seller's budget and is not part of the amount; `stake` says where the chain tells
    the rate of it that stands among the inputs.
    """

    charge_id: Id
    usage_id: Id
    kind: Kind
    payer: PartyId
    seller: PartyId
    asset: AssetId
    amount_minor: int
    discount_minor: int
    tariff_hash: bytes
    agreement_hash: bytes
    rule_version: str
    inputs: bytes
    allocations: tuple[Allocation, ...]
    stake: StakeReading | None = None

    def __post_init__(self) -> None:
        assert self.amount_minor >= 0
        assert all(leg.amount_minor >= 0 for leg in self.allocations)
        assert sum(leg.amount_minor for leg in self.allocations) == self.amount_minor

    @property
    def is_settlement_free(self) -> bool:
        """Whether it is of service that nobody pays for: it enters no position."""
        return self.agreement_hash == SETTLEMENT_FREE


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """What a deal between operators adds to or takes off a period's charges, tax included.

    Amounts and legs may be negative, and are in millionths of `currency`. `number` counts the
    adjustments of a deal and period from 0: each is what is owed by then less all that was booked
    before. `inputs` is the canonical encoding of everything it was made from.
    """

    adjustment_id: Id
    payer: PartyId
    seller: PartyId
    asset: AssetId
    currency: str
    amount_minor: int
    agreement_hash: bytes
    deal_hash: bytes
    start_us: int
    end_us: int
    number: int
    is_final: bool
    inputs: bytes
    allocations: tuple[Allocation, ...]

    def __post_init__(self) -> None:
        assert self.start_us < self.end_us
        assert sum(leg.amount_minor for leg in self.allocations) == self.amount_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An adjustment as it is settled: its legs in the asset, either sign.

    `exchange` is what the currency was worth at the end of the period, in the words both operators
    signed; None where it is the asset's own.
    """

    adjustment: Adjustment
    exchange: Mapping[str, Value] | None
    allocations: tuple[Allocation, ...]

    @property
    def amount_minor(self) -> int:
        """What the payer owes in the asset, or has back where it is negative."""
        return sum(leg.amount_minor for leg in self.allocations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """Who sells to a subscriber that pays as it uses, and by which of the seller's plans."""

    seller: PartyId
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspense:
    """Use that cannot be rated yet, and why; it stays until it can."""

    usage_id: Id
    kind: Kind
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedUsage:
    """A usage with both its charges, as clearing takes it; `retail` is None where none applies.

    `choice` says who else could have served, where the session was chosen from several. `terms` is
    the digest of what was agreed in band, None where the agreement alone says the price.
    """

    usage: Usage
    host: PartyId
    wholesale: Charge
    retail: Charge | None
    choice: Choice | None = None
    terms: Id | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What a debtor owes a creditor for one cycle's records on one rung of the finality ladder.

    `pair_root` is the root over the salted leaves of its records. `legs` are the creditor's
    onward dues (host shares, protocol fee, tax) summed by (role, party).
    """

    position_id: Id
    cycle_id: Id
    debtor: PartyId
    creditor: PartyId
    asset: AssetId
    jurisdiction: str
    rung: Rung
    pair_root: bytes
    records: int
    amount_minor: int
    legs: tuple[Allocation, ...]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Net:
    """What a member gains (positive) or pays (negative) in a settlement."""

    address: Address
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """A beneficiary's part of a host's share of a cycle, paid through the reward pool."""

    host: PartyId
    payout: Address
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class MemberNet:
    """A member's net with the party behind it: the ledger books it, the venue moves it."""

    party: PartyId
    address: Address
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Nets:
    """What each member gains or pays, and what each host earned; together they sum to zero."""

    members: Mapping[PartyId, int]
    hosts: Mapping[PartyId, int]

    def __post_init__(self) -> None:
        assert sum(self.members.values()) + sum(self.hosts.values()) == 0, "nets sum to zero"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """A position that stays out of a cycle, and why; it keeps its id and enters a later one."""

    position_id: Id
    debtor: PartyId
    creditor: PartyId
    amount_minor: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What clearing made of a cycle: who pays and gets, what hosts earned, what had to wait.

    `gross_minor` is the sum of its positions, `residual_minor` what the netting mode leaves of
    all obligations in `payments` flows. `nets` are ascending by address, none is zero.
    """

    cycle_id: Id
    records_root: bytes
    netting_mode: int
    nets: tuple[MemberNet, ...]
    entitlements: tuple[Entitlement, ...]
    positions: int
    records: int
    gross_minor: int
    residual_minor: int
    payments: int
    deferred: tuple[Deferral, ...]

    def __post_init__(self) -> None:
        assert sum(net.amount_minor for net in self.nets) + self.rewards_minor == 0
        assert all(net.amount_minor for net in self.nets), "a net of zero has no row"
        addresses = [net.address for net in self.nets]
        assert addresses == sorted(set(addresses)), "nets ascend by address, each once"

    @property
    def rewards_minor(self) -> int:
        """What hosts earned in this cycle."""
        return sum(earned.amount_minor for earned in self.entitlements)

    @property
    def net_minor(self) -> int:
        """What moves at the venue: the sum of all debits."""
        return -sum(net.amount_minor for net in self.nets if net.amount_minor < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementOrder:
    """Everything a settlement moves, ready for the venue; its id follows from nothing else."""

    settlement_id: Id
    cycle_id: Id
    sequence: int
    asset: AssetId
    records_root: bytes
    netting_mode: int
    nets: tuple[Net, ...]
    rewards_root: bytes
    rewards_minor: int
    debit_signatures: tuple[Signature | None, ...]

    def __post_init__(self) -> None:
        assert sum(net.amount_minor for net in self.nets) + self.rewards_minor == 0
        addresses = [net.address for net in self.nets]
        assert addresses == sorted(set(addresses)), "nets ascend by address, each once"
        assert len(self.debit_signatures) == sum(net.amount_minor < 0 for net in self.nets)
