"""What accounts tell of a subscriber: it is told, and goes with it (port `PersonalData`)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from opencarrier.identity.accounts import store
from opencarrier.identity.accounts.audit import AuditLog
from opencarrier.identity.accounts.book import AccountBook
from opencarrier.identity.accounts.model import AccountId
from opencarrier.spine.parties import PartyId
from opencarrier.spine.people import Held, Person

_TOLD = {
    store.accounts: ("account", "name", "made_us"),
    store.keys: ("account", "kind", "name", "credential", "made_us", "used_us"),
    store.grants: ("account", "role", "party", "given_us"),
    store.sessions: ("account", "made_us", "seen_us", "came_from"),
}


class AccountPeople:
    """Answers the port `PersonalData` for accounts that subscribers sign in to."""

    def __init__(self, book: AccountBook, audit: AuditLog) -> None:
        self._book = book
        self._audit = audit

    def held(self, unit: Connection, person: Person) -> Held:
        """Return the subscriber's accounts, keys, grants and sessions, and what the log has."""
        mine = self._mine(unit, person.party_id)
        told = {
            table.name: [
                dict(row)
                for row in unit.execute(
                    select(*(table.c[name] for name in names)).where(table.c.account.in_(mine))
                ).mappings()
            ]
            for table, names in _TOLD.items()
        }
        log = store.audit
        lines = unit.execute(select(log).where(log.c.who.in_(mine))).mappings()
        return {**told, log.name: [dict(line) for line in lines]}

    def erase(self, unit: Connection, person: Person) -> None:
        """Forget its accounts; one that may something else besides keeps only that."""
        for account in self._mine(unit, person.party_id):
            mine = store.grants.c.account == account
            unit.execute(delete(store.grants).where(mine, store.grants.c.party == person.party_id))
            if not store.grants_of(unit, account):
                refusal = self._book.remove(unit, account)
                assert refusal is None, "who may nothing is no owner"
                self._audit.forget_where(unit, account)

    def _mine(self, unit: Connection, party: PartyId) -> Sequence[AccountId]:
        query = select(store.grants.c.account).where(store.grants.c.party == party)
        return [AccountId(row.account) for row in unit.execute(query)]
