"""What people ask an installation to do with money: deposit, top up, withdraw, close, follow.

Each errand takes a reference, its owner's own name for it: the same reference again is the same
errand, so a retry after a crash or a lost answer moves nothing twice; with another amount it is
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.venue import ERRANDS
from opencarrier.chain.contracts import ClearingHouse, RewardDistributor, StableToken
from opencarrier.chain.errors import ChainError
from opencarrier.chain.model import Call
from opencarrier.chain.ports import Beside
from opencarrier.chain.relay_rules import Relay
from opencarrier.chain.relayer import RelayReport
from opencarrier.channels.claims import ClaimReport
from opencarrier.kernel.ids import Id, derive, to_hex
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.rewards.claims import Claims
from opencarrier.settlement.custody import Caught
from opencarrier.settlement.model import CycleClosed, Driven
from opencarrier.settlement.service import ClosedBeside
from opencarrier.spine.notices import Announcer, Notice, NoticeKind
from opencarrier.spine.parties import Host, Operator, PartyId

AMOUNT_MAX = 10**15

P = ParamSpec("P")
T = TypeVar("T")


class ErrandRefusal(Reason):
    """Why an errand is not done."""

    BAD_AMOUNT = 1
    SHORT_OF_TOKENS = 2
    NOT_BOOKED_YET = 3
    REFERENCE_OF_ANOTHER = 4


_OF_ANOTHER_AMOUNT = Refusal(ErrandRefusal.REFERENCE_OF_ANOTHER, "it was used for another amount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposited:
    """A deposit that the chain took: how much, and what the member has there now."""

    amount_minor: int
    balance_minor: int
    tx_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """A host's withdrawal: what it was paid, all it ever was, and by which transaction."""

    amount_minor: int
    lifetime_minor: int
    tx_hash: bytes


def in_turn(errand: Callable[Concatenate[Errands, P], T]) -> Callable[Concatenate[Errands, P], T]:
    """Let one errand at a time be done at a venue by this process."""

    @wraps(errand)
    def waiting(self: Errands, /, *arguments: P.args, **words: P.kwargs) -> T:
        with self.place.turn:
            return errand(self, *arguments, **words)

    return waiting


class Errands:
    """Errands at one venue; whoever calls has checked that the caller may ask for them."""

    def __init__(self, place: Onchain) -> None:
        self.place = place
        self._base = place.base
        self._house = ClearingHouse(place.manifest.clearing_house)
        self._token = StableToken(place.manifest.token)
        self._claims = Claims(place.rewards, RewardDistributor(place.manifest.distributor))

    @in_turn
    def deposit(
        self, operator: Operator, amount_minor: int, *, reference: str
    ) -> Deposited | Refusal:
        """Put collateral for an operator into the clearing house, and book it once it is final.

        The hub's key pays; where the venue's token is the hub's own (an embedded chain, a test
        network), it makes what it lacks.
        """
        if not 0 < amount_minor <= AMOUNT_MAX:
            return Refusal(ErrandRefusal.BAD_AMOUNT, f"give 1 to {AMOUNT_MAX} minor units")
        self.place.enrol()
        intent = self._deposit_intent(operator.party_id, amount_minor, reference)
        if isinstance(intent, Refusal):
            return intent
        approve = self._token.approve(self.place.manifest.clearing_house, amount_minor)
        refusal = self._of_another(intent, approve) or self._provide(amount_minor, intent)
        if refusal is not None:
            return refusal
        work = self.place.work
        work.do(derive("errand/approve", intent), approve)
        done = work.do(
            intent, self._house.deposit(self._token.address, operator.address, amount_minor)
        )
        assert done.mined is not None
        self.follow()
        return Deposited(
            amount_minor=amount_minor,
            balance_minor=self._balance(operator),
            tx_hash=done.mined.tx_hash,
        )

    @in_turn
    def withdraw(self, host: Host, *, beside: Beside | None = None) -> Withdrawn | Refusal:
        """Have the distributor pay a host what it is entitled to and has not been paid.

        `beside` writes in the transaction that orders it who did; what is ordered already it is not
        told of.
        """
        return self.claim(host.payout, beside=beside)

    @in_turn
    def claim(self, account: Address, *, beside: Beside | None = None) -> Withdrawn | Refusal:
        """Push an account's claim, whoever it is: its entitlement goes to it, the hub pays gas.

        What a former process claimed and did not book is booked first.
        """
        place = self.place
        self.follow()
        with self._base.store.read() as unit:
            due = self._claims.due(unit, account, chain=place.client, now_s=place.chain_now_s())
        if isinstance(due, Refusal):
            return due
        intent = derive("errand/claim", account, due.root)
        done = place.work.do(intent, self._claims.call(due), beside=beside)
        assert done.mined is not None
        self.follow()
        return Withdrawn(
            amount_minor=due.amount_minor,
            lifetime_minor=due.claim.lifetime_amount,
            tx_hash=done.mined.tx_hash,
        )

    @in_turn
    def follow(self) -> Caught:
        """Book what happened at the venue since the last time, and take what was staked there."""
        if self.place.stakes is not None:
            self.place.stakes.follow(self._base.store.write)
        return self.place.settlement.follow(
            self._base.store.write, now_us=self._base.clock.now_us()
        )

    @in_turn
    def follow_bans(self) -> str:
        """Keep what the registry of nodes tells of bans; return what holds it up, if anything."""
        bans = self.place.bans
        return "" if bans is None else bans.follower.follow(self._base.store.write)

    @in_turn
    def see_payments_through(self) -> str:
        """Do once what is due for payments over HTTP; return what holds them up, if anything."""
        now_us = self._base.clock.now_us()
        try:
            return self.place.paywall.look(self._base.store.write, now_us=now_us)
        except ChainError as error:
            return f"the chain does not answer: {error}"

    @in_turn
    def tend_channels(self, *, everything: bool = False) -> ClaimReport:
        """Bring deposits to the chain, claim what channels have earned, book what came of it.

        `everything` claims however little there is. At a venue without channels nothing is done.
        """
        channels, begin = self.place.channels, self._base.store.write
        if channels is None:
            return ClaimReport()
        now_us = self._base.clock.now_us()
        caught = channels.follower.follow(begin, now_us=now_us)
        report = channels.claimer.drive(begin, now_us=now_us, everything=everything)
        self.relay_on()
        channels.follower.follow(begin, now_us=now_us)
        return replace(report, note=report.note or caught.note)

    @in_turn
    def recover(self) -> None:
        """Take up what a former process left: unsent errands, logs, payments, the open cycle."""
        self.place.enrol()
        self.place.manager.drive(self._base.store.write, now_us=self._base.clock.now_us())
        self.follow()
        self.see_payments_through()
        self.tend_channels()
        self.drive()

    @in_turn
    def close(self, at_us: int, *, beside: ClosedBeside | None = None) -> CycleClosed | Refusal:
        """End the open cycle at an instant and order its settlement."""
        self.place.enrol()
        self.follow()
        with self._base.store.write() as unit:
            ledger.expire(unit, at_us)
        write = self._base.store.write
        return self.place.settlement.close(write, at_us=at_us, beside=beside)

    @in_turn
    def drive(self) -> Driven:
        """Do once what is due for the cycle in flight."""
        return self.place.settlement.drive(self._base.store.write, now_us=self._base.clock.now_us())

    @in_turn
    def relay(self, calls: Sequence[Call], *, key: str) -> Relay | Refusal:
        """Take signed calls that the hub pays for, and begin at once; raises `ChainError`."""
        taken = self.place.relayer.submit(
            self._base.store.write, calls, key=key, now_us=self._base.clock.now_us()
        )
        if isinstance(taken, Refusal):
            return taken
        self.relay_on()
        with self._base.store.read() as unit:
            found = self.place.relayer.find(unit, taken.relay_id)
        assert found is not None, "what was taken is kept"
        return found

    @in_turn
    def relay_on(self) -> RelayReport:
        """Move sponsored actions on and send what is due; nothing while settling is halted."""
        with self._base.store.read() as unit:
            if self.place.settlement.halt(unit) is not None:
                return RelayReport()
        write, now_us = self._base.store.write, self._base.clock.now_us()
        report = self.place.relayer.drive(write, now_us=now_us)
        self.place.manager.drive(write, now_us=now_us)
        return report

    def _balance(self, operator: Operator) -> int:
        query = self._house.balance_of(self._token.address, operator.address)
        return query.ask(self.place.client)

    def _deposit_intent(self, operator: PartyId, amount_minor: int, reference: str) -> Id | Refusal:
        """Name a deposit: as versions before did, with its amount, where such one was begun."""
        former = derive("errand/deposit", operator, amount_minor, reference)
        steps = (former, derive("errand/approve", former), derive("errand/mint", former))
        manager, house = self.place.work.manager, self._house
        selector = house.artefact().selector("deposit")
        with self._base.store.read() as unit:
            if any(manager.find(unit, step) is not None for step in steps):
                return former
            for intent, data in manager.named_alone(unit, house.address, selector, ERRANDS):
                amount = house.artefact().read_call("deposit", data)["amount"]
                if derive("errand/deposit", operator, amount, reference) == intent:
                    return _OF_ANOTHER_AMOUNT
        return derive("errand/deposit", operator, reference)

    def _of_another(self, intent: bytes, approve: Call) -> Refusal | None:
        """Refuse a reference under which another amount was deposited."""
        with self._base.store.read() as unit:
            known = self.place.work.manager.find(unit, derive("errand/approve", intent))
        if known is None or known.call == approve:
            return None
        return _OF_ANOTHER_AMOUNT

    def _provide(self, amount_minor: int, intent: bytes) -> Refusal | None:
        """See that the hub has the tokens, making them where the token is its own."""
        work, client = self.place.work, self.place.client
        hub = work.manager.sender
        with self._base.store.read() as unit:
            if work.manager.find(unit, derive("errand/approve", intent)) is not None:
                return None
        held = self._token.balance_of(hub).ask(client)
        if held >= amount_minor:
            return None
        if self._token.owner().ask(client) != hub:
            detail = f"{hub} has {held} of {amount_minor}"
            return Refusal(ErrandRefusal.SHORT_OF_TOKENS, detail)
        work.do(derive("errand/mint", intent), self._token.mint(hub, amount_minor - held))
        return None


def top_up(
    unit: Connection,
    asset: AssetId,
    *,
    subscriber: PartyId,
    home: PartyId,
    amount_minor: int,
    reference: str,
    at_us: int,
    announcer: Announcer,
) -> Refusal | None:
    """Give a subscriber prepaid money from its home operator's funding account."""
    if not 0 < amount_minor <= AMOUNT_MAX:
        return Refusal(ErrandRefusal.BAD_AMOUNT, f"give 1 to {AMOUNT_MAX} minor units")
    own, code = chart.prepaid(subscriber), "retail/topup"
    known = ledger.amounts(unit, asset, own, code, credited=True)
    paid = Transfer(
        transfer_id=transfer_id(unit, "topup", subscriber, amount_minor, reference, known),
        asset=asset,
        debit=chart.funding(home),
        credit=own,
        amount_minor=amount_minor,
        code=code,
    )
    refusal = book(unit, [paid], at_us)
    if refusal is None:
        announcer.tell(
            unit, [moved(NoticeKind.PAYMENT_RECEIVED, subscriber, paid.transfer_id, at_us)]
        )
    return refusal


def moved(kind: NoticeKind, subscriber: PartyId, transfer_id: Id, at_us: int) -> Notice:
    """Return what a subscriber's machines hear of its money, without an amount."""
    return Notice(
        kind=kind,
        parties=frozenset({subscriber}),
        about={"transfer_id": to_hex(transfer_id)},
        at_us=at_us,
        personal=True,
    )


def set_aside(
    unit: Connection,
    asset: AssetId,
    *,
    home: PartyId,
    amount_minor: int,
    reference: str,
    at_us: int,
) -> Refusal | None:
    """Put a home operator's money aside for its subscribers' discounts: its budget, and its cap."""
    if not 0 < amount_minor <= AMOUNT_MAX:
        return Refusal(ErrandRefusal.BAD_AMOUNT, f"give 1 to {AMOUNT_MAX} minor units")
    budget, code = chart.discounts(home), "retail/budget"
    known = ledger.amounts(unit, asset, budget, code, credited=True)
    aside = Transfer(
        transfer_id=transfer_id(unit, "budget", home, amount_minor, reference, known),
        asset=asset,
        debit=chart.funding(home),
        credit=budget,
        amount_minor=amount_minor,
        code=code,
    )
    return book(unit, [aside], at_us)


def transfer_id(
    unit: Connection,
    kind: str,
    whose: str,
    amount_minor: int,
    reference: str,
    amounts: Iterable[int],
) -> Id:
    """Name what a reference books: as versions before did, with its amount, where that is booked.

    So what was booked before an upgrade and is asked for again after it is not booked twice, nor is
    another amount: of `amounts`, those that are booked of its kind, one bears the reference, and
    the ledger refuses another under that name.
    """
    name = derive("transfer", kind, whose, reference)
    own, *others = (
        derive("transfer", kind, whose, each, reference) for each in (amount_minor, *amounts)
    )
    names = (own, name, *others)
    found = ledger.booked(unit, names)
    return next((one for one in names if one in found), name)


def book(unit: Connection, transfers: Sequence[Transfer], at_us: int) -> Refusal | None:
    """Book transfers, opening what accounts they need; the first refusal is returned."""
    names = {name for item in transfers for name in (item.debit, item.credit)}
    for asset in {item.asset for item in transfers}:
        ledger.ensure(unit, asset, names)
    return next(
        (refusal for refusal in ledger.apply(unit, transfers, at_us) if refusal is not None), None
    )
