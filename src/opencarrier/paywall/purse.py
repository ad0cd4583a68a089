"""A payer's side of x402 channels: what it has deposited and spent, and the next voucher.

Vouchers are cumulative, so a second one for the same purchase is never paid beside the first; a
deposit can be. So a payment with a deposit stays the purchase's until it is known what became of
it, and while one purchase is under way its channel pays for no other.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from opencarrier.chain.contracts import X402_COLLECTOR_ADDRESS, X402_SETTLEMENT_ADDRESS
from opencarrier.chain.typed_data import (
    Authorization,
    ChannelConfig,
    SigningDomain,
    batch_channels_domain,
    channel_id,
    deposit_nonce,
    receive_digest,
    voucher_digest,
)
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, Signer, recover
from opencarrier.paywall.model import ChannelPayment, Offer, OfferReason, Payment, Settled, Way
from opencarrier.paywall.rules import Limits, domain_of
from opencarrier.spine.channels import ChannelStanding, GaslessDeposit

SALT_OCTETS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """A payer's channel to one receiver: its salt, all that was deposited and spent.

    `open` is the purchase under way, whose outcome is not known yet.
    """

    salt: bytes
    deposited_minor: int = 0
    spent_minor: int = 0
    open: Id | None = None


class Purses(Protocol):
    """Where purses are kept; each write is on the disk when it returns."""

    def locked(self, key: Id) -> AbstractContextManager[None]:
        """Let one process at a time pay from a purse."""
        ...

    def find(self, key: Id) -> Purse | None:
        """Return a purse."""
        ...

    def keep(self, key: Id, purse: Purse) -> None:
        """Keep a purse instead of the former."""
        ...

    def drop(self, key: Id) -> None:
        """Forget a purse: its channel is over, the next has another salt."""
        ...


class ChannelPayer:
    """Makes payments through channels with one key, within limits."""

    def __init__(
        self, signer: Signer, limits: Limits, purses: Purses, *, clock: Clock, entropy: Entropy
    ) -> None:
        self.purses = purses
        self._signer = signer
        self._limits = limits
        self._clock = clock
        self._entropy = entropy

    def key(self, offer: Offer) -> Id:
        """Name the purse that pays an offer: one for each receiver and its terms."""
        assert offer.channel is not None, "a purse pays through a channel"
        terms = offer.channel
        return derive(
            "purse",
            offer.asset,
            self._signer.address,
            offer.receiver,
            terms.receiver_authorizer,
            terms.withdraw_delay_s,
        )

    def purse(self, offer: Offer) -> Purse:
        """Return the purse that pays an offer; a new one has a fresh salt."""
        salt = self._entropy.octets("channel/salt", SALT_OCTETS)
        return self.purses.find(self.key(offer)) or Purse(salt=salt)

    def payment(self, offer: Offer, purse: Purse) -> ChannelPayment | Refusal:
        """Sign the voucher for one request more, with a deposit where the purse does not reach."""
        voucher_minor = purse.spent_minor + offer.amount_minor
        lacking_minor = voucher_minor - purse.deposited_minor
        if lacking_minor <= 0:
            return self._signed(offer, purse, Way.VOUCHER, voucher_minor)
        assert offer.channel is not None
        wanted_minor = max(lacking_minor, offer.channel.deposit_minor)
        most_minor = self._limits.deposit_minor_max
        amount_minor = min(wanted_minor, most_minor)
        if amount_minor < lacking_minor:
            detail = f"a deposit of {lacking_minor} is needed, {most_minor} allowed"
            return Refusal(OfferReason.ABOVE_LIMIT, detail)
        return self._signed(offer, purse, Way.DEPOSIT, voucher_minor, amount_minor)

    def refund(self, offer: Offer, purse: Purse) -> ChannelPayment:
        """Sign the wish to have what was not spent back."""
        return self._signed(offer, purse, Way.REFUND, purse.spent_minor)

    def after(self, purse: Purse, payment: ChannelPayment, settled: Settled | None) -> Purse:
        """Return the purse after a payment was taken: what it cost, never more than was asked.

        A server that does not say what it charged is taken to have charged what it asked.
        """
        asked_minor = payment.offer.amount_minor
        charged_minor = asked_minor
        if settled is not None and settled.charged_minor:
            charged_minor = min(settled.charged_minor, asked_minor)
        deposited_minor = 0 if payment.deposit is None else payment.deposit.amount_minor
        return replace(
            purse,
            deposited_minor=purse.deposited_minor + deposited_minor,
            spent_minor=purse.spent_minor + charged_minor,
            open=None,
        )

    def is_ours(self, offer: Offer, payment: ChannelPayment) -> ChannelStanding | None:
        """Return where a server says the channel stands, if our own voucher shows that it may."""
        standing = None if offer.channel is None else offer.channel.standing
        if standing is None or standing.channel_id != payment.channel_id:
            return None
        if standing.due_minor > standing.voucher_minor:
            return None
        digest = voucher_digest(
            channels_of(payment.offer), payment.channel_id, standing.voucher_minor
        )
        signed = recover(digest, standing.voucher_signature) == self._signer.address
        return standing if signed else None

    def _signed(
        self, offer: Offer, purse: Purse, way: Way, voucher_minor: int, deposit_minor: int = 0
    ) -> ChannelPayment:
        config = self._config(offer, purse)
        domain = channels_of(offer)
        key = Id(channel_id(domain, config))
        return ChannelPayment(
            offer=offer,
            way=way,
            config=config,
            channel_id=key,
            voucher_minor=voucher_minor,
            signature=self._signer.sign(voucher_digest(domain, key, voucher_minor)).octets,
            deposit=self._deposit(offer, config, key, deposit_minor) if deposit_minor else None,
        )

    def _config(self, offer: Offer, purse: Purse) -> ChannelConfig:
        assert offer.channel is not None
        payer = Address(self._signer.address)
        return ChannelConfig(
            payer=payer,
            payer_authorizer=payer,
            receiver=offer.receiver,
            receiver_authorizer=offer.channel.receiver_authorizer,
            token=offer.token,
            withdraw_delay_s=offer.channel.withdraw_delay_s,
            salt=purse.salt,
        )

    def _deposit(
        self, offer: Offer, config: ChannelConfig, key: Id, amount_minor: int
    ) -> GaslessDeposit:
        until_s = self._clock.now_us() // SECOND_US + offer.timeout_s
        salt = int.from_bytes(self._entropy.octets("channel/nonce", SALT_OCTETS), "big")
        unsigned = GaslessDeposit(
            amount_minor=amount_minor,
            valid_after_s=0,
            valid_before_s=until_s,
            salt=salt,
            signature=b"",
        )
        digest = receive_digest(domain_of(offer), _authorization(config, key, unsigned))
        return replace(unsigned, signature=self._signer.sign(digest).octets)


def channels_of(offer: Offer) -> SigningDomain:
    """Return where the vouchers for an offer count: x402's contract on its chain."""
    chain_id = int(offer.network.removeprefix("eip155:"))
    return batch_channels_domain(chain_id=chain_id, contract=X402_SETTLEMENT_ADDRESS)


def deposit_of(payment: ChannelPayment) -> Payment | None:
    """Return a payment's deposit as the token sees it, to ask a chain whether it was used."""
    if payment.deposit is None:
        return None
    given = _authorization(payment.config, payment.channel_id, payment.deposit)
    return Payment(offer=payment.offer, authorization=given, signature=payment.deposit.signature)


def _authorization(config: ChannelConfig, key: Id, deposit: GaslessDeposit) -> Authorization:
    return Authorization(
        sender=config.payer,
        receiver=X402_COLLECTOR_ADDRESS,
        amount_minor=deposit.amount_minor,
        valid_after_s=deposit.valid_after_s,
        valid_before_s=deposit.valid_before_s,
        nonce=deposit_nonce(key, deposit.salt),
    )
