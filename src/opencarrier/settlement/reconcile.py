"""Ledger = contract balances = sum of charges, per member: every line compared, none repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.kernel.ids import Id
from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.settlement import store
from opencarrier.settlement.bookings import NOTICE_MINOR_MAX
from opencarrier.settlement.model import Attempt, CycleState
from opencarrier.settlement.rules import IN_FLIGHT
from opencarrier.settlement.venue import VenueReader
from opencarrier.spine.parties import PartyId
from opencarrier.spine.ports import Clearing, Members, RewardBook

CYCLES_MAX = 1_000_000

ROOTS_MAX = 100
"""How far back the newest published root is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One amount seen from two sides, in minor units."""

    what: str
    ledger_minor: int
    other_minor: int

    @property
    def agrees(self) -> bool:
        """Say whether both sides hold the same."""
        return self.ledger_minor == self.other_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Every line as of a final block; while a settlement is on its way, lines may differ."""

    block_number: int
    in_flight: bool
    lines: tuple[Line, ...]

    @property
    def agrees(self) -> bool:
        """Say whether every line does."""
        return all(line.agrees for line in self.lines)

    @property
    def findings(self) -> tuple[Line, ...]:
        """The lines that do not agree."""
        return tuple(line for line in self.lines if not line.agrees)


class Reconciler:
    """Compares the ledger with the venue and with the charges. Raises what the chain raises."""

    def __init__(
        self, reader: VenueReader, members: Members, clearing: Clearing, rewards: RewardBook
    ) -> None:
        self._reader = reader
        self._venue = reader.venue
        self._members = members
        self._clearing = clearing
        self._rewards = rewards

    def reconcile(self, unit: Connection, *, charges: bool = True) -> Reconciliation:
        """Compare everything; `charges` also sums every settled record again.

        Follow the venue's logs and drive the cycle before: what is final there and not yet here
        shows as a difference.
        """
        final = self._reader.chain.final_block_number() or 0
        newest = store.newest_cycle(unit, self._venue)
        addresses = self._addresses(unit)
        lines = [
            *self._collateral(unit, addresses, final),
            *self._notices(unit, addresses, final),
            *self._escrow(unit, addresses, final),
            *self._custody(unit, final),
            *self._entitled(unit, final),
            *self._accruals(unit),
        ]
        if charges:
            lines += self._charges(unit)
        return Reconciliation(
            block_number=final,
            in_flight=newest is not None and newest.state in IN_FLIGHT,
            lines=tuple(lines),
        )

    def _addresses(self, unit: Connection) -> Mapping[PartyId, Address]:
        """Who may hold anything at the venue; a member nobody here knows stands as its address."""
        found = dict(self._members.members(unit))
        for prefix in (chart.collateral, chart.noticed, chart.escrow):
            for party in self._sums(unit, prefix(PartyId(""))):
                if party.startswith("0x"):
                    found.setdefault(party, Address(party))
        return found

    def _collateral(
        self, unit: Connection, addresses: Mapping[PartyId, Address], final: int
    ) -> Iterable[Line]:
        """Each member's collateral is its balance in the clearing house."""
        held = {party: self._balance(address, final) for party, address in addresses.items()}
        return self._lines(unit, chart.collateral, held)

    def _notices(
        self, unit: Connection, addresses: Mapping[PartyId, Address], final: int
    ) -> Iterable[Line]:
        """What each member has asked to withdraw is its notice, as far as a note goes."""
        noticed = {}
        for party, address in addresses.items():
            query = self._reader.house.withdrawal_of(self._venue.token, address)
            noticed[party] = min(query.ask(self._reader.chain, final).amount, NOTICE_MINOR_MAX)
        return self._lines(unit, chart.noticed, noticed)

    def _escrow(
        self, unit: Connection, addresses: Mapping[PartyId, Address], final: int
    ) -> Iterable[Line]:
        """What undecided claims hold of each debtor is its escrow."""
        parties = {address: party for party, address in addresses.items()}
        held = {
            parties.get(debtor, PartyId(debtor)): amount
            for debtor, amount in self._reader.escrowed(final).items()
        }
        return self._lines(unit, chart.escrow, held)

    def _lines(
        self, unit: Connection, name: Callable[[PartyId], str], found: Mapping[PartyId, int]
    ) -> Iterable[Line]:
        """One line for each party in the accounts of a kind or at the venue, one without is 0."""
        posted = self._sums(unit, name(PartyId("")))
        for party in sorted(posted.keys() | found.keys()):
            yield Line(
                what=name(party),
                ledger_minor=posted.get(party, 0),
                other_minor=found.get(party, 0),
            )

    def _balance(self, member: Address, final: int) -> int:
        query = self._reader.house.balance_of(self._venue.token, member)
        return query.ask(self._reader.chain, final)

    def _custody(self, unit: Connection, final: int) -> Iterable[Line]:
        """What both contracts hold is custody; what the distributor holds is entitled."""
        chain, token = self._reader.chain, self._reader.token
        house = token.balance_of(self._venue.clearing_house).ask(chain, final)
        pool = token.balance_of(self._venue.distributor).ask(chain, final)
        entitled = self._sums(unit, chart.ENTITLED)
        custody = -self._posted(unit, chart.CUSTODY)
        yield Line(what=chart.CUSTODY, ledger_minor=custody, other_minor=house + pool)
        yield Line(what="entitled", ledger_minor=sum(entitled.values()), other_minor=pool)

    def _entitled(self, unit: Connection, final: int) -> Iterable[Line]:
        """What each address is entitled to is what it has earned by the newest published root,
        less what the distributor has paid it.
        """
        earned = self._earned(unit, final)
        posted: dict[str, int] = {}
        for name, amount in self._sums(unit, chart.ENTITLED).items():
            _add(posted, {name.partition("/")[0]: amount})
        for account in sorted(posted.keys() | earned.keys()):
            query = self._reader.pool.claimed(Address(account), self._venue.token)
            paid = query.ask(self._reader.chain, final)
            yield Line(
                what=f"{chart.ENTITLED}{account}",
                ledger_minor=posted.get(account, 0),
                other_minor=earned.get(Address(account), 0) - paid,
            )

    def _earned(self, unit: Connection, final: int) -> Mapping[Address, int]:
        for root in self._rewards.roots(unit, limit=ROOTS_MAX):
            query = self._reader.pool.ready_at(self._venue.token, root)
            if query.ask(self._reader.chain, final):
                return self._rewards.lifetimes(unit, root=root)
        return {}

    def _accruals(self, unit: Connection) -> Iterable[Line]:
        """What rating accrued and no settlement posted is what unsettled positions come to."""
        owed = self._clearing.unsettled(unit)
        for prefix, nets in (
            (chart.clearing(PartyId("")), owed.members),
            (chart.accrued(PartyId("")), owed.hosts),
        ):
            posted = self._sums(unit, prefix)
            for party in sorted(posted.keys() | nets.keys()):
                yield Line(
                    what=f"{prefix}{party}",
                    ledger_minor=posted.get(party, 0),
                    other_minor=nets.get(party, 0),
                )

    def _charges(self, unit: Connection) -> Iterable[Line]:
        """What each settlement moved is the sum of its records' charges."""
        moved: dict[str, int] = {}
        charged: dict[str, int] = {}
        for cycle in store.cycles_of(unit, self._venue, limit=CYCLES_MAX, before=None):
            if cycle.state is CycleState.FINAL:
                attempt = store.attempt(unit, cycle.cycle_id, cycle.attempt)
                assert attempt is not None, "a final cycle has an attempt"
                _add(moved, _moved(attempt))
                _add(charged, self._charged(unit, cycle.cycle_id))
        for party in sorted(moved.keys() | charged.keys()):
            yield Line(
                what=f"charges/{party}",
                ledger_minor=moved.get(party, 0),
                other_minor=charged.get(party, 0),
            )

    def _charged(self, unit: Connection, cycle_id: Id) -> Mapping[str, int]:
        nets = self._clearing.charged(unit, cycle_id=cycle_id)
        hosts = {f"host/{party}": amount for party, amount in nets.hosts.items()}
        return {**{f"member/{p}": amount for p, amount in nets.members.items()}, **hosts}

    def _posted(self, unit: Connection, name: str) -> int:
        return ledger.balance(unit, self._venue.asset, name).posted_minor

    def _sums(self, unit: Connection, prefix: str) -> dict[PartyId, int]:
        return {
            PartyId(account.name.removeprefix(prefix)): account.balance.posted_minor
            for account in ledger.accounts(unit, self._venue.asset, prefix=prefix)
        }


def _moved(attempt: Attempt) -> Mapping[str, int]:
    """What an attempt moved per party; a host has a row for each of its beneficiaries."""
    moved: dict[str, int] = {}
    for row in attempt.rows:
        _add(moved, {f"{'host' if row.is_host else 'member'}/{row.party}": row.amount_minor})
    return moved


def _add(sums: dict[str, int], more: Mapping[str, int]) -> None:
    for key, amount in more.items():
        if amount:
            sums[key] = sums.get(key, 0) + amount
