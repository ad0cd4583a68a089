"""An operator's disputes as pages and API show them: what differs, who did what, what is next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from opencarrier.app.api import Cursor, Page
from opencarrier.app.bootstrap import Installation
from opencarrier.app.disputing import disputes
from opencarrier.clearing.disputes.rules import Move, MoveKind, Outcome, Stage
from opencarrier.clearing.exchange.model import Entry
from opencarrier.clearing.exchange.party import Party
from opencarrier.kernel.ids import Id, from_hex, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import Operator, PartyId

DISPUTES: Final = Cursor("disputes", (str,))
ACTIONS: Final[Mapping[Stage, Mapping[bool, tuple[MoveKind, ...]]]] = {
    Stage.UNOPENED: {True: (MoveKind.OPEN,), False: ()},
    Stage.OPEN: {
        True: (MoveKind.AGREE, MoveKind.EVIDENCE),
        False: (MoveKind.ACCEPT, MoveKind.CONTEST, MoveKind.AGREE, MoveKind.EVIDENCE),
    },
    Stage.CONTESTED: dict.fromkeys((True, False), (MoveKind.AGREE, MoveKind.EVIDENCE)),
    Stage.SETTLED: {True: (), False: ()},
}
"""What one may do, by how far a dispute is and whether one is the creditor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeRow:
    """A dispute that was opened: with whom, when, what was done last, whether it is over."""

    dispute: str
    exchange: str
    usage: str
    name: str
    opened_us: int
    moved_us: int
    moved: str
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveLine:
    """What a side did; `amount_minor` is of a proposal, `digest` names evidence."""

    at_us: int
    kind: str
    name: str
    is_own: bool
    amount_minor: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a side has of the use that is disputed; octets both ways, minor units."""

    octets: int
    duration_s: int
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeView:
    """Where a dispute stands; amounts in minor units.

    `cause` is what differs: `terms`, `use` or `price`. `stage` is `unopened`, `open`, `contested`
    or `settled`; `until_us` is how long it waits. `may` are the moves that are open to the visitor.
    """

    party: PartyId
    name: str
    other_name: str
    dispute: str
    exchange: str
    usage: str
    is_creditor: bool
    cause: str
    disputed_minor: int
    bond_minor: int
    stage: str
    until_us: int | None
    settled_us: int | None
    award_minor: int
    forfeit_minor: int
    ours: Said | None
    theirs: Said | None
    moves: tuple[MoveLine, ...]
    may: tuple[str, ...]


def disputes_view(
    base: Installation, unit: Connection, operator: Operator, *, cursor: str, limit: int
) -> Page[DisputeRow]:
    """Return the disputes that were opened with an operator, by id."""
    key = DISPUTES.read(cursor)
    after = b"" if key is None else octets_of(str(key[0]))
    service = disputes(base)
    found = service.opened(unit, operator.address, after=after, limit=limit + 1)
    rows = [_row(base, unit, operator.address, one) for one in found]
    return DISPUTES.page(rows, limit, lambda row: (row.dispute,))


def dispute_view(
    base: Installation,
    unit: Connection,
    operator: Operator,
    place: tuple[Id, Id],
    *,
    acts: bool,
) -> DisputeView | None:
    """Return one dispute, opened or not; None where a statement leaves no such difference."""
    service = disputes(base)
    found = service.case(unit, *place)
    if isinstance(found, Refusal) or found[0].own != operator.address:
        return None
    party, case = found
    outcome = service.outcome(unit, case, now_us=base.clock.now_us())
    is_creditor = party.own == case.creditor
    ours, theirs = _said(party, case.usage_id)
    return DisputeView(
        party=operator.party_id,
        name=operator.name,
        other_name=_name(base, unit, party.peer),
        dispute=to_hex(case.dispute_id),
        exchange=to_hex(case.exchange_id),
        usage=to_hex(case.usage_id),
        is_creditor=is_creditor,
        cause=case.cause.value,
        disputed_minor=case.disputed_minor,
        bond_minor=case.bond_minor,
        stage=outcome.stage.name.lower(),
        until_us=outcome.until_us,
        settled_us=outcome.settled_us,
        award_minor=outcome.award_minor,
        forfeit_minor=outcome.forfeit_minor,
        ours=ours,
        theirs=theirs,
        moves=tuple(
            _move(base, unit, party.own, one) for one in service.moves_of(unit, case.dispute_id)
        ),
        may=_may(outcome, is_creditor) if acts else (),
    )


def octets_of(text: str) -> bytes:
    """Return an id's octets, nothing where it is none."""
    try:
        return from_hex(text)
    except ValueError:
        return b""


def _may(outcome: Outcome, is_creditor: bool) -> tuple[str, ...]:
    return tuple(kind.name.lower() for kind in ACTIONS[outcome.stage][is_creditor])


def _row(
    base: Installation, unit: Connection, own: Address, found: tuple[Id, Id, Id, bool]
) -> DisputeRow:
    dispute, exchange, usage, is_over = found
    moves = disputes(base).moves_of(unit, dispute)
    others = (one.party for one in moves if one.party != own)
    peer = next(others, None) or _peer(base, unit, exchange)
    return DisputeRow(
        dispute=to_hex(dispute),
        exchange=to_hex(exchange),
        usage=to_hex(usage),
        name=_name(base, unit, peer),
        opened_us=moves[0].at_us,
        moved_us=moves[-1].at_us,
        moved=moves[-1].kind.name.lower(),
        is_over=is_over,
    )


def _peer(base: Installation, unit: Connection, exchange: Id) -> Address:
    opened = disputes(base).exchange(unit, exchange)
    assert opened is not None, "a move is of an exchange"
    return opened.terms.other(opened.own)


def _move(base: Installation, unit: Connection, own: Address, move: Move) -> MoveLine:
    return MoveLine(
        at_us=move.at_us,
        kind=move.kind.name.lower(),
        name=_name(base, unit, move.party),
        is_own=move.party == own,
        amount_minor=move.amount_minor,
        digest=to_hex(move.digest) if move.digest else "",
    )


def _said(party: Party, usage: Id) -> tuple[Said | None, Said | None]:
    """Return what our side has of a usage, and what the other has."""
    assert party.statement is not None, "a case is of a statement"
    found = next(one for one in party.statement.disputed if one.usage_id == usage)
    both = (found.first, found.second)
    ours, theirs = both if party.own == party.terms.first else both[::-1]
    return _told(ours), _told(theirs)


def _told(entry: Entry | None) -> Said | None:
    if entry is None:
        return None
    return Said(
        octets=entry.octets_in + entry.octets_out,
        duration_s=entry.duration_s,
        amount_minor=entry.amount_minor,
    )


def _name(base: Installation, unit: Connection, address: Address) -> str:
    found = base.identity.directory.party_at(unit, address)
    return address if found is None else found.name
