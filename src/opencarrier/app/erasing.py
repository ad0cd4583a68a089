"""Everything held about a subscriber: told to it, and erased when nothing needs it any more.

Erasing takes away who somebody was. What was owed and paid stays as it was computed and proven:
roots, positions, books and others' receipts are of an id that is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from opencarrier.access.cui import named_subject
from opencarrier.app import answers
from opencarrier.app.bootstrap import Installation
from opencarrier.app.disputing import disputes
from opencarrier.app.errands import book
from opencarrier.app.exchanger import sides_of
from opencarrier.app.retention import read_retention
from opencarrier.chain.ports import Beside
from opencarrier.channels.people import ChannelPeople
from opencarrier.charging.people import ChargingPeople
from opencarrier.clearing.exchange import partners, told
from opencarrier.clearing.people import ClearingPeople
from opencarrier.identity.accounts.model import AccountId
from opencarrier.identity.cli import find_subscriber
from opencarrier.identity.model import Cause, Erasure
from opencarrier.identity.people import IdentityPeople
from opencarrier.identity.rules import permanent_names
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import derive, to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Account, Transfer
from opencarrier.paywall.people import PaywallPeople
from opencarrier.rating.people import RatingPeople
from opencarrier.routing.people import RoutingPeople
from opencarrier.spine.notices import Notice, NoticeKind
from opencarrier.spine.parties import PartyId, Subscriber
from opencarrier.spine.people import Person, batches
from opencarrier.spine.ports import PersonalData
from opencarrier.staking.people import StakingPeople
from opencarrier.usage.people import UsagePeople
from opencarrier.webhooks.people import WebhookPeople


class ErasureReason(Reason):
    """Why nobody is erased; of several that apply, the lowest is the one given."""

    SESSION_RUNNING = 1
    HOLD_OPEN = 2
    CHANNEL_OPEN = 3
    PAYMENT_UNDER_WAY = 4
    UNSETTLED = 5
    IN_DISPUTE = 6
    MONEY_LEFT = 7
    RETAINED = 8


HINTS: Mapping[Reason, str] = {
    ErasureReason.SESSION_RUNNING: "a session ends with its Stop, or by silence at a cycle's close",
    ErasureReason.HOLD_OPEN: "a hold is released when a cycle is closed, or lapses",
    ErasureReason.CHANNEL_OPEN: "close it: opencarrier chain channel --help",
    ErasureReason.UNSETTLED: "close the cycle and let it settle: opencarrier cycle close",
    ErasureReason.IN_DISPUTE: "see: opencarrier dispute show",
    ErasureReason.MONEY_LEFT: "pay it out; or, where its owner waives it, add --waive",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What became of a request to erase: when it was done, and whether the files are clean."""

    made: Erasure
    files_clean: bool


class Erasing:
    """The subscribers of one installation, all rooms asked together."""

    def __init__(self, base: Installation) -> None:
        self._base = base
        self._identity = IdentityPeople(base.identity.directory)
        self._usage = UsagePeople(base.usage, base.entropy)
        self._rating = RatingPeople(base.entropy)
        self._channels = ChannelPeople()
        self._charging = ChargingPeople()
        self._clearing = ClearingPeople(base.rating)
        self._paywall = PaywallPeople()
        self._rooms: tuple[PersonalData, ...] = (
            self._clearing,
            self._charging,
            self._channels,
            self._paywall,
            RoutingPeople(),
            base.orders,
            StakingPeople(),
            self._rating,
            self._usage,
            base.meters,
            WebhookPeople(base.webhooks),
            base.accounts.people,
            self._identity,
        )
        self._cui_key = base.access_keys().cui_key
        self._retention = read_retention(base.settings.retention_days)

    # what is held

    def export(self, who: str) -> dict[str, Any] | Refusal:
        """Return all that is held about a subscriber, as `subscriber export` prints it."""
        with self._base.store.read() as unit:
            found = self._found(unit, who)
            if isinstance(found, Refusal):
                return found
            person = self._person(unit, found)
            tables: dict[str, Any] = {}
            for room in self._rooms:
                for name, rows in room.held(unit, person).items():
                    tables[name] = [_printable(row) for row in rows]
            return {
                "subscriber": found.party_id,
                "tables": dict(sorted(tables.items())),
                "ledger": [_printable(line) for line in _statement(unit, found.party_id)],
            }

    # erasing

    def erase(
        self, who: str, *, cause: Cause, waive: bool = False, beside: Beside | None = None
    ) -> Erased | Refusal:
        """Erase a subscriber in one transaction, then clean the files; again only cleans.

        Refused while anything of it is under way, in the order of `ErasureReason`. With `waive`
        the money it leaves becomes its home's income. `beside` writes in that transaction who
        asked for it.
        """
        with self._base.store.write() as unit:
            known = self._identity.erasure(unit, PartyId(who))
            made = known or self._erasure(unit, who, cause, waive=waive)
            if isinstance(made, Refusal):
                return made
            if known is None and beside is not None:
                beside(unit)
            crashpoint("erasing.before_commit")
        crashpoint("erasing.committed")
        files_clean = self._base.store.wipe() and not self._left_behind()
        crashpoint("erasing.wiped")
        return Erased(made=made, files_clean=files_clean)

    def _left_behind(self) -> bool:
        """Say whether the file that was moved to a server is still here, with everybody in it."""
        return bool(self._base.settings.database) and self._base.folder.database.exists()

    def _erasure(
        self, unit: Connection, who: str, cause: Cause, *, waive: bool
    ) -> Erasure | Refusal:
        found = self._found(unit, who)
        if isinstance(found, Refusal):
            return found
        person, at_us = self._person(unit, found), self._base.clock.now_us()
        refusal = self._objection(unit, found, person, waive=waive, at_us=at_us)
        if refusal is not None:
            return refusal
        if waive:
            _take_over(unit, found, at_us)
        people = self._base.accounts.people.at(unit, found.party_id)
        for room in self._rooms:
            room.erase(unit, person)
        self._forget_answers(unit, found.party_id, people)
        made = Erasure(party_id=found.party_id, erased_us=at_us, cause=cause)
        self._identity.note(unit, made)
        self._base.webhooks.tell(unit, [_told(made)])
        return made

    def _forget_answers(
        self, unit: Connection, party: PartyId, people: Sequence[AccountId]
    ) -> None:
        """Forget what the API answered about somebody, and to those of its accounts that went."""
        book = self._base.accounts.book
        gone = [one for one in people if isinstance(book.find(unit, one), Refusal)]
        answers.forget(unit, party, gone)

    def _objection(
        self, unit: Connection, found: Subscriber, person: Person, *, waive: bool, at_us: int
    ) -> Refusal | None:
        accounts = _accounts(unit, found.party_id)
        left_minor = sum(account.balance.posted_minor for account in accounts)
        held_minor = sum(account.balance.debits_pending for account in accounts)
        if self._running(unit, person, at_us):
            return Refusal(ErasureReason.SESSION_RUNNING)
        if held_minor:
            return Refusal(ErasureReason.HOLD_OPEN, f"{held_minor} minor units are held")
        if self._channels.open(unit, person):
            return Refusal(ErasureReason.CHANNEL_OPEN)
        if self._paywall.under_way(unit, person):
            return Refusal(ErasureReason.PAYMENT_UNDER_WAY)
        if self._unsettled(unit, person):
            return Refusal(ErasureReason.UNSETTLED, "its use is not paid for good")
        if self._disputed(unit, person, at_us):
            return Refusal(ErasureReason.IN_DISPUTE)
        if left_minor and not waive:
            return Refusal(ErasureReason.MONEY_LEFT, f"{left_minor} minor units")
        until_us = self._retained_until_us(unit, found, person)
        if at_us < until_us:
            return Refusal(ErasureReason.RETAINED, f"the law keeps it until {until_us} us")
        return None

    def _running(self, unit: Connection, person: Person, at_us: int) -> bool:
        return (
            self._usage.running(unit, person, at_us=at_us)
            or self._rating.granted(unit, person, at_us=at_us)
            or self._charging.running(unit, person)
        )

    def _unsettled(self, unit: Connection, person: Person) -> bool:
        rooms = (self._usage, self._rating, self._clearing)
        return any(room.unsettled(unit, person) for room in rooms) or self._untold(unit, person)

    def _untold(self, unit: Connection, person: Person) -> bool:
        """Say whether a partner has still to be told of its use, or to agree to it."""
        for partner in partners.every(unit):
            sides = sides_of(self._base, unit, partner)
            assert not isinstance(sides, Refusal), "a partner is known here"
            if any(told.is_open(unit, sides, some) for some in batches(person.usages)):
                return True
        return False

    def _disputed(self, unit: Connection, person: Person, at_us: int) -> bool:
        service = disputes(self._base)
        return any(service.is_open(unit, some, now_us=at_us) for some in batches(person.usages))

    def _retained_until_us(self, unit: Connection, found: Subscriber, person: Person) -> int:
        home = self._base.identity.directory.operator(unit, found.home)
        assert home is not None, "a subscriber without a home"
        last_us = max(
            self._usage.last_us(unit, person),
            self._rating.last_us(unit, person),
            *(
                ledger.last_us(unit, account.asset, account.name)
                for account in _accounts(unit, found.party_id)
            ),
            0,
        )
        return self._retention.until_us(home.jurisdiction, last_us)

    # who it is

    def _found(self, unit: Connection, who: str) -> Subscriber | Refusal:
        return find_subscriber(self._base.identity, unit, who)

    def _person(self, unit: Connection, found: Subscriber) -> Person:
        granted = self._rating.authorisations(unit, found.party_id)
        return Person(
            party_id=found.party_id,
            authorisations=tuple(granted),
            usages=tuple(self._usage.usages(unit, granted)),
            subjects=tuple(self._subjects(unit, found)),
        )

    def _subjects(self, unit: Connection, found: Subscriber) -> Iterator[str]:
        """Yield what use of its SIMs is kept under where an access point dropped Class."""
        identity = self._base.identity
        operators = identity.directory.operators(unit)
        plmns = next(item.plmns for item in operators if item.party_id == found.home)
        for sim in identity.subscriptions.credentials(unit, found.party_id):
            for name in permanent_names(sim.imsi, plmns):
                for operator in operators:
                    yield named_subject(self._cui_key, name, operator.party_id)


def _told(made: Erasure) -> Notice:
    """Return what the machines of whoever was erased hear, the last of all."""
    return Notice(
        kind=NoticeKind.ERASURE_DONE,
        parties=frozenset({made.party_id}),
        about={"erased_us": made.erased_us},
        at_us=made.erased_us,
        personal=True,
    )


def _accounts(unit: Connection, party: PartyId) -> list[Account]:
    """Return the accounts with a subscriber's money: prepaid, and what it asked back."""
    names = (chart.prepaid(party), chart.refunds(party))
    return [account for name in names for account in ledger.accounts_named(unit, name)]


def _take_over(unit: Connection, found: Subscriber, at_us: int) -> None:
    """Book what a subscriber waived as its home's income."""
    waived = [
        Transfer(
            transfer_id=derive("transfer", "waived", account.name, account.asset),
            asset=account.asset,
            debit=account.name,
            credit=chart.revenue(found.home),
            amount_minor=account.balance.posted_minor,
            code="waived",
        )
        for account in _accounts(unit, found.party_id)
        if account.balance.posted_minor
    ]
    if waived:
        refusal = book(unit, waived, at_us)
        assert refusal is None, f"what nothing holds cannot be moved: {refusal}"


def _statement(unit: Connection, party: PartyId) -> Iterator[Mapping[str, Any]]:
    for account in _accounts(unit, party):
        after = 0
        while page := ledger.statement(unit, account.asset, account.name, after=after):
            after = page[-1].sequence
            for line in page:
                yield {
                    "account": account.name.partition("/")[0],
                    "asset": account.asset,
                    "at_us": line.at_us,
                    "code": line.code,
                    "posted_minor": line.posted_minor,
                    "held_minor": line.held_minor,
                    "balance_minor": line.balance_minor,
                }


def _printable(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: to_hex(value) if isinstance(value, bytes) else value for name, value in row.items()
    }
