"""Selling for signed payments: keep, settle, watch, book; each payment counts once.

    paywall.offer(sale)                            what a 402 asks for
    paywall.known(begin, resource, payment)        what is kept of a payment that came before
    paywall.take(begin, sale, payment, now_us=)    Kept | Refusal: judged, and kept with its
                                                   transaction before anything is sent
    paywall.look(begin, now_us=)                   one pass over all open payments; the whole
                                                   recovery after a crash
    paywall.look_again(begin, kept)                for a dead payment that comes again
    paywall.find(unit, payment_id)                 where it stands; `rules.is_answered` decides

The hub is its own facilitator: it verifies and sends `transferWithAuthorization` itself. What
counts is never that its own transaction was mined (anybody may submit an authorisation) but that
the payment's logs stand in the chain.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from sqlalchemy import Connection

from opencarrier.chain.contracts import StableToken
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.events import AuthorizationCanceled, AuthorizationUsed
from opencarrier.chain.model import LATEST, Block, BlockAt, Call, LogFilter, Receipt
from opencarrier.chain.ports import LogReader, UnitOfWork
from opencarrier.chain.transactions import Quote, TransactionManager
from opencarrier.chain.typed_data import SigningDomain
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.paywall import rules, store
from opencarrier.paywall.books import TillBooks
from opencarrier.paywall.model import (
    EXACT,
    Kept,
    Offer,
    Payment,
    PaymentReason,
    PaymentState,
    Place,
    Sale,
    Till,
)
from opencarrier.spine.notices import Announcer
from opencarrier.spine.ports import Members

OPEN_MAX = 64
"""Payments under way at once; each costs a few questions to the chain in every pass."""

PAYER_OPEN_MAX = 4
GAS_MAX = 300_000
"""More gas than any honest token takes for a transfer by authorisation."""

PURPOSE = "payment"
"""What the gas of settling counts as: it has a cap of its own, for strangers cause it."""

RESOURCE_CHARACTERS_MAX = 400
ANSWER_CHARACTERS_MAX = 8_192


class PaywallChain(LogReader, Protocol):
    """The part of a chain client that the paywall needs; `ChainClient` is one."""

    def call(self, call: Call, at: BlockAt = LATEST) -> bytes:
        """Run a call without sending it."""
        ...

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """Return a mined transaction's receipt."""
        ...

    def balance(self, address: Address, at: BlockAt = LATEST) -> int:
        """Return an account's native balance in wei."""
        ...


class PaywallService:
    """Sells for payments into one till. Raises `ChainError` where the chain does not answer."""

    def __init__(
        self,
        till: Till,
        manager: TransactionManager,
        chain: PaywallChain,
        members: Members,
        *,
        timeout_s: int,
        announcer: Announcer | None = None,
    ) -> None:
        self.till = till
        self._manager = manager
        self._chain = chain
        self._timeout_s = timeout_s
        self._token = StableToken(till.token)
        self._books = TillBooks(till, chain, members, announcer)
        self._domain: SigningDomain | None = None

    def offer(self, sale: Sale) -> Offer:
        """Return how a resource is paid for now."""
        domain = self._signing_domain()
        return Offer(
            scheme=EXACT,
            network=self.till.network,
            token=self.till.token,
            receiver=self.till.address,
            amount_minor=sale.amount_minor,
            timeout_s=self._timeout_s,
            name=domain.name,
            version=domain.version,
        )

    def known(self, begin: UnitOfWork, resource: str, payment: Payment) -> Kept | Refusal | None:
        """Return a payment that came before for this resource; refused for any other."""
        with begin() as unit:
            kept = store.find(unit, rules.payment_id(self.till.asset, payment.authorization))
        if kept is None:
            return None
        if not rules.same_purchase(kept, payment, resource):
            return Refusal(PaymentReason.REUSED, "this payment was given for something else")
        return kept

    def take(
        self, begin: UnitOfWork, sale: Sale, payment: Payment, *, now_us: int
    ) -> Kept | Refusal:
        """Judge a payment and keep it with its transaction; the same again is the same payment.

        A payment that was kept is never judged anew: its time may have run out meanwhile, and
        its answer is owed all the same.
        """
        _check_bounds(sale)
        known = self.known(begin, sale.resource, payment)
        if known is not None:
            return known
        offer = self.offer(sale)
        quote = rules.judge(offer, payment, now_us=now_us) or self._quote(payment)
        if isinstance(quote, Refusal):
            return quote
        kept = Kept(
            payment_id=rules.payment_id(self.till.asset, payment.authorization),
            authorization=payment.authorization,
            signature=payment.signature,
            sale=sale,
            kept_us=now_us,
            from_block=self._chain.final_block_number() or 0,
            state=PaymentState.KEPT,
        )
        crashpoint("paywall.before_keep")
        with begin() as unit:
            refusal = self._keep(unit, kept, quote)
        crashpoint("paywall.after_keep")
        # Another request may have kept it first: then it is theirs that counts.
        return refusal or self.known(begin, sale.resource, payment) or kept

    def look(self, begin: UnitOfWork, *, now_us: int) -> str:
        """Send what is due, see which payments are mined or dead, book what is final.

        Returns what holds the books up, empty where nothing does. Safe to repeat and to kill.
        """
        final = self._final_block()
        with begin() as unit:
            pending = store.open_payments(unit, limit=OPEN_MAX)
        if pending:
            self._manager.drive(begin, now_us=now_us)
        observed = [self._observe(begin, kept, final) for kept in pending]
        note = self._books.follow(begin, now_us=now_us)
        mined = [kept for kept in observed if kept.state is PaymentState.MINED]
        self._books.claim(begin, mined, now_us=now_us)
        return note

    def look_again(self, begin: UnitOfWork, kept: Kept) -> None:
        """Look once more for a dead payment's transfer: an endpoint may have kept it from us."""
        self._observe(begin, kept, None)

    def find(self, unit: Connection, payment_id: Id) -> Kept | None:
        """Return a payment and where it stands."""
        return store.find(unit, payment_id)

    def books(self, unit: Connection) -> tuple[int, int]:
        """Return what the ledger says is in the till, and what the token says, as of final."""
        return self._books.compare(unit)

    def unclaimed_minor(self, unit: Connection) -> int:
        """Return what is in the till and is no payment's, or not yet."""
        return self._books.unclaimed_minor(unit)

    def count_open(self, unit: Connection) -> int:
        """Count the payments that are neither booked nor dead."""
        return store.count_open(unit)

    def _quote(self, payment: Payment) -> Quote | Refusal:
        """Ask the chain whether the payment would go through now, and what that takes."""
        given = payment.authorization
        if self._token.authorization_used(given.sender, given.nonce).ask(self._chain):
            return Refusal(PaymentReason.NONCE_USED, "0x" + given.nonce.hex())
        held_minor = self._token.balance_of(given.sender).ask(self._chain)
        if held_minor < given.amount_minor:
            return Refusal(PaymentReason.SHORT_OF_TOKENS, f"{given.sender} has {held_minor}")
        try:
            quote = self._manager.quote(
                self._token.transfer_with_authorization(given, payment.signature)
            )
        except RevertedError as error:
            return Refusal(PaymentReason.WOULD_REVERT, str(error)[:100])
        if quote.gas_limit > GAS_MAX:
            return Refusal(PaymentReason.WOULD_REVERT, f"it takes {quote.gas_limit} gas")
        return quote if self._affords(quote) else _NO_GAS

    def _affords(self, quote: Quote) -> bool:
        offered_wei = 2 * quote.fees.base_fee_per_gas_wei + quote.fees.priority_fee_per_gas_wei
        return self._chain.balance(self._manager.sender) >= quote.gas_limit * offered_wei

    def _keep(self, unit: Connection, kept: Kept, quote: Quote) -> Refusal | None:
        """Keep a payment and its transaction, both or neither."""
        if store.find(unit, kept.payment_id) is not None:
            return None
        payer = kept.authorization.sender
        if store.count_open(unit, payer) >= PAYER_OPEN_MAX or store.count_open(unit) >= OPEN_MAX:
            return Refusal(PaymentReason.TOO_MANY_OPEN, "wait until one is through")
        intent = derive("payment/settle", kept.payment_id)
        prepared = self._manager.prepare(unit, intent, quote, now_us=kept.kept_us, purpose=PURPOSE)
        if isinstance(prepared, Refusal):
            return Refusal(PaymentReason.CANNOT_SETTLE, str(prepared))
        store.add(unit, kept)
        return None

    def _observe(self, begin: UnitOfWork, kept: Kept, final: Block | None) -> Kept:
        """Look where a payment stands now, and keep it if it moved."""
        moved = kept
        if kept.place is not None and not self._stands(kept.place):
            moved = replace(kept, state=PaymentState.KEPT, place=None)
        if moved.place is None:
            moved = self._seen(moved, final)
        if moved != kept:
            crashpoint("paywall.before_move")
            with begin() as unit:
                store.move(unit, kept, moved)
            crashpoint("paywall.after_move")
        return moved

    def _seen(self, kept: Kept, final: Block | None) -> Kept:
        """Look for a payment's transfer; where there is none, see whether there can be one yet.

        The final block was read before: what no log up to the head shows, no log up to it does.
        """
        uses = self._uses(kept)
        for use in uses:
            place = self._place(kept, use)
            if place is not None:
                return replace(kept, state=PaymentState.MINED, place=place, reason="")
        if final is None:
            return kept
        elsewhere = any(use.block_number <= final.number for use in uses)
        reason = rules.dead_reason(kept, elsewhere=elsewhere, timestamp_s=final.timestamp_s)
        return kept if reason is None else replace(kept, state=PaymentState.DEAD, reason=reason)

    def _uses(self, kept: Kept) -> list[Receipt]:
        """Return the transactions that used or cancelled a payment's nonce, whoever sent them."""
        head = self._chain.block()
        if head is None or head.number < kept.from_block:
            return []
        given = kept.authorization
        payer = bytes(12) + bytes.fromhex(given.sender[2:])
        wanted = LogFilter(
            from_block=kept.from_block,
            to_block=head.number,
            addresses=(self.till.token,),
            topics=(
                self._token.topics(AuthorizationUsed, AuthorizationCanceled),
                (payer,),
                (given.nonce,),
            ),
        )
        receipts = [self._chain.receipt(log.tx_hash) for log in self._chain.logs(wanted)]
        return [receipt for receipt in receipts if receipt is not None]

    def _place(self, kept: Kept, receipt: Receipt) -> Place | None:
        events = {log.log_index: self._token.event(log) for log in receipt.logs}
        known = {index: event for index, event in events.items() if event is not None}
        index = rules.transfer_index(known, kept.authorization)
        if index is None:
            return None
        return Place(
            tx_hash=receipt.tx_hash,
            block_number=receipt.block_number,
            block_hash=receipt.block_hash,
            log_index=index,
        )

    def _stands(self, place: Place) -> bool:
        block = self._chain.block(place.block_number)
        return block is not None and block.hash == place.block_hash

    def _final_block(self) -> Block | None:
        number = self._chain.final_block_number()
        return None if number is None else self._chain.block(number)

    def _signing_domain(self) -> SigningDomain:
        """Return the token's domain, asked once: it must be this token's on this chain."""
        if self._domain is None:
            domain = self._token.signing_domain().ask(self._chain)
            if (domain.chain_id, domain.contract) != (self.till.chain_id, self.till.token):
                raise PeerError("eip712_domain", f"{domain} is another token's")
            self._domain = domain
        return self._domain


_NO_GAS = Refusal(PaymentReason.CANNOT_SETTLE, "the hub's key lacks gas")


def _check_bounds(sale: Sale) -> None:
    assert len(sale.resource) <= RESOURCE_CHARACTERS_MAX, "a resource has a short name"
    assert len(sale.answer) <= ANSWER_CHARACTERS_MAX, "an answer is short"
    assert sale.amount_minor > 0, "nothing is sold for nothing"
