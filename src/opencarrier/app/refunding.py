"""A subscriber asks its prepaid money back, and its home pays it out the way it came in.

What is asked back is set aside at once, so it cannot be spent; the home says when it is paid, or
gives it back to be used.
"""

from __future__ import annotations

from sqlalchemy import Connection

from opencarrier.app.errands import AMOUNT_MAX, ErrandRefusal, book, moved
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.spine.notices import Announcer, NoticeKind
from opencarrier.spine.parties import PartyId, Subscriber

PAID, KEPT = "retail/refund-paid", "retail/refund-kept"
ASKED_MAX = 16
ASKED_S = 24 * 3_600


class RefundRefusal(Reason):
    """Why nothing is set aside."""

    TOO_OFTEN = 1


def ask_back(
    unit: Connection,
    asset: AssetId,
    subscriber: Subscriber,
    amount_minor: int,
    *,
    reference: str,
    at_us: int,
) -> Refusal | None:
    """Set free prepaid money aside to be paid out; the same reference again moves nothing.

    `ASKED_MAX` times in `ASKED_S` at most: each is a transfer that is kept for good.
    """
    party, code = subscriber.party_id, "retail/refund-asked"
    between = (chart.prepaid(party), chart.refunds(party))
    if _is_new(unit, code, between[0], reference) and _asks_too_often(unit, asset, party, at_us):
        return Refusal(RefundRefusal.TOO_OFTEN, f"at most {ASKED_MAX} in {ASKED_S // 3_600} hours")
    return _move(unit, asset, between, amount_minor, code, reference, at_us)


def pay_back(
    unit: Connection,
    asset: AssetId,
    subscriber: Subscriber,
    amount_minor: int,
    *,
    reference: str,
    at_us: int,
    announcer: Announcer,
) -> Refusal | None:
    """Book that the home paid out what was asked back: its funding has so much less to cover."""
    between = (chart.refunds(subscriber.party_id), chart.funding(subscriber.home))
    done = _move(unit, asset, between, amount_minor, PAID, reference, at_us)
    return _told(unit, done, NoticeKind.REFUND_PAID, subscriber, reference, at_us, announcer)


def keep(
    unit: Connection,
    asset: AssetId,
    subscriber: Subscriber,
    amount_minor: int,
    *,
    reference: str,
    at_us: int,
    announcer: Announcer,
) -> Refusal | None:
    """Give what was asked back to be used again: it is not paid out."""
    party = subscriber.party_id
    between = (chart.refunds(party), chart.prepaid(party))
    done = _move(unit, asset, between, amount_minor, KEPT, reference, at_us)
    return _told(unit, done, NoticeKind.REFUND_KEPT, subscriber, reference, at_us, announcer)


def _told(
    unit: Connection,
    done: Refusal | None,
    kind: NoticeKind,
    subscriber: Subscriber,
    reference: str,
    at_us: int,
    announcer: Announcer,
) -> Refusal | None:
    """Let the subscriber's machines know what became of its refund; pass a refusal on."""
    if done is None:
        code = PAID if kind is NoticeKind.REFUND_PAID else KEPT
        transfer_id = _transfer_id(code, chart.refunds(subscriber.party_id), reference)
        announcer.tell(unit, [moved(kind, subscriber.party_id, transfer_id, at_us)])
    return done


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
        transfer_id=_transfer_id(code, debit, reference),
        asset=asset,
        debit=debit,
        credit=credit,
        amount_minor=amount_minor,
        code=code,
    )
    return book(unit, [move], at_us)


def _transfer_id(code: str, debit: str, reference: str) -> Id:
    return derive("transfer", code, debit, reference)


def _is_new(unit: Connection, code: str, debit: str, reference: str) -> bool:
    return not ledger.booked(unit, [_transfer_id(code, debit, reference)])


def _asks_too_often(unit: Connection, asset: AssetId, party: PartyId, at_us: int) -> bool:
    since_us = at_us - ASKED_S * SECOND_US
    account = chart.refunds(party)
    asked = ledger.credits_since(unit, asset, account, since_us, limit=ASKED_MAX)
    return asked >= ASKED_MAX
