"""Questions that several distinct people have to say yes to before something is done.

A question is of a kind and about one id, which carries all that is approved: other content has
another id and so another question. Once as many as are needed said yes in time it is granted; if
they did not, it is over, and asked anew from nobody's yes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update
from sqlalchemy.engine import Row

from opencarrier.identity.accounts import store
from opencarrier.identity.accounts.model import (
    APPROVAL_S_MAX,
    NOBODY,
    AccountId,
    AccountReason,
    Approval,
)
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import Refusal

PAGE = 100


class Approvals:
    """Asks, takes each person's yes once, and says what is granted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def ask(
        self,
        unit: Connection,
        *,
        kind: str,
        subject: bytes,
        detail: str,
        needed: int,
        ttl_s: int,
        by: AccountId = NOBODY,
    ) -> Approval:
        """Ask a question; who asks says yes by it. The same again is the same, while it stands.

        Where more people are needed by now than when it was asked first, it waits for as many;
        where fewer are, for those it was asked of.
        """
        assert 1 <= needed <= 16, "one to sixteen people"
        assert 0 < ttl_s <= APPROVAL_S_MAX, "a question is over some day"
        found = self.about(unit, kind, subject)
        if found is None:
            found = self._made(unit, kind, subject, detail, needed, ttl_s)
        elif found.needed < needed:
            table = store.approvals
            mine = update(table).where(table.c.approval == found.approval)
            unit.execute(mine.values(needed=needed))
        if by != NOBODY:
            self._vote(unit, found, by)
        return self._read(unit, found.approval)

    def say_yes(self, unit: Connection, approval: bytes, by: AccountId) -> Approval | Refusal:
        """Take a person's yes; again it is the same yes."""
        found = self.find(unit, approval)
        if found is None:
            return Refusal(AccountReason.UNKNOWN_APPROVAL)
        if self._over(found):
            return Refusal(AccountReason.EXPIRED, "it is asked anew when it is still wanted")
        self._vote(unit, found, by)
        return self._read(unit, approval)

    def find(self, unit: Connection, approval: bytes) -> Approval | None:
        """Return a question, over or not."""
        table = store.approvals
        row = unit.execute(select(table).where(table.c.approval == approval)).one_or_none()
        return None if row is None else _approvals(unit, [row])[0]

    def about(self, unit: Connection, kind: str, subject: bytes) -> Approval | None:
        """Return the question about something while it stands, granted or not."""
        table = store.approvals
        chosen = (table.c.kind == kind) & (table.c.subject == subject)
        query = select(table).where(chosen).order_by(table.c.asked_us.desc()).limit(1)
        found = next(iter(_approvals(unit, unit.execute(query).all())), None)
        return None if found is None or self._over(found) else found

    def waiting(self, unit: Connection, *, besides: Collection[str] = ()) -> Sequence[Approval]:
        """Return what is asked and not granted, of other kinds than some, oldest first.

        `PAGE` at most.
        """
        table = store.approvals
        chosen = self._waits() & table.c.kind.not_in(besides)
        query = select(table).where(chosen).order_by(table.c.asked_us).limit(PAGE)
        return _approvals(unit, unit.execute(query).all())

    def forget(self, unit: Connection, who: AccountId) -> None:
        """Take a person's yes out of what is not granted yet."""
        waiting = list(unit.scalars(select(store.approvals.c.approval).where(self._waits())))
        chosen = store.votes.c.approval.in_(waiting) & (store.votes.c.account == who)
        unit.execute(delete(store.votes).where(chosen))

    def _waits(self) -> ColumnElement[bool]:
        """Of all rows, those that are neither over nor granted."""
        table = store.approvals
        said = select(func.count()).where(store.votes.c.approval == table.c.approval)
        return (table.c.expires_us > self._clock.now_us()) & (
            said.scalar_subquery() < table.c.needed
        )

    def _over(self, found: Approval) -> bool:
        return self._clock.now_us() >= found.expires_us

    def _made(
        self, unit: Connection, kind: str, subject: bytes, detail: str, needed: int, ttl_s: int
    ) -> Approval:
        now_us = self._clock.now_us()
        made = Approval(
            approval=derive("approval", kind, subject, now_us),
            kind=kind,
            subject=subject,
            detail=detail,
            needed=needed,
            asked_us=now_us,
            expires_us=now_us + ttl_s * SECOND_US,
            by=(),
        )
        unit.execute(
            insert(store.approvals).values(
                approval=made.approval,
                kind=kind,
                subject=subject,
                detail=detail,
                needed=needed,
                asked_us=now_us,
                expires_us=made.expires_us,
            )
        )
        return made

    def _vote(self, unit: Connection, found: Approval, by: AccountId) -> None:
        if by not in found.by:
            row = {"approval": found.approval, "account": by, "at_us": self._clock.now_us()}
            unit.execute(insert(store.votes).values(row))

    def _read(self, unit: Connection, approval: bytes) -> Approval:
        found = self.find(unit, approval)
        assert found is not None
        return found


def _approvals(unit: Connection, rows: Sequence[Row[Any]]) -> list[Approval]:
    """Read questions, `PAGE` at most, each with who said yes, first ones first."""
    table = store.votes
    asked = [row.approval for row in rows]
    votes = select(table.c.approval, table.c.account).where(table.c.approval.in_(asked))
    said: dict[bytes, list[AccountId]] = defaultdict(list)
    for vote in unit.execute(votes.order_by(table.c.at_us, table.c.account)):
        said[vote.approval].append(AccountId(vote.account))
    return [
        Approval(
            approval=row.approval,
            kind=row.kind,
            subject=row.subject,
            detail=row.detail,
            needed=row.needed,
            asked_us=row.asked_us,
            expires_us=row.expires_us,
            by=tuple(said[row.approval]),
        )
        for row in rows
    ]
