"""Selling for vouchers of payment channels (x402 `batch-settlement`).

    sales.offer(exact)                     what a 402 asks for, beside the exact offer
    sales.open(begin, payment, now_us=)    take a channel's deposit, to be brought to the chain
    sales.take(begin, sale, payment, ...)  Bought | Refusal: voucher and answer kept, in one
    sales.close(begin, payment)            take no more vouchers; the rest is given back

The channels' room keeps channels and vouchers; here stands only what the last voucher of each
bought, written in the same transaction: so the book of vouchers and the answers always agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy import Connection

from opencarrier.chain.errors import RevertedError
from opencarrier.chain.model import Call
from opencarrier.chain.ports import UnitOfWork
from opencarrier.chain.transactions import Quote
from opencarrier.chain.typed_data import ChannelConfig, SigningDomain, channel_id
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.paywall import store
from opencarrier.paywall.model import (
    BATCH_SETTLEMENT,
    ChannelPayment,
    ChannelSale,
    ChannelTerms,
    Offer,
    PaymentReason,
    Sale,
    Way,
)
from opencarrier.paywall.rules import MARGIN_S, SKEW_S
from opencarrier.spine.channels import ChannelStanding, GaslessDeposit

DEPOSIT_PRICES = 10
"""So many requests a deposit should pay for at least: bringing it to the chain costs us gas."""

GAS_MAX = 400_000
"""More gas than any honest token takes for a deposit by authorisation."""


class Channels(Protocol):
    """The channels' room, as far as single requests are paid through it."""

    receiver: Address
    withdraw_delay_s: int
    deposit_minor_min: int

    @property
    def domain(self) -> SigningDomain:
        """Where vouchers count."""
        ...

    def standing(self, unit: Connection, config: ChannelConfig) -> ChannelStanding | None:
        """Return where a channel for purchases stands."""
        ...

    def open(
        self, unit: Connection, config: ChannelConfig, deposit: GaslessDeposit, *, at_us: int
    ) -> ChannelStanding | Refusal:
        """Take a channel and its deposit."""
        ...

    def deposit_call(self, config: ChannelConfig, deposit: GaslessDeposit) -> Call:
        """Return the call that brings a deposit to the chain."""
        ...

    def spend(
        self,
        unit: Connection,
        config: ChannelConfig,
        *,
        voucher_minor: int,
        signature: bytes,
        price_minor: int,
        account: str,
        code: str,
        at_us: int,
    ) -> ChannelStanding | Refusal:
        """Keep the voucher that pays for one request."""
        ...

    def close(
        self, unit: Connection, config: ChannelConfig, *, voucher_minor: int, signature: bytes
    ) -> ChannelStanding | Refusal:
        """Take no more vouchers."""
        ...


class Quoter(Protocol):
    """Whoever says what a call would cost; `RevertedError` where it would revert."""

    def quote(self, call: Call) -> Quote:
        """Quote a call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """What a voucher bought, and where its channel stands after it."""

    sale: ChannelSale
    standing: ChannelStanding


class ChannelSales:
    """Sells for vouchers at one venue. Raises `ChainError` where the chain does not answer."""

    def __init__(self, channels: Channels, quoter: Quoter) -> None:
        self._channels = channels
        self._quoter = quoter

    def offer(self, exact: Offer, standing: ChannelStanding | None = None) -> Offer:
        """Return how what is offered for an exact payment is paid for through a channel."""
        least_minor = max(self._channels.deposit_minor_min, DEPOSIT_PRICES * exact.amount_minor)
        return replace(
            exact,
            scheme=BATCH_SETTLEMENT,
            receiver=self._channels.receiver,
            channel=ChannelTerms(
                receiver_authorizer=self._channels.receiver,
                withdraw_delay_s=self._channels.withdraw_delay_s,
                deposit_minor=least_minor,
                standing=standing,
            ),
        )

    def standing(self, begin: UnitOfWork, payment: ChannelPayment) -> ChannelStanding | None:
        """Return where a payment's channel stands."""
        with begin() as unit:
            return self._channels.standing(unit, payment.config)

    def objection(self, offer: Offer, payment: ChannelPayment) -> Refusal | None:
        """Say why a payment is for another offer or channel than it says."""
        asked, config = payment.offer, payment.config
        faults = (
            (PaymentReason.OTHER_SCHEME, asked.scheme != BATCH_SETTLEMENT),
            (PaymentReason.OTHER_NETWORK, asked.network != offer.network),
            (PaymentReason.OTHER_ASSET, not asked.token == config.token == offer.token),
            (
                PaymentReason.OTHER_RECEIVER,
                not asked.receiver == config.receiver == self._channels.receiver,
            ),
            (PaymentReason.OTHER_AMOUNT, asked.amount_minor != offer.amount_minor),
            (
                PaymentReason.OTHER_TERMS,
                payment.channel_id != channel_id(self._channels.domain, config),
            ),
        )
        return next((Refusal(reason) for reason, applies in faults if applies), None)

    def known(
        self, begin: UnitOfWork, resource: str, payment: ChannelPayment
    ) -> Bought | Refusal | None:
        """Return what a voucher that came before bought; refused for anything else."""
        with begin() as unit:
            return self._known(unit, resource, payment)

    def open(
        self, begin: UnitOfWork, payment: ChannelPayment, *, timeout_s: int, now_us: int
    ) -> ChannelStanding | Refusal:
        """Take a payment's deposit, once it was seen that it would succeed now."""
        assert payment.deposit is not None, "a deposit is brought"
        standing = self.standing(begin, payment)
        if standing is not None and standing.deposited_minor >= payment.voucher_minor:
            return standing
        refusal = self._undeposited(payment, payment.deposit, timeout_s, now_us)
        if refusal is not None:
            return standing or refusal  # a deposit that came before may be under way
        with begin() as unit:
            return self._channels.open(unit, payment.config, payment.deposit, at_us=now_us)

    def take(
        self, begin: UnitOfWork, sale: Sale, payment: ChannelPayment, *, now_us: int
    ) -> Bought | Refusal:
        """Keep the voucher and what it buys, both or neither; the same again is the same."""
        crashpoint("purchase.before_voucher")
        with begin() as unit:
            known = self._known(unit, sale.resource, payment)
            if known is not None:
                return known
            standing = self._channels.spend(
                unit,
                payment.config,
                voucher_minor=payment.voucher_minor,
                signature=payment.signature,
                price_minor=sale.amount_minor,
                account=sale.account,
                code=sale.code,
                at_us=now_us,
            )
            if isinstance(standing, Refusal):
                return standing
            bought = ChannelSale(
                channel_id=standing.channel_id,
                voucher_minor=payment.voucher_minor,
                amount_minor=sale.amount_minor,
                resource=sale.resource,
                answer=sale.answer,
            )
            store.put_channel_sale(unit, bought)
            crashpoint("purchase.in_voucher")
        crashpoint("purchase.after_voucher")
        return Bought(sale=bought, standing=standing)

    def close(self, begin: UnitOfWork, payment: ChannelPayment) -> ChannelStanding | Refusal:
        """Take no more vouchers on a channel, as whoever has its key asks."""
        assert payment.way is Way.REFUND, "it is asked for"
        if payment.refund_minor is not None:
            return Refusal(PaymentReason.REFUND_IN_PART, "all that is left is given back")
        with begin() as unit:
            return self._channels.close(
                unit,
                payment.config,
                voucher_minor=payment.voucher_minor,
                signature=payment.signature,
            )

    def _known(
        self, unit: Connection, resource: str, payment: ChannelPayment
    ) -> Bought | Refusal | None:
        """Look for the last voucher of a channel, by its own signature: nobody else has that."""
        if payment.way is Way.REFUND:
            return None
        kept = store.channel_sale(unit, payment.channel_id)
        standing = self._channels.standing(unit, payment.config)
        if kept is None or standing is None or kept.voucher_minor != payment.voucher_minor:
            return None
        same = (standing.channel_id, standing.voucher_signature)
        if same != (payment.channel_id, payment.signature):
            return None
        if kept.resource != resource:
            return Refusal(PaymentReason.REUSED, "this voucher was given for something else")
        return Bought(sale=kept, standing=standing)

    def _undeposited(
        self, payment: ChannelPayment, deposit: GaslessDeposit, timeout_s: int, now_us: int
    ) -> Refusal | None:
        """Say why a deposit would not reach the chain, or hold our books up for too long."""
        now_s = now_us // SECOND_US
        if deposit.valid_before_s <= now_s + MARGIN_S:
            return Refusal(PaymentReason.EXPIRED, f"it is {now_s}, {MARGIN_S} s must be left")
        if deposit.valid_before_s > now_s + timeout_s + SKEW_S:
            return Refusal(PaymentReason.VALID_TOO_LONG, f"valid for {timeout_s} s at most")
        try:
            quote = self._quoter.quote(self._channels.deposit_call(payment.config, deposit))
        except RevertedError as error:
            return Refusal(PaymentReason.WOULD_REVERT, str(error)[:100])
        if quote.gas_limit > GAS_MAX:
            return Refusal(PaymentReason.WOULD_REVERT, f"it takes {quote.gas_limit} gas")
        return None
