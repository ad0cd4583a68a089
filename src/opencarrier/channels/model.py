"""The types of the room: a channel and who may be paid through it, what a device signs, a lease."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

from opencarrier.chain.typed_data import ChannelConfig, SigningDomain, batch_channels_domain
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import ZERO, Counters

PAYER = "payer_"
"""What the name of a payer nobody knows here begins with; its address follows."""


class Mode(IntEnum):
    """Who is paid by the channel.

    `HOME`: the home operator, which owes the visited one as for any subscriber. `DIRECT`: the
    visited operator sells itself, and home and visited owe each other nothing for it.
    """

    HOME = 1
    DIRECT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelVenue:
    """Where channels live: the contract, its ERC-3009 collector, and the token they pay in.

    `token_domain` is where signatures for the token count, as the token itself says.
    """

    asset: AssetId
    chain_id: int
    contract: Address
    collector: Address
    token: Address
    token_domain: SigningDomain
    from_block: int = 0

    @property
    def domain(self) -> SigningDomain:
        """Where vouchers count."""
        return _vouchers_domain(self.chain_id, self.contract)


@lru_cache(maxsize=64)
def _vouchers_domain(chain_id: int, contract: Address) -> SigningDomain:
    return batch_channels_domain(chain_id=chain_id, contract=contract)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """Limits of pay as you use.

    A slice is what one side trusts the other with: octets or seconds, whichever is first.
    `lease_minor` bounds what one node accepts before it has to ask again. The free tier is what a
    session may use unpaid in all: octets or seconds, whichever ends first. `late_s` after its
    grant a session's device is still heard.
    """

    slice_octets: int = 10_000_000
    slice_s: int = 60
    free_octets: int = 1_000_000
    free_s: int = 600
    lease_s: int = 3_600
    lease_minor: int = 5_000_000
    skew_s: int = 5
    withdraw_delay_s_min: int = 86_400
    deposit_minor_min: int = 100_000
    deposit_minor_max: int = 1_000_000_000
    channels_per_subscriber_max: int = 8
    channels_max: int = 1_000_000
    late_s: int = 3_600
    opening_max: int = 10_000
    claim_minor: int = 1_000_000

    def __post_init__(self) -> None:
        assert self.slice_octets > 0
        assert self.slice_s > 0
        assert self.lease_s > self.skew_s, "a lease outlives the clocks' error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel as its seller knows it; amounts count over its whole life.

    `deposited_minor` (less what was refunded) and `claimed_minor` are what final blocks say.
    `voucher_minor` is the highest ceiling signed. `due_minor` is what was earned: the price of
    all acknowledged use. `position_minor` is where the next lease begins: what is due, and what
    nodes not heard from since may have earned. `withdrawing` and `closed` end it for good.
    """

    channel_id: Id
    config: ChannelConfig
    subscriber: PartyId
    seller: PartyId
    deposited_minor: int = 0
    claimed_minor: int = 0
    voucher_minor: int = 0
    voucher_signature: bytes = field(default=b"", repr=False)
    due_minor: int = 0
    position_minor: int = 0
    withdrawing: bool = False
    closed: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.due_minor <= self.voucher_minor, "never more due than a voucher says"
        assert self.due_minor <= self.position_minor

    @property
    def is_for_purchases(self) -> bool:
        """Say whether it pays for single requests, of whoever has its key."""
        return self.subscriber.startswith(PAYER)

    @property
    def claimable_minor(self) -> int:
        """What may be claimed on chain in all: earned, signed for and there."""
        return min(self.due_minor, self.voucher_minor, self.deposited_minor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One node's right to take a channel's vouchers above `floor_minor` up to `ceiling_minor`.

    Signed by the channel's receiver; it ends at `expires_s` (Unix seconds, exclusive).
    `position_minor` is how far its sessions have come. A `detached` one is with a node that takes
    payments by itself, unseen by the seller; a `returned` one takes nothing more.
    """

    channel_id: Id
    number: int
    node_id: str
    floor_minor: int
    ceiling_minor: int
    expires_s: int
    position_minor: int
    signature: bytes = field(default=b"", repr=False)
    detached: bool = False
    returned: bool = False

    def __post_init__(self) -> None:
        assert self.floor_minor <= self.position_minor <= self.ceiling_minor

    @property
    def is_away(self) -> bool:
        """Say whether its node may still hold payments that the seller has not seen."""
        return self.detached and not self.returned


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageAck:
    """What a device signs for a session so far: cumulative quantities, and what it owes by them.

    `cumulative_minor` counts over the channel's life: what was due when the session began, and
    the session's price since.
    """

    session_id: Id
    sequence: int
    octets_in: int
    octets_out: int
    duration_s: int
    tariff_hash: bytes
    channel_id: Id
    cumulative_minor: int

    @property
    def counters(self) -> Counters:
        """The quantities as a session counts them."""
        return Counters(
            session_time_s=self.duration_s, octets_in=self.octets_in, octets_out=self.octets_out
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What a device sends before each slice: the ceiling for it, and the ack of what was before."""

    max_claimable_minor: int
    voucher_signature: bytes = field(repr=False)
    ack: UsageAck
    ack_signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidSession:
    """A session that is paid through a channel, as far as its device has acknowledged it.

    It began at `base_minor` of the channel; `voucher_minor` is the highest ceiling signed in it.
    """

    session_id: Id
    channel_id: Id
    lease_number: int
    authorisation_id: bytes
    tariff_hash: bytes
    base_minor: int
    voucher_minor: int
    sequence: int = -1
    acked: Counters = ZERO
    price_minor: int = 0
    ack_signature: bytes = field(default=b"", repr=False)
    ended: bool = False

    @property
    def cumulative_minor(self) -> int:
        """What the channel owes with this session's use, from the beginning of its life."""
        return self.base_minor + self.price_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """A payer's ERC-3009 authorisation for a channel, for anybody to bring to the chain."""

    channel_id: Id
    amount_minor: int
    valid_after_s: int
    valid_before_s: int
    salt: int
    signature: bytes = field(repr=False)
