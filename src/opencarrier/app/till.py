"""The till: what it holds and whose that is, and paying out of it to an operator.

The till's key signs an ERC-3009 authorisation, the hub sends it: so the till needs no coin, and
its nonce, made of the errand's name, lets one errand move money once whoever sends it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.errands import AMOUNT_MAX, ErrandRefusal, Errands
from opencarrier.app.referring import Referred, intent_of
from opencarrier.chain.contracts import StableToken
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization, transfer_digest
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address

SIGNED_FOR_S = 3_600
"""How long a pay-out signed here is good for: long enough to be mined."""


class TillRefusal(Reason):
    """Why nothing is paid out of the till."""

    SHORT = 1


class TillDesk:
    """Errands at a venue's till."""

    def __init__(self, place: Onchain) -> None:
        self._place = place
        self._base = place.base
        self._token = StableToken(place.manifest.token)

    def pay_out(
        self, receiver: Address, amount_minor: int, *, reference: str
    ) -> dict[str, Any] | Refusal:
        """Pay a member out of the till: what payments brought, never what is no payment's."""
        if not 0 < amount_minor <= AMOUNT_MAX:
            return Refusal(ErrandRefusal.BAD_AMOUNT, f"give 1 to {AMOUNT_MAX} minor units")
        errand = Referred(
            kind="errand/payout",
            party=receiver,
            asked={"amount": amount_minor},
            reference=reference,
            contract=self._token,
            function="transferWithAuthorization",
        )
        with self._place.turn:
            Errands(self._place).see_payments_through()
            intent = intent_of(self._place, errand)
            if isinstance(intent, Refusal):
                return intent
            short = self._short(intent, amount_minor)
            if short is not None:
                return short
            call = self._call(receiver, amount_minor, intent)
            done = self._place.work.do(intent, call, asked=errand.digest)
            Errands(self._place).see_payments_through()
        assert done.mined is not None, "what was waited for is mined"
        with self._base.store.read() as unit:
            left = till_status(self._place, unit)
        return {
            "receiver": receiver,
            "amount_minor": amount_minor,
            "tx_hash": to_hex(done.mined.tx_hash),
            "held_minor": left["held_minor"],
        }

    def _short(self, intent: Id, amount_minor: int) -> Refusal | None:
        """Refuse what the till does not hold for payments; one begun before goes on."""
        with self._base.store.read() as unit:
            if self._place.work.manager.find(unit, intent) is not None:
                return None
            told = till_status(self._place, unit)
        now_minor = self._token.balance_of(told["address"]).ask(self._place.client)
        free_minor = min(told["held_minor"], now_minor) - told["unclaimed_minor"]
        if free_minor >= amount_minor:
            return None
        detail = f"it holds {told['held_minor']}, {told['unclaimed_minor']} of it is no payment's"
        return Refusal(TillRefusal.SHORT, detail)

    def _call(self, receiver: Address, amount_minor: int, intent: Id) -> Call:
        signer = self._base.till_signer()
        given = Authorization(
            sender=signer.address,
            receiver=receiver,
            amount_minor=amount_minor,
            valid_after_s=0,
            valid_before_s=self._place.chain_now_s() + SIGNED_FOR_S,
            nonce=intent,
        )
        domain = self._token.signing_domain().ask(self._place.client)
        signature = signer.sign(transfer_digest(domain, given))
        return self._token.transfer_with_authorization(given, signature.octets)


def till_status(place: Onchain, unit: Connection) -> dict[str, Any]:
    """Return what the till holds as of the final block, and what of it is no payment's."""
    booked_minor, held_minor = place.paywall.books(unit)
    return {
        "address": place.paywall.till.address,
        "held_minor": held_minor,
        "booked_minor": booked_minor,
        "unclaimed_minor": place.paywall.unclaimed_minor(unit),
        "open_payments": place.paywall.count_open(unit),
    }
