"""What is taken as payment, what is served for it, and what remains; pure.

Two machines. `take` judges a payment: claims never exceed what a voucher covers and an ack, at
its price, acknowledges. `Gate` is the node's: it lets through the one slice that was paid for, then
the free tier, then nothing; so neither side ever trusts the other with more than a slice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from opencarrier.chain.typed_data import SigningDomain, voucher_digest
from opencarrier.channels.model import (
    Channel,
    ChannelSettings,
    ChannelVenue,
    Lease,
    PaidSession,
    Payment,
)
from opencarrier.channels.reasons import PaymentReason
from opencarrier.channels.typed_data import ack_digest, acks_domain
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, recover
from opencarrier.spine.usage import Counters

Price = Callable[[Counters], int | None]
"""What a session so far costs, tax included; None beyond the formula's range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a session stands: its channel, the node's lease on it, and the session itself."""

    channel: Channel
    lease: Lease
    session: PaidSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the next slice costs and holds: counters up to which it is served, in all.

    `voucher_minor` is the ceiling a voucher must have for it; `paid` says whether one has.
    """

    voucher_minor: int
    octets: int
    duration_s: int
    paid: bool


def offer(session: PaidSession, price: Price, settings: ChannelSettings) -> Offer | None:
    """Offer the slice after what is acknowledged; None beyond the formula's range.

    A slice is priced at the most it can cost, whichever way its octets go.
    """
    acked, octets = session.acked, settings.slice_octets
    duration_s = acked.session_time_s + settings.slice_s
    ways = (
        replace(acked, session_time_s=duration_s, octets_in=acked.octets_in + octets),
        replace(acked, session_time_s=duration_s, octets_out=acked.octets_out + octets),
    )
    prices = [price(way) for way in ways]
    if None in prices:
        return None
    voucher_minor = session.base_minor + max(item for item in prices if item is not None)
    return Offer(
        voucher_minor=voucher_minor,
        octets=acked.octets_in + acked.octets_out + octets,
        duration_s=duration_s,
        paid=session.voucher_minor >= voucher_minor and not session.ended,
    )


def take(
    venue: ChannelVenue,
    settings: ChannelSettings,
    standing: Standing,
    payment: Payment,
    price: Price,
    *,
    now_s: int | None,
) -> Standing | Refusal:
    """Take a payment: a voucher for the next slice and the ack of what was used before it.

    A payment taken before is taken again, whatever happened since. One that brings no new money
    may come late: it only says what was earned. `now_s` None is the seller's books, taking what
    a node took while it was away: the lease's range was that node's alone, so its end is no
    reason to refuse.
    """
    if is_repeat(standing, payment):
        return standing
    return (
        _misplaced(standing, payment)
        or _unfounded(standing, payment, settings, now_s)
        or _priced(venue, standing, payment, price)
    )


def is_repeat(standing: Standing, payment: Payment) -> bool:
    """Say whether a payment is the last one taken, sent again."""
    session, ack = standing.session, payment.ack
    return (
        (session.session_id, session.channel_id, session.tariff_hash)
        == (ack.session_id, ack.channel_id, ack.tariff_hash)
        and (session.sequence, session.acked) == (ack.sequence, ack.counters)
        and session.cumulative_minor == ack.cumulative_minor
        and session.voucher_minor == payment.max_claimable_minor
        and session.ack_signature == payment.ack_signature
    )


def _misplaced(standing: Standing, payment: Payment) -> Refusal | None:
    """Refuse what was signed for something else, or after the end."""
    session, ack = standing.session, payment.ack
    if ack.session_id != session.session_id:
        return Refusal(PaymentReason.OTHER_SESSION)
    if ack.channel_id != session.channel_id:
        return Refusal(PaymentReason.OTHER_CHANNEL)
    if ack.tariff_hash != session.tariff_hash:
        return Refusal(PaymentReason.OTHER_TARIFF)
    if session.ended or standing.lease.returned:
        return Refusal(PaymentReason.SESSION_ENDED)
    if standing.channel.closed:
        return Refusal(PaymentReason.CHANNEL_ENDED)
    return None


def _unfounded(
    standing: Standing, payment: Payment, settings: ChannelSettings, now_s: int | None
) -> Refusal | None:
    """Refuse a voucher that this node may not take, or that is not covered by the deposit."""
    channel, lease, session = standing.channel, standing.lease, standing.session
    amount_minor = payment.max_claimable_minor
    if amount_minor < session.voucher_minor:
        detail = f"{amount_minor}, {session.voucher_minor} was signed"
        return Refusal(PaymentReason.VOUCHER_STALE, detail)
    if amount_minor == session.voucher_minor:
        return None
    if now_s is not None and channel.withdrawing:
        return Refusal(PaymentReason.CHANNEL_ENDED, "a withdrawal has begun")
    if now_s is not None and now_s + settings.skew_s >= lease.expires_s:
        return Refusal(PaymentReason.LEASE_EXPIRED, f"at {lease.expires_s}")
    if amount_minor <= lease.floor_minor:
        return Refusal(PaymentReason.VOUCHER_BELOW_FLOOR, f"{lease.floor_minor}")
    if amount_minor > lease.ceiling_minor:
        return Refusal(PaymentReason.VOUCHER_ABOVE_CEILING, f"{lease.ceiling_minor}")
    if amount_minor > channel.deposited_minor:
        return Refusal(PaymentReason.VOUCHER_ABOVE_DEPOSIT, f"{channel.deposited_minor}")
    return None


def _priced(
    venue: ChannelVenue, standing: Standing, payment: Payment, price: Price
) -> Standing | Refusal:
    """Refuse an ack out of order or at another price; then look at both signatures."""
    session, ack = standing.session, payment.ack
    if ack.sequence <= session.sequence:
        return Refusal(PaymentReason.ACK_STALE, f"{session.sequence} was taken")
    if not covers(ack.counters, session.acked):
        return Refusal(PaymentReason.ACK_FALLS)
    price_minor = price(ack.counters)
    if price_minor is None:
        return Refusal(PaymentReason.ACK_BEYOND_RANGE)
    if ack.cumulative_minor != session.base_minor + price_minor:
        detail = f"{ack.cumulative_minor} instead of {session.base_minor + price_minor}"
        return Refusal(PaymentReason.ACK_MISPRICED, detail)
    covered_minor = min(payment.max_claimable_minor, standing.lease.ceiling_minor)
    if ack.cumulative_minor > covered_minor:
        return Refusal(PaymentReason.ACK_UNCOVERED, f"{covered_minor} is covered")
    forged = unsigned(venue, standing.channel, payment)
    return forged or _taken(standing, payment, price_minor)


def unsigned(venue: ChannelVenue, channel: Channel, payment: Payment) -> Refusal | None:
    """Refuse what the channel's authorizer did not sign: malleable signatures count as none."""
    assert payment.ack.channel_id == channel.channel_id
    return forged(venue.domain, acks_domain(venue), channel.config.payer_authorizer, payment)


def forged(
    vouchers: SigningDomain, acks: SigningDomain, signer: Address, payment: Payment
) -> Refusal | None:
    """Refuse a payment of which one part is not this key's in these domains."""
    digest = voucher_digest(vouchers, payment.ack.channel_id, payment.max_claimable_minor)
    if recover(digest, payment.voucher_signature) != signer:
        return Refusal(PaymentReason.VOUCHER_SIGNATURE)
    if recover(ack_digest(acks, payment.ack), payment.ack_signature) != signer:
        return Refusal(PaymentReason.ACK_SIGNATURE)
    return None


def _taken(standing: Standing, payment: Payment, price_minor: int) -> Standing:
    channel, session, ack = standing.channel, standing.session, payment.ack
    earned_minor = price_minor - session.price_minor
    assert earned_minor >= 0, "a price never falls as use grows"
    if payment.max_claimable_minor > channel.voucher_minor:
        channel = replace(
            channel,
            voucher_minor=payment.max_claimable_minor,
            voucher_signature=payment.voucher_signature,
        )
    position_minor = max(channel.position_minor, ack.cumulative_minor)
    return Standing(
        channel=replace(
            channel,
            due_minor=channel.due_minor + earned_minor,
            position_minor=position_minor,
        ),
        lease=replace(standing.lease, position_minor=ack.cumulative_minor),
        session=replace(
            session,
            voucher_minor=payment.max_claimable_minor,
            sequence=ack.sequence,
            acked=ack.counters,
            price_minor=price_minor,
            ack_signature=payment.ack_signature,
        ),
    )


def covers(counters: Counters, below: Counters) -> bool:
    """Say whether no counter is lower than another's."""
    return (
        counters.session_time_s >= below.session_time_s
        and counters.octets_in >= below.octets_in
        and counters.octets_out >= below.octets_out
    )


def next_lease(
    channel: Channel,
    latest: Lease | None,
    *,
    node_id: str,
    now_s: int,
    settings: ChannelSettings,
) -> Lease | None:
    """Draft the lease that may follow the latest; None while another node still holds that.

    The holder's own is renewed at once, its floor where its sessions stand. What a detached node
    kept that was never heard from again stays its own: the next lease begins above its ceiling.
    """
    floor_minor = channel.position_minor
    if latest is not None and not latest.returned:
        if latest.node_id != node_id and now_s < latest.expires_s + settings.skew_s:
            return None
        unseen = latest.detached and latest.node_id != node_id
        reached_minor = latest.ceiling_minor if unseen else latest.position_minor
        floor_minor = max(floor_minor, reached_minor)
    ceiling_minor = min(channel.deposited_minor, floor_minor + settings.lease_minor)
    return Lease(
        channel_id=channel.channel_id,
        number=1 if latest is None else latest.number + 1,
        node_id=node_id,
        floor_minor=floor_minor,
        ceiling_minor=max(floor_minor, ceiling_minor),
        expires_s=now_s + settings.lease_s,
        position_minor=floor_minor,
        detached=latest is not None and latest.detached and latest.node_id == node_id,
    )


def claim_due(
    channel: Channel, latest: Lease | None, now_s: int, settings: ChannelSettings
) -> bool:
    """Say whether what a channel has earned is to be claimed now: enough, or it is at its end.

    One for purchases has no lease; it is at its end when it is closed or its payer leaves.
    """
    over = latest is None or latest.returned or now_s >= latest.expires_s
    over = over and not channel.is_for_purchases
    unclaimed_minor = channel.claimable_minor - channel.claimed_minor
    ending = channel.withdrawing or channel.closed or over
    return unclaimed_minor > 0 and (ending or unclaimed_minor >= settings.claim_minor)


class Phase(Enum):
    """What a node lets a session do."""

    GARDEN = "garden"
    """Nothing was paid yet: only the voucher endpoint is reachable."""
    SERVING = "serving"
    FREE = "free"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a node has let through and may still: paid slices are counted apart from free use.

    `octets` and `duration_s` are what was used of paid slices, up to the limits; the device
    acknowledges the same. `free_octets` and `free_s` are what is left of the free tier.
    """

    phase: Phase
    free_octets: int
    free_s: int
    octets: int = 0
    duration_s: int = 0
    octets_limit: int = 0
    duration_limit_s: int = 0


def closed_gate(settings: ChannelSettings) -> Gate:
    """Begin a session: a walled garden until the first voucher."""
    return Gate(phase=Phase.GARDEN, free_octets=settings.free_octets, free_s=settings.free_s)


def paid(gate: Gate, slice_: Offer) -> Gate:
    """Open the gate for a slice that was paid for; its limits never fall."""
    assert slice_.paid, "a slice is served against the voucher that pays for it"
    return replace(
        gate,
        phase=Phase.SERVING,
        octets_limit=max(gate.octets_limit, slice_.octets),
        duration_limit_s=max(gate.duration_limit_s, slice_.duration_s),
    )


def used(gate: Gate, *, octets: int, duration_s: int) -> tuple[Gate, int]:
    """Let a piece of use through as far as it may; return how many octets went.

    A slice ends with its octets or its time, whichever is first; then the free tier serves what
    is left of it, then nothing does.
    """
    assert octets >= 0
    assert duration_s >= 0
    passed = 0
    if gate.phase is Phase.SERVING:
        passed = min(octets, gate.octets_limit - gate.octets)
        spent_s = min(duration_s, gate.duration_limit_s - gate.duration_s)
        gate = replace(gate, octets=gate.octets + passed, duration_s=gate.duration_s + spent_s)
        duration_s -= spent_s
        if gate.octets == gate.octets_limit or gate.duration_s == gate.duration_limit_s:
            gate = unpaid(gate)
    if gate.phase is Phase.FREE:
        free = min(octets - passed, gate.free_octets)
        passed += free
        left_s = max(gate.free_s - duration_s, 0)
        gate = unpaid(replace(gate, free_octets=gate.free_octets - free, free_s=left_s))
    return gate, passed


def unpaid(gate: Gate) -> Gate:
    """Fall to the free tier, and off once that is used up."""
    if gate.phase is Phase.GARDEN:
        return gate
    is_left = gate.free_octets > 0 and gate.free_s > 0
    return replace(gate, phase=Phase.FREE if is_left else Phase.OFF)
