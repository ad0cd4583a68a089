"""Disputes over the live cycle's statements: what they close there, and what they come to.

The session that is disputed is told no more of the difference; the outcome is a correction of it,
due in the next cycle. Disputes over statements of files change nothing here.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from opencarrier.clearing.agreed import AgreedDesk
from opencarrier.clearing.disputes.rules import Case, Outcome
from opencarrier.clearing.exchange import told
from opencarrier.clearing.exchange.live import DOMAIN
from opencarrier.clearing.exchange.party import Party
from opencarrier.clearing.exchange.told import Session


class LiveDisputes:
    """What disputes do to the sessions and positions of the live cycle."""

    def __init__(self, desk: AgreedDesk) -> None:
        self._desk = desk

    def is_settled_since(self, unit: Connection, party: Party, case: Case) -> bool:
        """Say whether a later statement agrees on more of the session: its difference is gone."""
        session = _session(unit, party, case)
        return session is not None and session.disputed_in != case.exchange_id

    def opened(self, unit: Connection, party: Party, case: Case) -> None:
        """Close the difference, on its creditor's side: it is not told again beside the dispute."""
        session = _session(unit, party, case)
        if session is not None and party.own == case.creditor:
            closed_minor = session.closed_minor + case.disputed_minor
            told.write(unit, [replace(session, closed_minor=closed_minor, is_open=False)])

    def settled(
        self, unit: Connection, party: Party, case: Case, outcome: Outcome, *, now_us: int
    ) -> None:
        """Correct the session by the award, or the other way by a bond that was lost."""
        session = _session(unit, party, case)
        amount = outcome.award_minor - outcome.forfeit_minor
        if session is None or not amount:
            return
        after = replace(session, agreed_minor=session.agreed_minor + amount)
        told.write(unit, [after])
        self._desk.award(unit, (after, amount), by=case.dispute_id, at_us=now_us)


def _session(unit: Connection, party: Party, case: Case) -> Session | None:
    """Return the session a case is of, None for a case of another exchange than the cycle's."""
    if party.terms.domain != DOMAIN:
        return None
    found = told.find(unit, [case.usage_id])
    assert case.usage_id in found, "a live entry is of a session"
    return found[case.usage_id]
