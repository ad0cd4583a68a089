"""What the hub sells, paid by vouchers of payment channels: deposits, vouchers, refunds."""

from __future__ import annotations

from opencarrier.app.errands import Errands
from opencarrier.app.selling import PAYMENTS_PER_S, Desk, SaleRefusal, Sell
from opencarrier.chain.errors import ChainError
from opencarrier.kernel.refusals import Refusal
from opencarrier.paywall.by_channel import Bought, ChannelSales
from opencarrier.paywall.model import ChannelPayment, Offer, Sale, Way
from opencarrier.spine.channels import ChannelStanding

REFUND_PASSES = 4
"""So often a refund is pushed on before it is answered; the rest the hub does by itself."""


class UnderWayError(Exception):
    """A deposit is not final yet; the same request again is safe, and the way on."""


class ChannelDesk:
    """Sells for vouchers beside the desk that sells for exact payments, within its bounds."""

    def __init__(self, desk: Desk, sales: ChannelSales) -> None:
        self._desk = desk
        self._sales = sales
        self._place = desk.place
        self._base = desk.place.base

    def offer(self, sale: Sale, payment: ChannelPayment | None = None) -> Offer:
        """Return how a sale is paid for through a channel, with where the payer's stands."""
        standing = None
        if payment is not None:
            standing = self._sales.standing(self._base.store.read, payment)
        return self._sales.offer(self._place.paywall.offer(sale), standing)

    def buy(self, resource: str, payment: ChannelPayment, sell: Sell) -> Bought | Refusal:
        """Take a voucher, its deposit first where it brings one; the same again is the same.

        Raises `UnderWayError` where the deposit is not final in time: nothing is served for it yet.
        """
        if not self._desk.admits():
            return Refusal(SaleRefusal.TOO_OFTEN, f"{PAYMENTS_PER_S} payments a second at most")
        known = self._sales.known(self._base.store.read, resource, payment)
        if known is not None:
            return known
        sale = self._desk.sale(resource, sell)
        if isinstance(sale, Refusal):
            return sale
        refusal = self._objection(sale, payment)
        if refusal is None and payment.way is Way.DEPOSIT:
            refusal = self._deposit(payment)
        if refusal is not None:
            return refusal
        now_us = self._base.clock.now_us()
        return self._sales.take(self._base.store.write, sale, payment, now_us=now_us)

    def give_back(
        self, resource: str, payment: ChannelPayment, sell: Sell
    ) -> ChannelStanding | Refusal:
        """End a channel, kept before it is answered; the hub brings the rest back by itself."""
        if not self._desk.admits():
            return Refusal(SaleRefusal.TOO_OFTEN, f"{PAYMENTS_PER_S} payments a second at most")
        sale = self._desk.sale(resource, sell)
        if isinstance(sale, Refusal):
            return sale
        refusal = self._objection(sale, payment)
        if refusal is not None:
            return refusal
        closed = self._sales.close(self._base.store.write, payment)
        if isinstance(closed, ChannelStanding):
            self._push(payment)
        return closed

    def _objection(self, sale: Sale, payment: ChannelPayment) -> Refusal | None:
        return self._sales.objection(self._place.paywall.offer(sale), payment)

    def _deposit(self, payment: ChannelPayment) -> Refusal | None:
        """Have a deposit brought to the chain and wait until it is final there."""
        opened = self._sales.open(
            self._base.store.write,
            payment,
            timeout_s=self._base.settings.payment_timeout_s,
            now_us=self._base.clock.now_us(),
        )
        if isinstance(opened, Refusal):
            return opened
        with self._desk.in_line() as admitted:
            for number in range(self._desk.passes if admitted else 1):
                if number:
                    self._desk.pause()
                if self._holds(payment):
                    return None
        raise UnderWayError

    def _holds(self, payment: ChannelPayment) -> bool:
        """Move deposits on; say whether this one has come, whatever its voucher is worth."""
        standing = self._sales.standing(self._base.store.read, payment)
        assert standing is not None, "it was opened"
        if standing.deposited_minor < payment.voucher_minor:
            Errands(self._place).tend_channels()
            standing = self._sales.standing(self._base.store.read, payment)
            assert standing is not None, "a channel is kept for ever"
        return standing.deposited_minor >= payment.voucher_minor

    def _push(self, payment: ChannelPayment) -> None:
        """Claim and refund as far as it goes now; what does not go yet is the hub's own errand."""
        for _ in range(REFUND_PASSES):
            standing = self._sales.standing(self._base.store.read, payment)
            assert standing is not None, "a channel is kept for ever"
            if standing.deposited_minor == standing.claimed_minor:
                return
            try:
                Errands(self._place).tend_channels()
            except ChainError:
                return
            self._desk.pause()
