"""What the hub sells over HTTP 402, prepaid money and signed prices, and how it is paid."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import derive, to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.ledger import chart
from opencarrier.paywall import rules
from opencarrier.paywall.model import (
    Kept,
    Payment,
    PaymentReason,
    PaymentState,
    Profile,
    Sale,
)
from opencarrier.paywall.rules import Bucket
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Counters

PAUSE_S = 0.2
WAITING_MAX = 16
"""Requests that wait for their payments at once; those beyond are told to come again."""

PAYMENTS_PER_S = 20
PAYMENTS_BURST = 40

Sell = Callable[[Connection, str], Sale | Refusal]
"""Sells a resource as it stands now: given the unit and the resource's name."""


class SaleRefusal(Reason):
    """Why something is not sold."""

    NOT_SOLD = 1
    UNKNOWN_SUBSCRIBER = 2
    UNKNOWN_OPERATOR = 3
    BAD_AMOUNT = 4
    TOO_OFTEN = 5


class Desk:
    """Sells at one venue; each pass at the chain takes the venue's turn, waiting does not."""

    def __init__(self, place: Onchain, pause: Callable[[float], None] = time.sleep) -> None:
        self.place = place
        self._base = place.base
        self._pause = pause
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(WAITING_MAX)
        self._bucket = Bucket.full(
            rate_per_s=PAYMENTS_PER_S, burst=PAYMENTS_BURST, at_us=self._base.clock.now_us()
        )

    def top_up(
        self, unit: Connection, resource: str, *, subscriber: str, amount_minor: int
    ) -> Sale | Refusal:
        """Sell a subscriber prepaid money: what was paid is credited once it is final."""
        settings = self._base.settings
        if not settings.topup_max_minor:
            return Refusal(SaleRefusal.NOT_SOLD, "top-ups")
        least, most = max(1, settings.topup_min_minor), settings.topup_max_minor
        if not least <= amount_minor <= most:
            return Refusal(SaleRefusal.BAD_AMOUNT, f"pay {least} to {most} minor units")
        found = self._base.identity.directory.subscriber(unit, PartyId(subscriber))
        if found is None:
            return Refusal(SaleRefusal.UNKNOWN_SUBSCRIBER, subscriber)
        return Sale(
            resource=resource,
            description=f"prepaid money for {found.party_id}",
            amount_minor=amount_minor,
            account=chart.prepaid(found.party_id),
            code="retail/topup",
            profile=Profile.FINAL,
            answer=_json({"subscriber": found.party_id, "amount_minor": amount_minor}),
        )

    def quote(
        self, unit: Connection, resource: str, *, home: str, plan: str, counters: Counters
    ) -> Sale | Refusal:
        """Sell what an amount of use costs on a plan now, signed by the hub."""
        price_minor = self._base.settings.quote_price_minor
        if not price_minor:
            return Refusal(SaleRefusal.NOT_SOLD, "quotes")
        operator = self._base.identity.directory.named(unit, PartyKind.OPERATOR, home)
        if operator is None:
            return Refusal(SaleRefusal.UNKNOWN_OPERATOR, home)
        now_us = self._base.clock.now_us()
        priced = self._base.rating.retail_price(
            unit, home=operator.party_id, plan_id=plan, counters=counters, at_us=now_us
        )
        if isinstance(priced, Refusal):
            return priced
        told: dict[str, Value] = {
            "home": operator.party_id,
            "plan": plan,
            "session_time_s": counters.session_time_s,
            "octets_in": counters.octets_in,
            "octets_out": counters.octets_out,
            "asset": self.place.manifest.asset,
            "amount_minor": priced.amount_minor,
            "tax_minor": priced.tax_minor,
            "plan_hash": to_hex(priced.plan_hash),
            "tariff_hash": to_hex(priced.tariff_hash),
            "quoted_us": now_us,
            "valid_until_us": priced.valid_until_us,
        }
        return Sale(
            resource=resource,
            description="a signed price",
            amount_minor=price_minor,
            account=chart.revenue(self._base.hub.party_id),
            code="retail/quote",
            profile=Profile.MINED,
            answer=_json(self._signed(unit, told)),
        )

    def sale(self, resource: str, sell: Sell) -> Sale | Refusal:
        """Return a resource as it is sold now."""
        with self._base.store.read() as unit:
            return sell(unit, resource)

    def buy(self, resource: str, payment: Payment, sell: Sell) -> Kept | Refusal:
        """Take a payment and wait, for a while, until it is as sure as its sale asks.

        A payment that came before is owed its answer whatever is sold now. What is returned may
        still be under way: the same payment again goes on waiting.
        """
        if not self.admits():
            return Refusal(SaleRefusal.TOO_OFTEN, f"{PAYMENTS_PER_S} payments a second at most")
        taken = self.place.paywall.known(self._base.store.write, resource, payment)
        if taken is None:
            sale = self.sale(resource, sell)
            taken = sale if isinstance(sale, Refusal) else self._take(sale, payment)
        if isinstance(taken, Refusal):
            return taken
        if taken.state is PaymentState.DEAD:
            self.place.paywall.look_again(self._base.store.write, taken)
        kept = self._wait_in_line(taken)
        if kept.state is PaymentState.DEAD:
            return Refusal(PaymentReason.DEAD, kept.reason)
        return kept

    def _take(self, sale: Sale, payment: Payment) -> Kept | Refusal:
        with self.place.turn:
            return self.place.paywall.take(
                self._base.store.write, sale, payment, now_us=self._base.clock.now_us()
            )

    def in_line(self) -> AbstractContextManager[bool]:
        """Wait beside others for a payment; False where as many wait as may."""
        return _in_line(self._waiting)

    def pause(self) -> None:
        """Let some time go by before the chain is looked at again."""
        self._pause(PAUSE_S)

    @property
    def passes(self) -> int:
        """How often a request looks before it is told to come again."""
        return max(1, int(self._base.settings.payment_wait_s / PAUSE_S))

    def _wait_in_line(self, kept: Kept) -> Kept:
        if rules.is_answered(kept):
            return kept
        with self.in_line() as admitted:
            return self._wait(kept) if admitted else self._pass(kept)

    def _wait(self, kept: Kept) -> Kept:
        for number in range(self.passes):
            if number:
                self.pause()
            kept = self._pass(kept)
            if rules.is_answered(kept) or kept.state is PaymentState.DEAD:
                break
        return kept

    def _pass(self, kept: Kept) -> Kept:
        with self.place.turn:
            self.place.paywall.look(self._base.store.write, now_us=self._base.clock.now_us())
        with self._base.store.read() as unit:
            found = self.place.paywall.find(unit, kept.payment_id)
        assert found is not None, "a payment is kept for ever"
        return found

    def admits(self) -> bool:
        """Say whether one more payment is looked at now."""
        with self._lock:
            self._bucket, admitted = self._bucket.take(self._base.clock.now_us())
            return admitted

    def _signed(self, unit: Connection, told: Mapping[str, Value]) -> Mapping[str, Value]:
        """Add the hub's signature over what is told (tag `retail-quote`)."""
        assert self._base.hub.address is not None
        digest = derive("retail-quote", told)
        signature = self._base.identity.notary.sign(unit, self._base.hub.address, digest)
        assert signature is not None, "the hub's key is held here"
        return {**told, "signed_by": signature.kid, "signature": to_hex(signature.octets)}


@contextmanager
def _in_line(waiting: threading.Semaphore) -> Iterator[bool]:
    admitted = waiting.acquire(blocking=False)
    try:
        yield admitted
    finally:
        if admitted:
            waiting.release()


def _json(value: Mapping[str, Value]) -> str:
    return json.dumps(value, separators=(",", ":"))
