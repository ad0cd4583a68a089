"""What makes a payment good, what shows that it was paid, and which offer a client may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opencarrier.chain import events
from opencarrier.chain.events.base import Event
from opencarrier.chain.typed_data import Authorization, SigningDomain, transfer_digest
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, recover
from opencarrier.paywall.model import (
    Kept,
    Offer,
    OfferReason,
    Payment,
    PaymentReason,
    PaymentState,
    Profile,
    Required,
)

MARGIN_S = 30
"""A payment must stay valid this long to be mined in time."""

SKEW_S = 60
"""How far a client's clock may be ahead: by so much its payment may outlive the offer's time."""


def payment_id(asset: AssetId, authorization: Authorization) -> Id:
    """Name a payment by what the token lets happen once: the payer's nonce (ERC-3009)."""
    return derive("payment", asset, authorization.sender, authorization.nonce)


def judge(offer: Offer, payment: Payment, *, now_us: int) -> Refusal | None:
    """Say why a payment does not meet an offer, as far as it can be said without the chain.

    The signature is EIP-712 over the authorisation in the domain of the offer's own token, so
    one for another chain, token, receiver or amount is somebody else's (EIP-3009).
    """
    now_s, given = now_us // SECOND_US, payment.authorization
    faults = (
        (PaymentReason.OTHER_SCHEME, payment.offer.scheme != offer.scheme),
        (PaymentReason.OTHER_NETWORK, payment.offer.network != offer.network),
        (PaymentReason.OTHER_ASSET, payment.offer.token != offer.token),
        (
            PaymentReason.OTHER_RECEIVER,
            not payment.offer.receiver == given.receiver == offer.receiver,
        ),
        (
            PaymentReason.OTHER_AMOUNT,
            not payment.offer.amount_minor == given.amount_minor == offer.amount_minor,
        ),
        (PaymentReason.NOT_YET_VALID, given.valid_after_s >= now_s),
        (PaymentReason.EXPIRED, given.valid_before_s <= now_s + MARGIN_S),
        (PaymentReason.VALID_TOO_LONG, given.valid_before_s > now_s + offer.timeout_s + SKEW_S),
    )
    for reason, applies in faults:
        if applies:
            return Refusal(reason, _detail(reason, offer, now_s))
    if recover(transfer_digest(domain_of(offer), given), payment.signature) != given.sender:
        return Refusal(PaymentReason.BAD_SIGNATURE, f"not {given.sender}'s")
    return None


def domain_of(offer: Offer) -> SigningDomain:
    """Return where the payments of an offer are signed: its token on its chain."""
    chain_id = int(offer.network.removeprefix("eip155:"))
    return SigningDomain(
        name=offer.name, version=offer.version, chain_id=chain_id, contract=offer.token
    )


def transfer_index(found: Mapping[int, Event], authorization: Authorization) -> int | None:
    """Return the index of the log that is the payment, among one transaction's by their index.

    A payment is its `AuthorizationUsed` with the `Transfer` right after it: so the transfer of
    one authorisation never counts for another's that was used in the same transaction.
    """
    used = events.AuthorizationUsed(authorizer=authorization.sender, nonce=authorization.nonce)
    wanted = events.Transfer(
        sender=authorization.sender,
        receiver=authorization.receiver,
        value=authorization.amount_minor,
    )
    for index, event in found.items():
        if event == used and found.get(index + 1) == wanted:
            return index + 1
    return None


def dead_reason(kept: Kept, *, elsewhere: bool, timestamp_s: int) -> str | None:
    """Say why an unpaid payment can never pay any more, None while it may; both facts are final.

    A log shows its nonce used or cancelled without our transfer; or no block can take it, its
    time being over. That the token calls the nonce used proves nothing: an endpoint may answer
    from a later state than the one it was asked about.
    """
    if elsewhere:
        return "its nonce was used for something else"
    if timestamp_s >= kept.authorization.valid_before_s:
        return "its time ran out before it was mined"
    return None


def is_answered(kept: Kept) -> bool:
    """Say whether a payment's resource is given: it is as sure as its sale asks."""
    if kept.state is PaymentState.BOOKED:
        return True
    return kept.state is PaymentState.MINED and kept.sale.profile is Profile.MINED


def same_purchase(kept: Kept, payment: Payment, resource: str) -> bool:
    """Say whether a payment comes again for what it was first given for."""
    return kept.authorization == payment.authorization and kept.sale.resource == resource


@dataclass(frozen=True, slots=True)
class Bucket:
    """A rate limit: `tokens` refill at `rate_per_s` up to `burst`; whole micro-tokens."""

    rate_per_s: int
    burst: int
    micro_tokens: int
    at_us: int

    @classmethod
    def full(cls, *, rate_per_s: int, burst: int, at_us: int) -> Bucket:
        """Return a bucket nobody has taken from."""
        return cls(rate_per_s, burst, burst * SECOND_US, at_us)

    def take(self, now_us: int) -> tuple[Bucket, bool]:
        """Take one token; say whether there was one."""
        elapsed_us = max(0, now_us - self.at_us)
        held = min(self.burst * SECOND_US, self.micro_tokens + elapsed_us * self.rate_per_s)
        allowed = held >= SECOND_US
        left = held - SECOND_US if allowed else held
        return Bucket(self.rate_per_s, self.burst, left, max(self.at_us, now_us)), allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client lets itself be charged: so much at most, in these assets, to these accounts.

    An asset must be named, for an amount says nothing without one; no receivers named, any will
    do. `deposit_minor_max` is the most put into a channel at once; zero is no channels.
    """

    amount_minor_max: int
    assets: frozenset[AssetId]
    receivers: frozenset[Address] = frozenset()
    deposit_minor_max: int = 0


def choose(required: Required, limits: Limits) -> Offer | Refusal:
    """Return the cheapest offer within the limits, or why there is none.

    Of equals one through a channel is taken where a deposit is allowed, then the first.
    """
    known = [item for item in required.offers if item.channel is None or limits.deposit_minor_max]
    if not known:
        return Refusal(OfferReason.NOTHING_KNOWN, "none by ERC-3009 on an EVM chain that is wanted")
    offers: Sequence[Offer] = [item for item in known if item.asset in limits.assets]
    if not offers:
        asked = ", ".join(sorted({item.asset for item in known}))
        return Refusal(OfferReason.ASSET_NOT_ALLOWED, asked)
    if limits.receivers:
        offers = [item for item in offers if item.receiver in limits.receivers]
    if not offers:
        return Refusal(OfferReason.RECEIVER_NOT_ALLOWED, known[0].receiver)
    cheapest = min(offers, key=lambda item: (item.amount_minor, item.channel is None))
    if not 0 < cheapest.amount_minor <= limits.amount_minor_max:
        detail = f"{cheapest.amount_minor} is asked, {limits.amount_minor_max} allowed"
        return Refusal(OfferReason.ABOVE_LIMIT, detail)
    return cheapest


def _detail(reason: PaymentReason, offer: Offer, now_s: int) -> str:
    """Say what would have been right."""
    until_s = now_s + offer.timeout_s
    return {
        PaymentReason.OTHER_SCHEME: offer.scheme,
        PaymentReason.OTHER_NETWORK: offer.network,
        PaymentReason.OTHER_ASSET: offer.token,
        PaymentReason.OTHER_RECEIVER: offer.receiver,
        PaymentReason.OTHER_AMOUNT: str(offer.amount_minor),
        PaymentReason.NOT_YET_VALID: f"it is {now_s}",
        PaymentReason.EXPIRED: f"it is {now_s}, {MARGIN_S} s must be left",
        PaymentReason.VALID_TOO_LONG: f"valid until {until_s} at most",
    }[reason]
