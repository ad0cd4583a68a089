"""What the paywall keeps of a person: who paid for its top-ups over HTTP 402."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, select, update

from opencarrier.ledger import chart
from opencarrier.paywall.model import PaymentState
from opencarrier.paywall.store import payments
from opencarrier.spine.people import Held, Person

NOBODY = "0x" + "00" * 20
_UNDER_WAY = (PaymentState.KEPT.value, PaymentState.MINED.value)
_BLANK = {
    "payer": NOBODY,
    "nonce": bytes(32),
    "signature": bytes(65),
    "resource": "",
    "description": "",
    "account": "",
    "answer": "",
}


class PaywallPeople:
    """Answers the port `PersonalData`; a payment's own trace on the chain is not ours to erase."""

    def under_way(self, unit: Connection, person: Person) -> bool:
        """Say whether a payment for the person is not booked yet, and may be."""
        query = select(payments.c.payment_id).where(_for(person), payments.c.state.in_(_UNDER_WAY))
        return unit.execute(query.limit(1)).first() is not None

    def held(self, unit: Connection, person: Person) -> Held:
        """Return the payments for the person's account."""
        query = select(payments).where(_for(person))
        return {payments.name: [dict(row) for row in unit.execute(query).mappings()]}

    def erase(self, unit: Connection, person: Person) -> None:
        """Take away who paid and for whom; id, amount and place stay, so none is booked again."""
        unit.execute(update(payments).where(_for(person)).values(_BLANK))


def _for(person: Person) -> ColumnElement[bool]:
    return payments.c.account == chart.prepaid(person.party_id)
