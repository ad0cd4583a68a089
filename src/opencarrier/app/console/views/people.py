"""Who may sign in and do what, as pages and API show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.asking import OWNERS_KINDS
from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.visitor import Visitor
from opencarrier.identity import pages
from opencarrier.identity.accounts import book, rules
from opencarrier.identity.accounts.audit import PAGE
from opencarrier.identity.accounts.model import BY_LINK, Account, AccountId, Grant, Role
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.ids import to_hex
from opencarrier.spine.parties import PartyId

After = tuple[str, str]
"""Name and account of the last person of a page: two may have one name."""

PARTIES_OFFERED = 20
"""Of each kind, at once: there may be many thousand hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantLine:
    """A role, and whose; `party` is empty where it is of the whole installation.

    `may_take`: whether the visitor may take it away.
    """

    role: str
    party: str
    name: str
    may_take: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """A key of one's own; `shown` is a wallet's address."""

    key: str
    kind: str
    name: str
    shown: str
    made_us: int
    used_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """A browser that is signed in; `is_this` is the one that asks."""

    session: str
    by: str
    made_us: int
    seen_us: int
    came_from: str
    is_this: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MeView:
    """One's own account: everything that is kept of it but the log."""

    account: str
    name: str
    made_us: int
    grants: tuple[GrantLine, ...]
    keys: tuple[KeyLine, ...]
    sessions: tuple[SessionLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonLine:
    """Somebody who may sign in, with the grants that the visitor may see.

    `may_link` and `may_remove`: whether the visitor may make a new link, and remove the account.
    """

    account: str
    name: str
    grants: tuple[GrantLine, ...]
    keys: int
    may_link: bool
    may_remove: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyLine:
    """A party that a role may be given at."""

    role: str
    party: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleView:
    """People by name; `after` is the last of them, None on the last page.

    `may_give` are roles at the parties from the name `named` on; there may be more of them.
    """

    people: tuple[PersonLine, ...]
    after: After | None
    may_give: tuple[PartyLine, ...]
    named: str
    may_look_further: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLine:
    """A line of the log; `name` is empty for an account that is gone, and for who looks on."""

    sequence: int
    at_us: int
    who: str
    name: str
    what: str
    about: str
    outcome: str
    came_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditView:
    """The newest lines, or those before one; `before` is 0 on the last page."""

    entries: tuple[EntryLine, ...]
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalLine:
    """A question that waits; `given` people said yes.

    `by` are the names of those whom the visitor may know, `others` the roles of everybody else.

    `kind` is `settlement`, or what owners alone approve: `node-ban`, `node-ban-lifted`,
    `node-ban-upheld` (`about` is the node), `refund` (`about` is the subscriber).
    """

    approval: str
    kind: str
    subject: str
    amount_minor: int
    about: str
    needed: int
    given: int
    by: tuple[str, ...]
    others: tuple[str, ...]
    said: bool
    asked_us: int
    expires_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalsView:
    """What waits for people, oldest first."""

    waiting: tuple[ApprovalLine, ...]


def me_view(base: Installation, unit: Connection, visitor: Visitor) -> MeView:
    """Return a visitor's own account."""
    accounts = base.accounts
    account = accounts.book.find(unit, visitor.account)
    assert isinstance(account, Account), "who asks is signed in"
    keys = accounts.book.keys(unit, account.account)
    names = {key.key: key.name for key in keys} | {BY_LINK: ""}
    return MeView(
        account=account.account,
        name=account.name,
        made_us=account.made_us,
        grants=_grants(base, unit, account.grants),
        keys=tuple(
            KeyLine(
                key=key.key,
                kind=key.kind.value,
                name=key.name,
                shown=key.credential.decode() if key.kind == "wallet" else "",
                made_us=key.made_us,
                used_us=key.used_us,
            )
            for key in keys
        ),
        sessions=tuple(
            SessionLine(
                session=one.session,
                by=names.get(one.key, ""),
                made_us=one.made_us,
                seen_us=one.seen_us,
                came_from=one.came_from,
                is_this=one.session == visitor.session,
            )
            for one in reversed(accounts.sessions.of(unit, account.account))
        ),
    )


def people_view(
    base: Installation,
    unit: Connection,
    visitor: Visitor,
    *,
    after: After | None = None,
    named: str = "",
) -> PeopleView:
    """Return everybody to an owner, to others those at their own parties.

    Roles are offered at the parties from the name `named` on.
    """
    found = people_after(base, unit, visitor, after=after, limit=book.PAGE)
    return PeopleView(
        people=tuple(found),
        after=(found[-1].name, found[-1].account) if len(found) == book.PAGE else None,
        may_give=roles_to_give(base, unit, visitor, named=named),
        named=named,
        may_look_further=visitor.is_owner,
    )


def people_after(
    base: Installation, unit: Connection, visitor: Visitor, *, after: After | None, limit: int
) -> Sequence[PersonLine]:
    """Return people by name, as many as asked for: whom the visitor may see."""
    accounts = base.accounts.book
    found = (
        accounts.page(unit, after=after, limit=limit)
        if visitor.is_owner
        else accounts.at(unit, visitor.at(Role.OPERATOR, Role.HOST), after=after, limit=limit)
    )
    return [_person(base, unit, visitor, one) for one in found]


def sees(unit: Connection, base: Installation, visitor: Visitor, account: AccountId) -> bool:
    """Say whether somebody's account is one that a visitor looks after."""
    found = base.accounts.book.find(unit, account)
    return isinstance(found, Account) and _seen(visitor, found)


def _seen(visitor: Visitor, found: Account) -> bool:
    return visitor.is_owner or bool(_shown(visitor, found))


def looks_after(base: Installation, unit: Connection, visitor: Visitor, account: AccountId) -> bool:
    """Say whether a visitor may invite somebody again: all that one may do, the visitor may give.

    Whoever has a key signs in by it: nobody else gets a link to an account that is in use.
    """
    found = base.accounts.book.find(unit, account)
    if not isinstance(found, Account):
        return False
    return _may_link(base, visitor, found, keys=len(base.accounts.book.keys(unit, account)))


def _may_link(base: Installation, visitor: Visitor, found: Account, *, keys: int) -> bool:
    if keys or not _seen(visitor, found):
        return False
    return all(may_give(base, visitor, grant) for grant in found.grants)


def may_give(base: Installation, visitor: Visitor, grant: Grant) -> bool:
    """Say whether a visitor may give a role, or take it.

    Where people approve settlements an owner alone says who they are: no operator makes up a
    second one.
    """
    approves = grant.role is Role.OPERATOR and base.settings.approval_people > 0
    return rules.may_give(visitor.grants, grant) and (visitor.is_owner or not approves)


def audit_view(
    base: Installation, unit: Connection, visitor: Visitor, *, before: int | None = None
) -> AuditView:
    """Return a page of the log."""
    entries = entries_before(base, unit, visitor, before=before, limit=PAGE)
    return AuditView(
        entries=tuple(entries), before=entries[-1].sequence if len(entries) == PAGE else 0
    )


def entries_before(
    base: Installation, unit: Connection, visitor: Visitor, *, before: int | None, limit: int
) -> Sequence[EntryLine]:
    """Return lines of the log; who it was and where from, in an owner's eyes only."""
    entries = base.accounts.audit.page(unit, before=before, limit=limit)
    whole = visitor.is_owner
    known = base.accounts.book.several(unit, {entry.who for entry in entries}) if whole else {}
    return [
        EntryLine(
            sequence=entry.sequence,
            at_us=entry.at_us,
            who=entry.who,
            name=known[entry.who].name if entry.who in known else "",
            what=entry.what,
            about=entry.about,
            outcome=entry.outcome,
            came_from=entry.came_from if whole else "",
        )
        for entry in entries
    ]


def approvals_view(base: Installation, unit: Connection, visitor: Visitor) -> ApprovalsView:
    """Return what waits for the visitor's kind, and whether it said yes already."""
    besides = frozenset() if visitor.is_owner else OWNERS_KINDS
    waiting = base.accounts.approvals.waiting(unit, besides=besides)
    said = base.accounts.book.several(unit, {who for one in waiting for who in one.by})
    names = {
        who: found.name
        for who, found in said.items()
        if who == visitor.account or _seen(visitor, found)
    }
    return ApprovalsView(
        waiting=tuple(
            ApprovalLine(
                approval=to_hex(one.approval),
                kind=one.kind,
                subject=to_hex(one.subject),
                amount_minor=int(one.detail.partition(" ")[0]),
                about=one.detail.partition(" ")[2],
                needed=one.needed,
                given=len(one.by),
                by=tuple(names[who] for who in one.by if who in names),
                others=tuple(_role(said.get(who)) for who in one.by if who not in names),
                said=visitor.account in one.by,
                asked_us=one.asked_us,
                expires_us=one.expires_us,
            )
            for one in waiting
        )
    )


def _role(found: Account | None) -> str:
    """Say as what somebody says yes, nothing where the account is gone."""
    held = set() if found is None else {grant.role for grant in found.grants}
    return next((role.value for role in Role if role in held), "")


def _person(base: Installation, unit: Connection, visitor: Visitor, found: Account) -> PersonLine:
    grants = found.grants if visitor.is_owner else _shown(visitor, found)
    keys = len(base.accounts.book.keys(unit, found.account))
    return PersonLine(
        account=found.account,
        name=found.name,
        grants=_grants(base, unit, grants, visitor),
        keys=keys,
        may_link=_may_link(base, visitor, found, keys=keys),
        may_remove=visitor.is_owner and found.account != visitor.account,
    )


def _shown(visitor: Visitor, found: Account) -> frozenset[Grant]:
    mine = visitor.at(Role.OPERATOR, Role.HOST)
    return frozenset(grant for grant in found.grants if grant.party in mine)


def _grants(
    base: Installation, unit: Connection, grants: Iterable[Grant], giver: Visitor | None = None
) -> tuple[GrantLine, ...]:
    ordered = sorted(grants, key=lambda grant: (list(Role).index(grant.role), grant.party or ""))
    return tuple(
        GrantLine(
            role=grant.role.value,
            party=grant.party or "",
            name="" if grant.party is None else _party_name(base, unit, grant.party),
            may_take=giver is not None and may_give(base, giver, grant),
        )
        for grant in ordered
    )


def _party_name(base: Installation, unit: Connection, party: PartyId) -> str:
    """Name operators and hosts; a subscriber is its opaque id."""
    found = None if party.startswith("sub_") else base.identity.directory.party(unit, party)
    return party if found is None else found.name


def roles_to_give(
    base: Installation, unit: Connection, visitor: Visitor, *, named: str = ""
) -> tuple[PartyLine, ...]:
    """Return the roles that a visitor may give, at its parties.

    To an owner, who may give each at any, those of the first parties from a name on.
    """
    parties = list(_offered(base, unit, visitor, named))
    offered: list[tuple[Role, PartyId | None, str]] = [
        (Role.OWNER, None, ""),
        (Role.AUDITOR, None, ""),
        *parties,
        *((Role.AUDITOR, party, name) for _, party, name in parties),
    ]
    return tuple(
        PartyLine(role=role.value, party=party or "", name=name)
        for role, party, name in offered
        if may_give(base, visitor, Grant(role, party))
    )


def _offered(
    base: Installation, unit: Connection, visitor: Visitor, named: str
) -> Iterator[tuple[Role, PartyId, str]]:
    for role, kind in ((Role.OPERATOR, PartyKind.OPERATOR), (Role.HOST, PartyKind.HOST)):
        if visitor.is_owner:
            found = pages.names_from(unit, kind, named, limit=PARTIES_OFFERED)
        else:
            found = [(one, _party_name(base, unit, one)) for one in sorted(visitor.at(role))]
        yield from ((role, party, name) for party, name in found)
