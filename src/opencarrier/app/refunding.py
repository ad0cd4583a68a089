"""A subscriber asks its prepaid money back, and its home pays it out the way it came in.

What is asked back is set aside at once, so it cannot be spent; the home says when it is paid, or
gives it back to be used.
"""

from __future__ import annotations

from sqlalchemy import Connection

from opencarrier.app.errands import AMOUNT_MAX, ErrandRefusal, book
from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.ledger.model import Transfer
from opencarrier.spine.parties import Subscriber


def ask_back(
    unit: Connection,
    asset: AssetId,
    subscriber: Subscriber,
    amount_minor: int,
    *,
    reference: str,
    at_us: int,
) -> Refusal | None:
    """Set free prepaid money aside to be paid out; the same reference again moves nothing."""
    party = subscriber.party_id
    between = (chart.prepaid(party), chart.refunds(party))
    return _move(unit, asset, between, amount_minor, "retail/refund-asked", reference, at_us)


def pay_back(
    unit: Connection,
    asset: AssetId,
    subscriber: Subscriber,
    amount_minor: int,
    *,
    reference: str,
    at_us: int,
) -> Refusal | None:
    """Book that the home paid out what was asked back: its funding has so much less to cover."""
    between = (chart.refunds(subscriber.party_id), chart.funding(subscriber.home))
    return _move(unit, asset, between, amount_minor, "retail/refund-paid", reference, at_us)


def keep(
    unit: Connection,
    asset: AssetId,
    subscriber: Subscriber,
    amount_minor: int,
    *,
    reference: str,
    at_us: int,
) -> Refusal | None:
    """Give what was asked back to be used again: it is not paid out."""
    party = subscriber.party_id
    between = (chart.refunds(party), chart.prepaid(party))
    return _move(unit, asset, between, amount_minor, "retail/refund-kept", reference, at_us)


def _move(
    unit: Connection,
    asset: AssetId,
    between: tuple[str, str],
    amount_minor: int,
    code: str,
    reference: str,
    at_us: int,
) -> Refusal | None:
    if not 0 < amount_minor <= AMOUNT_MAX:
        return Refusal(ErrandRefusal.BAD_AMOUNT, f"1 to {AMOUNT_MAX} minor units")
    debit, credit = between
    move = Transfer(
        transfer_id=derive("transfer", code, debit, amount_minor, reference),
        asset=asset,
        debit=debit,
        credit=credit,
        amount_minor=amount_minor,
        code=code,
    )
    return book(unit, [move], at_us)
