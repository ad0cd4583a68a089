"""Paying for requests through a channel: one purchase at a time, kept before it is sent.

    purse (purchase under way) -> record (the payment) -> sent -> record (paid) -> purse (spent)

After a crash anywhere the record says how far it came, and the purse catches up from it.
"""

from __future__ import annotations

from dataclasses import replace

from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.paywall.client import (
    PAID_STATUS,
    PAYMENT_REQUIRED_STATUS,
    Answer,
    Bought,
    Nonces,
    Record,
    Records,
    RecordState,
    Request,
    Transport,
    UnknownOutcomeError,
    bought_by,
    check_url,
    header_of,
    settled_of,
    why,
)
from opencarrier.paywall.model import ChannelPayment, Offer, OfferReason
from opencarrier.paywall.purse import ChannelPayer, Purse, deposit_of
from opencarrier.paywall.wire.exchange import (
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    read_required,
)
from opencarrier.paywall.wire.vouchers import read_channel_payment, write_channel_payment


class ChannelBuyer:
    """Buys through channels for a `PaymentClient`, with its records and transport."""

    def __init__(
        self,
        transport: Transport,
        records: Records,
        payer: ChannelPayer,
        *,
        clock: Clock,
        nonces: Nonces | None = None,
    ) -> None:
        self._transport = transport
        self._records = records
        self._payer = payer
        self._clock = clock
        self._nonces = nonces

    def begin(self, request: Request, offer: Offer) -> Bought | Refusal:
        """Pay for an offer; refused while another purchase of this channel is under way."""
        key = self._payer.key(offer)
        with self._payer.purses.locked(key):
            purse = self._caught_up(self._payer.purse(offer), request)
            if isinstance(purse, Refusal):
                return purse
            payment = self._payer.payment(offer, purse)
            if isinstance(payment, Refusal):
                return payment
            self._payer.purses.keep(key, replace(purse, open=request.key))
            header = write_channel_payment(payment, url=request.url)
            record = Record(header=header, state=RecordState.OPEN)
            self._records.keep(request.key, record)
            return self._pay(request, record, payment)

    def go_on(self, request: Request, record: Record) -> Bought | Refusal | None:
        """Send an unfinished payment again; None where its deposit's time is over and it is known
        what became of that, so that the purchase begins anew.
        """
        payment = read_channel_payment(record.header)
        with self._payer.purses.locked(self._payer.key(payment.offer)):
            used = self._used(payment)
            if used is None:
                return self._pay(request, record, payment)
            purse = self._payer.purse(payment.offer)
            assert payment.deposit is not None, "only a deposit is asked about"
            added_minor = payment.deposit.amount_minor if used else 0
            deposited_minor = purse.deposited_minor + added_minor
            self._over(request, payment, replace(purse, deposited_minor=deposited_minor))
            return None

    def refund(self, request: Request) -> Bought | Refusal:
        """Have what is left in the channel of a URL given back, and forget the channel."""
        check_url(request.url)
        asked = self._transport.send(request, {})
        offer = self._channel_offer(asked)
        if offer is None:
            return Refusal(OfferReason.NOTHING_KNOWN, "no channel is offered here")
        key = self._payer.key(offer)
        with self._payer.purses.locked(key):
            purse = self._caught_up(self._payer.purse(offer), request)
            if isinstance(purse, Refusal):
                return purse
            if purse.deposited_minor <= purse.spent_minor:
                return Refusal(OfferReason.NOTHING_LEFT, f"{purse.spent_minor} were spent")
            payment = self._payer.refund(offer, purse)
            header = write_channel_payment(payment, url=request.url)
            answer = self._send(request, header)
            if answer.status not in PAID_STATUS:
                return Refusal(OfferReason.REFUSED, why(answer))
            self._payer.purses.drop(key)
        settled = settled_of(answer.headers.get(PAYMENT_RESPONSE, ""))
        return Bought(answer=answer, payment=payment, settled=settled)

    def _pay(self, request: Request, record: Record, payment: ChannelPayment) -> Bought | Refusal:
        answer = self._send(request, record.header)
        if answer.status in PAID_STATUS:
            paid = record.answered(answer)
            self._records.keep(request.key, paid)
            self._took(paid)
            return bought_by(paid)
        if answer.status == PAYMENT_REQUIRED_STATUS:
            return self._refused(request, payment, answer)
        raise UnknownOutcomeError(f"the server answered {answer.status} to the payment")

    def _send(self, request: Request, header: str) -> Answer:
        try:
            return self._transport.send(request, {PAYMENT_SIGNATURE: header})
        except OSError as error:
            raise UnknownOutcomeError(f"no answer to the payment: {error}") from None

    def _refused(self, request: Request, payment: ChannelPayment, answer: Answer) -> Refusal:
        """Say why a payment was not taken, and put the purse right where the server shows how.

        A voucher that was refused is forgotten: the next one takes its place. A deposit that was
        not seen to be taken is kept, for it still can be.
        """
        purse, words = self._payer.purse(payment.offer), why(answer)
        offer = self._channel_offer(answer)
        standing = None if offer is None else self._payer.is_ours(offer, payment)
        if standing is not None and standing.due_minor >= payment.voucher_minor:
            taken = self._payer.after(purse, payment, None)
            self._over(request, payment, replace(taken, spent_minor=standing.due_minor))
            return Refusal(OfferReason.TAKEN, "it was paid for before, and its answer is lost")
        if payment.deposit is not None:
            until_s = payment.deposit.valid_before_s
            detail = f"{words}; the deposit is kept, it can be used until {until_s}"
            return Refusal(OfferReason.REFUSED, detail)
        if standing is not None:
            purse = replace(purse, spent_minor=standing.due_minor)
            words = f"{words}; the count is put right, ask again"
        self._over(request, payment, purse)
        return Refusal(OfferReason.REFUSED, words)

    def _over(self, request: Request, payment: ChannelPayment, purse: Purse) -> None:
        """End a purchase: its purse first, so that nothing is asked of it twice."""
        self._payer.purses.keep(self._payer.key(payment.offer), replace(purse, open=None))
        self._records.drop(request.key)

    def _took(self, record: Record) -> None:
        payment = read_channel_payment(record.header)
        key, purse = self._payer.key(payment.offer), self._payer.purse(payment.offer)
        settled = settled_of(record.settlement)
        self._payer.purses.keep(key, self._payer.after(purse, payment, settled))

    def _caught_up(self, purse: Purse, request: Request) -> Purse | Refusal:
        """Return a purse with no purchase under way, from what the records say of the last."""
        if purse.open is None:
            return purse
        record = self._records.find(purse.open)
        if record is None:
            return replace(purse, open=None)  # it broke off before anything was sent
        payment = read_channel_payment(record.header)
        if record.state is RecordState.OPEN:
            detail = f"a purchase of this channel is not finished: {purse.open.hex()}"
            return Refusal(OfferReason.UNFINISHED, detail)
        return self._payer.after(purse, payment, settled_of(record.settlement))

    def _used(self, payment: ChannelPayment) -> bool | None:
        """Say whether a deposit whose time is over was used; None while that is not known."""
        deposit = deposit_of(payment)
        if deposit is None or self._nonces is None:
            return None
        if deposit.authorization.valid_before_s > self._clock.now_us() // SECOND_US:
            return None
        return self._nonces.used(deposit)

    def _channel_offer(self, answer: Answer) -> Offer | None:
        try:
            offers = read_required(header_of(answer, PAYMENT_REQUIRED)).offers
        except PeerError:
            return None
        return next((offer for offer in offers if offer.channel is not None), None)
