"""The live cycle's side of an exchange: entries from its own records, and what a statement closes.

Both are done in the caller's unit: what is told is noted with the exchange that tells it, and what
a statement closes with the message that completed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from sqlalchemy import Connection

from opencarrier.clearing.exchange import told
from opencarrier.clearing.exchange.model import ENTRIES_MAX, Entry
from opencarrier.clearing.exchange.party import Party
from opencarrier.clearing.exchange.statement import Difference, Standing
from opencarrier.clearing.exchange.told import Session, Sides, Told
from opencarrier.kernel.ids import Id
from opencarrier.spine.money import RatedUsage
from opencarrier.spine.ports import Rater

DOMAIN: Final = "opencarrier/live"
"""The domain of the exchanges a daemon begins by itself: they count from zero."""


class SessionNames(Protocol):
    """What a session is called where it was metered."""

    def name_of(self, unit: Connection, session_id: Id) -> tuple[str, str] | None:
        """Return the access point's key and its Acct-Session-Id, None where it was erased."""
        ...


class LiveRecords:
    """An installation's own records, as its partners are told of them.

    What only one side has, or has more of, is told again until `carried_us` after its end.
    """

    def __init__(self, rater: Rater, names: SessionNames, *, carried_us: int) -> None:
        self._rater, self._names, self._carried_us = rater, names, carried_us

    def take(self, unit: Connection, sides: Sides, *, cut_us: int) -> tuple[Sequence[Entry], int]:
        """Return what is open of each session up to a cut, and the cut.

        Where that is more than an exchange has room for, the cut is where the room ends.
        """
        self._note(unit, sides, cut_us)
        entries = [
            session.entry(sides.addresses[session.debtor])
            for session in told.open_sessions(unit, sides)
            if session.amount_minor > session.closed_minor
        ]
        return within_room(entries, cut_us, ENTRIES_MAX)

    def conclude(self, unit: Connection, party: Party) -> list[tuple[Session, Standing | None]]:
        """Close what a co-signed statement closes; return the sessions with how they stand.

        Entries that were not told from here (of a file) close nothing.
        """
        statement, cut_us = party.statement, party.cut_us
        assert statement is not None, "both signed it"
        assert cut_us is not None, "a statement has its cut"
        named = {item.usage_id: item for item in statement.differences}
        entries = {entry.usage_id: entry for entry in party.counted}
        known = told.find(unit, list(entries))
        changed: list[tuple[Session, Standing | None]] = []
        for identifier, session in known.items():
            if session.told_in == party.terms.exchange_id:
                difference = named.get(identifier)
                after = _closed(session, entries[identifier], difference)
                if session.end_us <= cut_us - self._carried_us:
                    after = told.closed(after, agreed_minor=0, closed_minor=0, is_open=False)
                changed.append((after, None if difference is None else difference.standing))
        told.write(unit, [session for session, _ in changed])
        return changed

    def _note(self, unit: Connection, sides: Sides, cut_us: int) -> None:
        """Add what is new to the sessions it is of."""
        noted: list[Told] = []
        known: dict[Id, Session] = {}
        for usage_id in told.untold(unit, sides, cut_us):
            rated = self._rater.rated(unit, usage_id)
            assert rated is not None, "a record was rated"
            key = self._entry_id(unit, sides, rated)
            if key is None:
                continue
            if key not in known:
                known[key] = told.find(unit, [key]).get(key) or _begun(key, rated)
            known[key] = _more(known[key], rated)
            noted.append(Told(usage_id, key, rated.terms))
        told.note(unit, noted, known)

    def _entry_id(self, unit: Connection, sides: Sides, rated: RatedUsage) -> Id | None:
        """Name a use's session; what an erased subscriber used before there was a partner has none.

        It was paid for good then.
        """
        names = self._names.name_of(unit, rated.usage.session_id)
        if names is None:
            return None
        nas_key, acct_session_id = names
        return told.entry_id(
            sides.asset,
            visited=sides.addresses[rated.wholesale.seller],
            home=sides.addresses[rated.wholesale.payer],
            nas_key=nas_key,
            acct_session_id=acct_session_id,
        )


def within_room(entries: Sequence[Entry], cut_us: int, room: int) -> tuple[Sequence[Entry], int]:
    """Keep the entries that ended first, as many as there is room for, whole instants of them."""
    if len(entries) <= room:
        return entries, cut_us
    ordered = sorted(entries, key=lambda entry: entry.end_us)
    cut_us = ordered[room].end_us - 1
    return [entry for entry in ordered[:room] if entry.end_us <= cut_us], cut_us


def _begun(key: Id, rated: RatedUsage) -> Session:
    charge = rated.wholesale
    return Session(entry_id=key, debtor=charge.payer, creditor=charge.seller, asset=charge.asset)


def _more(session: Session, rated: RatedUsage) -> Session:
    """Add a usage to what its session is told as."""
    used = rated.usage.quantities
    return replace(
        session,
        end_us=max(session.end_us, rated.usage.end_us),
        octets_in=session.octets_in + used.get("octets_in"),
        octets_out=session.octets_out + used.get("octets_out"),
        duration_s=session.duration_s + used.get("duration_s"),
        amount_minor=session.amount_minor + rated.wholesale.amount_minor,
        is_open=True,
        told_in=None,
    )


def _closed(session: Session, entry: Entry, difference: Difference | None) -> Session:
    """Close what is agreed, and what a tolerance waives; the rest stays open."""
    amount = entry.amount_minor
    if difference is None:
        return _settled(session, agreed_minor=amount, closed_minor=amount)
    agreed = 0 if difference.agreed is None else difference.agreed.amount_minor
    if difference.standing is Standing.WITHIN_TOLERANCE:
        return _settled(session, agreed_minor=agreed, closed_minor=amount)
    after = _settled(session, agreed_minor=agreed, closed_minor=agreed, is_open=amount > agreed)
    return replace(after, disputed_in=session.told_in) if difference.disputed_minor else after


def _settled(
    session: Session, *, agreed_minor: int, closed_minor: int, is_open: bool = False
) -> Session:
    """Return a session of which some more is agreed; what was disputed before is then over."""
    after = told.closed(
        session, agreed_minor=agreed_minor, closed_minor=closed_minor, is_open=is_open
    )
    return replace(after, disputed_in=None) if agreed_minor else after
