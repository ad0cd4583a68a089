"""Paying for a resource: check the offer, sign once, keep it, send the same until it is answered.

A signed payment can be used by whoever has it until its time is over. So it is kept before it is
sent, and while one is unfinished no second one is signed for the same purchase: a crash, a lost
answer or a server's "no" leads to the same payment again, never to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol
from urllib.parse import urlsplit

from opencarrier.chain.typed_data import Authorization, transfer_digest
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import Address, Signer
from opencarrier.paywall import rules
from opencarrier.paywall.model import ChannelPayment, Offer, OfferReason, Payment, Settled
from opencarrier.paywall.rules import Limits
from opencarrier.paywall.wire.exchange import (
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    read_payment,
    read_required,
    read_settled,
    write_payment,
)
from opencarrier.paywall.wire.vouchers import read_any_payment

PAID_STATUS = range(200, 300)
PAYMENT_REQUIRED_STATUS = 402
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is bought: a method on a URL, under the buyer's own name for the purchase."""

    method: str
    url: str
    reference: str = ""

    @property
    def key(self) -> Id:
        """Name the purchase; the same again is the same purchase."""
        return derive("purchase", self.method, self.url, self.reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered; header names in upper case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RecordState(Enum):
    """Where a kept payment stands: it may have been taken, or it surely was."""

    OPEN = "open"
    PAID = "paid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A payment as its buyer keeps it: the header to send, and the answer once there is one."""

    header: str
    state: RecordState
    status: int = 0
    settlement: str = ""
    body: bytes = b""

    def answered(self, answer: Answer) -> Record:
        """Return the record once its payment was taken: the answer is kept with it."""
        return replace(
            self,
            state=RecordState.PAID,
            status=answer.status,
            settlement=answer.headers.get(PAYMENT_RESPONSE, ""),
            body=answer.body,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """What a purchase ended with; `settled` is None where nothing had to be paid, or the server
    does not say.
    """

    answer: Answer
    payment: Payment | ChannelPayment | None
    settled: Settled | None


class UnknownOutcomeError(Exception):
    """A payment was sent and what became of it is not known; buying again sends the same one."""


class Transport(Protocol):
    """Whoever talks HTTP: no redirects, a time limit, a bounded answer."""

    def send(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Send a request; `OSError` where there is no whole answer."""
        ...


class Records(Protocol):
    """Where payments are kept; each write is on the disk when it returns."""

    def find(self, key: Id) -> Record | None:
        """Return what is kept of a purchase."""
        ...

    def keep(self, key: Id, record: Record) -> None:
        """Keep a purchase's record instead of the former."""
        ...

    def drop(self, key: Id) -> None:
        """Forget a purchase."""
        ...


class Nonces(Protocol):
    """Whoever can say whether a payment was used: a chain, asked as of a final block."""

    def used(self, payment: Payment) -> bool | None:
        """Return whether the payment's nonce was used; None where the chain does not say."""
        ...


class ByChannel(Protocol):
    """Whoever pays through channels; None from `go_on` is that the purchase begins anew."""

    def begin(self, request: Request, offer: Offer) -> Bought | Refusal:
        """Pay for an offer."""
        ...

    def go_on(self, request: Request, record: Record) -> Bought | Refusal | None:
        """Take up an unfinished payment."""
        ...


class PaymentClient:
    """Buys with one key under fixed limits; through channels where it is given a way to."""

    def __init__(
        self,
        transport: Transport,
        signer: Signer,
        limits: Limits,
        records: Records,
        *,
        clock: Clock,
        entropy: Entropy,
        nonces: Nonces | None = None,
        channels: ByChannel | None = None,
    ) -> None:
        self._channels = channels
        self._transport = transport
        self._signer = signer
        self._limits = limits
        self._records = records
        self._clock = clock
        self._entropy = entropy
        self._nonces = nonces

    def buy(self, request: Request) -> Bought | Refusal:
        """Buy, or say why not; `UnknownOutcomeError` where the same has to be asked again.

        A finished purchase with a reference is answered from its record; without one it is
        bought anew.
        """
        check_url(request.url)
        record = self._records.find(request.key)
        if record is not None and record.state is RecordState.PAID:
            if request.reference:
                return bought_by(record)
            record = None
        if record is not None:
            return self._go_on(request, record)
        answer = self._transport.send(request, {})
        if answer.status != PAYMENT_REQUIRED_STATUS:
            return Bought(answer=answer, payment=None, settled=None)
        offer = rules.choose(read_required(header_of(answer, PAYMENT_REQUIRED)), self._limits)
        if isinstance(offer, Refusal):
            return offer
        if offer.channel is not None:
            assert self._channels is not None, "deposits are allowed to whoever can make them"
            return self._channels.begin(request, offer)
        header = write_payment(self._sign(offer), url=request.url)
        record = Record(header=header, state=RecordState.OPEN)
        self._records.keep(request.key, record)
        return self._pay(request, record)

    def _go_on(self, request: Request, record: Record) -> Bought | Refusal:
        """Take up an unfinished payment; one that can provably not be used any more is dropped."""
        payment = read_any_payment(record.header)
        if isinstance(payment, ChannelPayment):
            if self._channels is None:
                return Refusal(OfferReason.UNFINISHED, "it was begun through a channel")
            return self._channels.go_on(request, record) or self.buy(request)
        over = payment.authorization.valid_before_s <= self._clock.now_us() // SECOND_US
        if over and self._nonces is not None and self._nonces.used(payment) is False:
            self._records.drop(request.key)
            return self.buy(request)
        return self._pay(request, record)

    def _pay(self, request: Request, record: Record) -> Bought | Refusal:
        try:
            answer = self._transport.send(request, {PAYMENT_SIGNATURE: record.header})
        except OSError as error:
            raise UnknownOutcomeError(f"no answer to the payment: {error}") from None
        if answer.status in PAID_STATUS:
            paid = record.answered(answer)
            self._records.keep(request.key, paid)
            return bought_by(paid)
        if answer.status == PAYMENT_REQUIRED_STATUS:
            return self._refused(record, answer)
        raise UnknownOutcomeError(f"the server answered {answer.status} to the payment")

    def _refused(self, record: Record, answer: Answer) -> Refusal:
        """Say why a server did not take a payment; it stays kept, for it can still be used."""
        until_s = read_payment(record.header).authorization.valid_before_s
        words = why(answer)
        detail = f"{words}; the payment is kept, it can be used until {until_s}"
        return Refusal(OfferReason.REFUSED, detail)

    def _sign(self, offer: Offer) -> Payment:
        now_s = self._clock.now_us() // SECOND_US
        given = Authorization(
            sender=Address(self._signer.address),
            receiver=offer.receiver,
            amount_minor=offer.amount_minor,
            valid_after_s=0,
            valid_before_s=now_s + offer.timeout_s,
            nonce=self._entropy.octets("payment", 32),
        )
        signature = self._signer.sign(transfer_digest(rules.domain_of(offer), given))
        return Payment(offer=offer, authorization=given, signature=signature.octets)


def bought_by(record: Record) -> Bought:
    """Return what a finished purchase ended with."""
    headers = {PAYMENT_RESPONSE: record.settlement} if record.settlement else {}
    return Bought(
        answer=Answer(status=record.status, headers=headers, body=record.body),
        payment=read_any_payment(record.header),
        settled=settled_of(record.settlement),
    )


def settled_of(text: str) -> Settled | None:
    """Read what a server says of a payment it took; its resource was given either way."""
    try:
        return read_settled(text) if text else None
    except PeerError:
        return None


def check_url(url: str) -> None:
    """Refuse to show a payment to anybody on the way: https, or this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return
    raise ValueError(f"a payment goes over https, or http to this machine, not to {url!r}")


def header_of(answer: Answer, name: str) -> str:
    """Return an answer's header; `PeerError` where there is none."""
    text = answer.headers.get(name, "")
    if not text:
        raise PeerError("header_missing", f"a {answer.status} without {name}")
    return text


def why(answer: Answer) -> str:
    """Return a server's own words, as far as it gives any that can be read."""
    try:
        if answer.headers.get(PAYMENT_RESPONSE):
            told = read_settled(answer.headers[PAYMENT_RESPONSE]).error
            if told:
                return told
        return read_required(header_of(answer, PAYMENT_REQUIRED)).error or "payment required"
    except PeerError as error:
        return str(error)
