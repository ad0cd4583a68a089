"""Acts of an owner that several people have to say yes to, as the settings ask for settlements."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.app.consenting import ConsentReason
from opencarrier.identity.accounts.model import NOBODY, AccountId
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Refusal

BAN: Final = "node-ban"
LIFT: Final = "node-ban-lifted"
UPHOLD: Final = "node-ban-upheld"
REFUND: Final = "refund"
OWNERS_KINDS: Final = frozenset({BAN, LIFT, UPHOLD, REFUND})
"""Questions that owners alone see and answer."""


def objection(
    base: Installation,
    unit: Connection,
    kind: str,
    subject: bytes,
    *,
    amount_minor: int,
    about: str,
    by: AccountId,
) -> Refusal | None:
    """Say how many people are still missing, nothing where none is; who asks has said yes.

    It is as many as the settings say now, or said when it was asked, whichever is more. The
    installation's token and its commands are no person. `about` is told beside the amount to
    those who are asked.
    """
    settings, accounts = base.settings, base.accounts
    known = accounts.approvals.about(unit, kind, subject)
    needed = max(settings.approval_people, 0 if known is None else known.needed)
    if needed == 0:
        return None
    if known is None:
        accounts.audit.write(unit, "approval_asked", who=by, about=to_hex(subject))
    asked = accounts.approvals.ask(
        unit,
        kind=kind,
        subject=subject,
        detail=f"{amount_minor} {about}",
        needed=needed,
        ttl_s=settings.approval_s,
        by=by,
    )
    if by != NOBODY and (known is None or by not in known.by):
        accounts.audit.write(unit, "approved", who=by, about=to_hex(subject))
    if asked.granted:
        return None
    return Refusal(ConsentReason.NOT_APPROVED, f"{len(asked.by)} of {asked.needed} people said yes")
