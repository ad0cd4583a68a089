"""An operator's money as pages and API show it: what is owed, its cycles, who has to agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlalchemy import Connection

from opencarrier.app.api import Cursor, Page
from opencarrier.app.bootstrap import Installation, Onchain
from opencarrier.app.consenting import SETTLEMENT
from opencarrier.app.console.views.flow import FlowView, flow_of
from opencarrier.app.console.views.network import cycle_due_us
from opencarrier.app.console.visitor import Visitor
from opencarrier.clearing import owed
from opencarrier.clearing.netting import NettingMode
from opencarrier.identity.accounts.model import Account, AccountId, Grant, Role
from opencarrier.kernel.ids import to_hex
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.settlement.figures import CycleFigures
from opencarrier.settlement.model import CycleState
from opencarrier.spine.parties import Operator, PartyId

CYCLES: Final = Cursor("cycles", (int,))
CYCLES_SHOWN: Final = 5
PEOPLE_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorLine:
    """An operator that the visitor may look at."""

    party: PartyId
    name: str
    country: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRow:
    """A cycle; amounts in minor units of `asset`.

    `owed_minor` is what all owed before anything was set off, `moved_minor` what was paid,
    `own_minor` what this operator had of it, below zero what it paid.
    """

    sequence: int
    state: str
    cut_us: int
    owed_minor: int
    moved_minor: int
    own_minor: int
    records: int
    asset: str

    @property
    def saved_minor(self) -> int:
        """What needed no payment of its own."""
        return self.owed_minor - self.moved_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorView:
    """What an operator is owed and owes at an instant; amounts in minor units of `asset`.

    `open` is what is not settled for good, `last` the newest cycle that has something for it
    where nothing is. `cycle_due_us` is None where people close cycles.
    """

    as_of_us: int
    party: PartyId
    name: str
    asset: str
    collateral_minor: int
    open: FlowView
    last: FlowView | None
    last_sequence: int | None
    cycle_due_us: int | None
    in_flight: int | None
    halted: str
    cycles: tuple[CycleRow, ...]
    may_settle: bool

    @property
    def shown(self) -> FlowView:
        """The flow that is drawn: what is open, else what was paid last."""
        return self.last if self.last is not None else self.open


@dataclass(frozen=True, slots=True, kw_only=True)
class NetLine:
    """What a member has of a cycle, below zero what it pays."""

    party: PartyId
    name: str
    amount_minor: int
    is_own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class YesView:
    """The people who have to approve a settlement: how many, who did, and who still may.

    Names are of people the visitor may know; `approval` is what they say yes to.
    """

    approval: str
    needed: int
    given: int
    by: tuple[str, ...]
    may: tuple[str, ...]
    said: bool
    expires_us: int

    @property
    def missing(self) -> int:
        """How many people are still needed."""
        return max(self.needed - self.given, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleView:
    """One cycle as an operator sees it: what all of it came to, and its own part."""

    row: CycleRow
    cycle_id: str
    settlement_id: str
    records_root: str
    netting: str
    attempt: int
    positions: int
    payments: int
    hosts_minor: int
    ordered_us: int
    final_us: int | None
    tx_hash: str
    flow: FlowView
    nets: tuple[NetLine, ...]
    approval: YesView | None
    party: PartyId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleView:
    """What a visitor is about to do: end the open cycle and settle it."""

    party: PartyId
    name: str
    open: FlowView
    in_flight: int | None
    halted: str
    people: int
    above_minor: int
    asset: str


def operators_view(place: Onchain, unit: Connection, visitor: Visitor) -> tuple[OperatorLine, ...]:
    """Return the operators a visitor may look at, by name."""
    whole = visitor.is_owner or Grant(Role.AUDITOR) in visitor.grants
    mine = visitor.at(Role.OPERATOR, Role.AUDITOR)
    found = place.base.identity.directory.operators(unit)
    lines = [
        OperatorLine(party=one.party_id, name=one.name, country=one.jurisdiction[:2])
        for one in found
        if whole or one.party_id in mine
    ]
    return tuple(sorted(lines, key=lambda line: (line.name, line.party)))


def operator_view(
    place: Onchain, unit: Connection, visitor: Visitor, operator: Operator
) -> OperatorView:
    """Say what an operator is owed and owes, and how its cycles stand."""
    base, party, asset = place.base, operator.party_id, place.manifest.asset
    now_us, names = base.clock.now_us(), name_in(base, unit)
    found = owed.unsettled(unit, party)
    newest = place.settlement.figures(unit, limit=CYCLES_SHOWN)
    last = None
    if found.is_nothing:
        last = next((one for one in newest if one.own_minor(party)), None)
    settled = None if last is None else owed.settled_in(unit, last.cycle_id, party)
    return OperatorView(
        as_of_us=now_us,
        party=party,
        name=operator.name,
        asset=asset,
        collateral_minor=ledger.balance(unit, asset, chart.collateral(party)).posted_minor,
        open=flow_of(found, names),
        last=None if settled is None else flow_of(settled, names),
        last_sequence=None if last is None else last.sequence,
        cycle_due_us=cycle_due_us(base.settings.cycle_s, now_us),
        in_flight=_in_flight(newest),
        halted=_halted(place, unit),
        cycles=tuple(_row(one, party, asset) for one in newest),
        may_settle=acts(visitor, party),
    )


def cycles_view(
    place: Onchain, unit: Connection, party: PartyId, *, cursor: str, limit: int
) -> Page[CycleRow]:
    """Return the cycles that were ordered, newest first."""
    key = CYCLES.read(cursor)
    before = None if key is None else int(key[0])
    found = place.settlement.figures(unit, limit=limit + 1, before=before)
    rows = [_row(one, party, place.manifest.asset) for one in found]
    return CYCLES.page(rows, limit, lambda row: (row.sequence,))


def cycle_view(
    place: Onchain, unit: Connection, visitor: Visitor, operator: Operator, sequence: int
) -> CycleView | None:
    """Return one cycle as an operator sees it, None where none of that number was ordered."""
    found = figures_of(place, unit, sequence)
    if found is None:
        return None
    party, names = operator.party_id, name_in(place.base, unit)
    settled = owed.settled_in(unit, found.cycle_id, party)
    return CycleView(
        row=_row(found, party, place.manifest.asset),
        cycle_id=to_hex(found.cycle_id),
        settlement_id=to_hex(found.settlement_id),
        records_root=to_hex(found.records_root),
        netting=NettingMode(found.netting_mode).name.lower(),
        attempt=found.attempt,
        positions=found.positions,
        payments=found.payments,
        hosts_minor=found.rewards_minor,
        ordered_us=found.ordered_us,
        final_us=found.final_us,
        tx_hash="" if found.tx_hash is None else to_hex(found.tx_hash),
        flow=flow_of(settled, names),
        nets=tuple(
            NetLine(
                party=one.party,
                name=names(one.party),
                amount_minor=one.amount_minor,
                is_own=one.party == party,
            )
            for one in found.members
        ),
        approval=_approval(place, unit, visitor, found),
        party=party,
        name=operator.name,
    )


def settle_view(place: Onchain, unit: Connection, operator: Operator) -> SettleView:
    """Say what settling now would do."""
    settings, party = place.base.settings, operator.party_id
    return SettleView(
        party=party,
        name=operator.name,
        open=flow_of(owed.unsettled(unit, party), name_in(place.base, unit)),
        in_flight=_in_flight(place.settlement.figures(unit, limit=1)),
        halted=_halted(place, unit),
        people=settings.approval_people,
        above_minor=settings.approval_above_minor,
        asset=place.manifest.asset,
    )


def figures_of(place: Onchain, unit: Connection, sequence: int) -> CycleFigures | None:
    """Return one cycle's figures, None where none of that number was ordered."""
    found = place.settlement.figures(unit, limit=1, before=sequence + 1)
    return found[0] if found and found[0].sequence == sequence else None


def name_in(base: Installation, unit: Connection) -> Callable[[PartyId], str]:
    """Return what names parties; whoever is unknown here is its id."""

    @cache
    def name(party: PartyId) -> str:
        found = base.identity.directory.party(unit, party)
        return party if found is None else found.name

    return name


def acts(visitor: Visitor, party: PartyId) -> bool:
    """Say whether a visitor may settle as an operator."""
    return visitor.is_owner or party in visitor.at(Role.OPERATOR)


def _row(found: CycleFigures, party: PartyId, asset: str) -> CycleRow:
    return CycleRow(
        sequence=found.sequence,
        state=found.state.value,
        cut_us=found.cut_us,
        owed_minor=found.gross_minor,
        moved_minor=found.net_minor,
        own_minor=found.own_minor(party),
        records=found.records,
        asset=asset,
    )


def _in_flight(newest: list[CycleFigures]) -> int | None:
    under_way = (CycleState.ORDERED, CycleState.SENT)
    return next((one.sequence for one in newest[:1] if one.state in under_way), None)


def _halted(place: Onchain, unit: Connection) -> str:
    halt = place.settlement.halt(unit)
    return "" if halt is None else f"{halt.alarm.value}: {halt.detail}"


def _approval(
    place: Onchain, unit: Connection, visitor: Visitor, found: CycleFigures
) -> YesView | None:
    """Return whose yes a settlement waits for, None where nobody was asked or it is paid."""
    accounts = place.base.accounts
    asked = accounts.approvals.about(unit, SETTLEMENT, found.settlement_id)
    if asked is None or found.state is not CycleState.ORDERED:
        return None
    names = _people(place, unit, visitor)
    said = frozenset(asked.by)
    return YesView(
        approval=to_hex(asked.approval),
        needed=asked.needed,
        given=len(asked.by),
        by=tuple(sorted(names[who] for who in said if who in names)),
        may=tuple(sorted(name for who, name in names.items() if who not in said)),
        said=visitor.account in said,
        expires_us=asked.expires_us,
    )


def _people(place: Onchain, unit: Connection, visitor: Visitor) -> dict[AccountId, str]:
    """Name the people who may approve, as far as a visitor knows them; nobody to an auditor."""
    book = place.base.accounts.book
    mine = visitor.at(Role.OPERATOR)
    if visitor.is_owner:
        mine = frozenset(o.party_id for o in place.base.identity.directory.operators(unit))
    found: list[Account] = [
        one
        for one in book.at(unit, mine)
        if any(grant.role is Role.OPERATOR and grant.party in mine for grant in one.grants)
    ]
    if visitor.is_owner:
        owners = (book.find(unit, who) for who in book.owners(unit))
        found += [one for one in owners if isinstance(one, Account)]
    return {one.account: one.name for one in found[:PEOPLE_SHOWN]}
