"""A subscriber asks its prepaid money back, and its home pays it out the way it came in.

What is asked back is set aside at once, so it cannot be spent; the home says when it is paid, or
gives it back to be used.
"""

from __future__ import annotations

from sqlalchemy import Connection

from opencarrier.app import asking
from opencarrier.app.bootstrap import Installation
from opencarrier.app.errands import AMOUNT_MAX, ErrandRefusal, book, moved, transfer_id
from opencarrier.identity.accounts.model import AccountId
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.spine.notices import Announcer, NoticeKind
from opencarrier.spine.parties import PartyId, Subscriber

ASKED, PAID, KEPT = "retail/refund-asked", "retail/refund-paid", "retail/refund-kept"
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
    party, code = subscriber.party_id, ASKED
    between = (chart.prepaid(party), chart.refunds(party))
    known = ledger.booked(unit, [_name(unit, asset, between, amount_minor, code, reference)])
    if not known and _asks_too_often(unit, asset, party, at_us):
        return Refusal(RefundRefusal.TOO_OFTEN, f"at most {ASKED_MAX} in {ASKED_S // 3_600} hours")
    return _move(unit, asset, between, amount_minor, code, reference, at_us)


def settle(
    base: Installation,
    unit: Connection,
    asset: AssetId,
    subscriber: Subscriber,
    amount_minor: int,
    *,
    is_kept: bool,
    reference: str,
    by: AccountId,
) -> Refusal | None:
    """Book that a refund was paid out or is kept: the one way of pages and commands.

    What is paid out waits for people where the settings ask for them: to the question belong
    subscriber, amount and reference. Commit the unit after a refusal, too: it holds the question.
    """
    party = subscriber.party_id
    waits = ledger.balance(unit, asset, chart.refunds(party)).posted_minor
    if not is_kept and 0 < amount_minor <= waits:
        refusal = asking.objection(
            base,
            unit,
            asking.REFUND,
            derive("refund", party, amount_minor, reference),
            amount_minor=amount_minor,
            about=party,
            by=by,
        )
        if refusal is not None:
            return refusal
    return (keep if is_kept else pay_back)(
        unit,
        asset,
        subscriber,
        amount_minor,
        reference=reference,
        at_us=base.clock.now_us(),
        announcer=base.webhooks,
    )


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
    if done is None:
        key = _name(unit, asset, between, amount_minor, PAID, reference)
        announcer.tell(unit, [moved(NoticeKind.REFUND_PAID, subscriber.party_id, key, at_us)])
    return done


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
    if done is None:
        key = _name(unit, asset, between, amount_minor, KEPT, reference)
        announcer.tell(unit, [moved(NoticeKind.REFUND_KEPT, party, key, at_us)])
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
        transfer_id=_name(unit, asset, between, amount_minor, code, reference),
        asset=asset,
        debit=debit,
        credit=credit,
        amount_minor=amount_minor,
        code=code,
    )
    return book(unit, [move], at_us)


def _name(
    unit: Connection,
    asset: AssetId,
    between: tuple[str, str],
    amount_minor: int,
    code: str,
    reference: str,
) -> Id:
    """Name a move between a subscriber's refunds and another account."""
    debit, credit = between
    is_asked = code == ASKED
    own = credit if is_asked else debit
    known = ledger.amounts(unit, asset, own, code, credited=is_asked)
    return transfer_id(unit, code, debit, amount_minor, reference, known)


def _asks_too_often(unit: Connection, asset: AssetId, party: PartyId, at_us: int) -> bool:
    since_us = at_us - ASKED_S * SECOND_US
    account = chart.refunds(party)
    asked = ledger.credits_since(unit, asset, account, since_us, limit=ASKED_MAX)
    return asked >= ASKED_MAX
