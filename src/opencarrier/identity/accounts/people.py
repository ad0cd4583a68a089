"""What accounts tell of a subscriber: it is told, and goes with it (port `PersonalData`)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, select

from opencarrier.identity.accounts import store
from opencarrier.identity.accounts.model import AccountId, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.people import Held, Person

_TOLD = {
    store.accounts: ("account", "name", "made_us"),
    store.keys: ("account", "kind", "name", "credential", "made_us", "used_us"),
    store.grants: ("account", "role", "party", "given_us"),
    store.sessions: ("account", "made_us", "seen_us", "came_from"),
}

_OF_SOMEBODY = (store.accounts, store.guests, store.keys, store.grants, store.sessions, store.links)
TABLES = (*_OF_SOMEBODY, store.audit)
"""What a copy has not all of: subscribers' accounts, who is signed in or invited, from where."""


class AccountPeople:
    """Answers the port `PersonalData` for accounts that subscribers sign in to."""

    def held(self, unit: Connection, person: Person) -> Held:
        """Return the subscriber's accounts, keys, grants and sessions, and what the log has."""
        mine = self.at(unit, person.party_id)
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
        _take(unit, self.at(unit, person.party_id), store.grants.c.party == person.party_id)

    def at(self, unit: Connection, party: PartyId) -> Sequence[AccountId]:
        """Return the accounts that may something at a subscriber's."""
        query = select(store.grants.c.account).where(store.grants.c.party == party)
        return [AccountId(row.account) for row in unit.execute(query)]


def take_out(unit: Connection) -> None:
    """Leave in a copy no subscriber's account, and nobody signed in or invited.

    They are invited anew where the copy is put in place; who else may sign in still may.
    """
    unit.execute(delete(store.sessions))
    unit.execute(delete(store.links))
    subscribers = store.grants.c.role == Role.SUBSCRIBER.value
    query = select(store.grants.c.account).where(subscribers).distinct()
    _take(unit, [AccountId(row.account) for row in unit.execute(query)], subscribers)


def _take(unit: Connection, accounts: Sequence[AccountId], those: ColumnElement[bool]) -> None:
    """Take grants from accounts, and each account with its last."""
    for account in accounts:
        unit.execute(delete(store.grants).where(store.grants.c.account == account, those))
        if not store.grants_of(unit, account):
            store.forget(unit, account)
