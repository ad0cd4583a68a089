"""Settlements that several people have to say yes to, as the settings ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from opencarrier.identity.accounts.model import NOBODY, AccountId, Approval
from opencarrier.identity.accounts.service import Accounts
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.spine.notices import Announcer, Notice, NoticeKind
from opencarrier.spine.parties import Operator

SETTLEMENT = "settlement"
"""The kind of question: may this settlement be sent."""


class ConsentReason(Reason):
    """Why a settlement is not sent yet."""

    NOT_APPROVED = 1


class SettlementConsent:
    """Answers the port `Consent`: asks people once, and anew when it was over without them.

    The installation's token and its commands are no person: who closes a cycle by them has said
    yes to nothing.
    """

    def __init__(
        self,
        accounts: Accounts,
        announcer: Announcer,
        operators: Callable[[Connection], Sequence[Operator]],
        *,
        people: int,
        above_minor: int,
        ttl_s: int,
    ) -> None:
        self._accounts = accounts
        self._announcer = announcer
        self._operators = operators
        self._people = people
        self._above_minor = above_minor
        self._ttl_s = ttl_s

    def objection(self, unit: Connection, *, settlement_id: Id, net_minor: int) -> Refusal | None:
        """Say how many people are still missing, nothing where none is.

        It is as many as the settings say now, or said when it was asked, whichever is more.
        """
        known = self._accounts.approvals.about(unit, SETTLEMENT, settlement_id)
        if known is None and not self._needed(net_minor):
            return None
        asked = self._asked(unit, settlement_id, net_minor, NOBODY)
        if asked.granted:
            return None
        return Refusal(
            ConsentReason.NOT_APPROVED, f"{len(asked.by)} of {asked.needed} people said yes"
        )

    def started(
        self, unit: Connection, *, settlement_id: Id, net_minor: int, by: AccountId
    ) -> None:
        """Count whoever closed a cycle as one who says yes to its settlement."""
        if self._needed(net_minor) and by != NOBODY:
            self._asked(unit, settlement_id, net_minor, by)
            about = to_hex(settlement_id)
            self._accounts.audit.write(unit, "approved", who=by, about=about)

    def _needed(self, net_minor: int) -> bool:
        return self._people > 0 and net_minor > self._above_minor

    def _asked(
        self, unit: Connection, settlement_id: Id, net_minor: int, by: AccountId
    ) -> Approval:
        approvals, audit = self._accounts.approvals, self._accounts.audit
        known = approvals.about(unit, SETTLEMENT, settlement_id)
        is_new = known is None
        needed = self._people if self._needed(net_minor) else 0
        if is_new:
            audit.write(unit, "approval_asked", who=by, about=to_hex(settlement_id))
        asked = approvals.ask(
            unit,
            kind=SETTLEMENT,
            subject=settlement_id,
            detail=str(net_minor),
            needed=max(needed, 0 if known is None else known.needed),
            ttl_s=self._ttl_s,
            by=by,
        )
        if is_new:
            self._announce(unit, asked)
        return asked

    def _announce(self, unit: Connection, asked: Approval) -> None:
        """Let the machines of everybody whose people may approve know."""
        notice = Notice(
            kind=NoticeKind.APPROVAL_WANTED,
            parties=frozenset(one.party_id for one in self._operators(unit)),
            about={
                "approval": to_hex(asked.approval),
                "kind": asked.kind,
                "subject": to_hex(asked.subject),
            },
            at_us=asked.asked_us,
        )
        self._announcer.tell(unit, [notice])
