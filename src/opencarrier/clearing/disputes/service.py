"""Disputes that are kept: signed moves of both sides, what is held for them, what they come to.

Held is what our own side may lose: the opener's bond, the debtor's difference. Holds are pending
debits of its collateral, so they bear no new credit while the dispute lasts. They are released
when it is settled: the outcome is paid as entries of the next exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    insert,
    select,
)

from opencarrier.clearing.disputes import wire
from opencarrier.clearing.disputes.live import LiveDisputes
from opencarrier.clearing.disputes.rules import (
    Case,
    Move,
    MoveKind,
    Outcome,
    Stage,
    corrections,
    judge,
)
from opencarrier.clearing.exchange.model import Entry
from opencarrier.clearing.exchange.party import Party
from opencarrier.clearing.exchange.service import ExchangeRefusal, ExchangeService
from opencarrier.clearing.exchange.statement import Difference
from opencarrier.clearing.exchange.store import Opened, find
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive, to_hex
from opencarrier.kernel.refusals import PeerError, Reason, Refusal
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer, TransferFlags
from opencarrier.spine.notices import Announcer, Notice, NoticeKind
from opencarrier.spine.parties import PartyId
from opencarrier.spine.ports import Notary

LATE_US = 3_600 * SECOND_US
"""A move is taken within an hour of when it says it was made, and never beyond a deadline."""

MOVES_MAX = 256

metadata = MetaData()

moves = Table(
    "clearing_dispute_move",
    metadata,
    Column("dispute_id", LargeBinary(32), primary_key=True),
    Column("move_id", LargeBinary(32), primary_key=True),
    Column("exchange_id", LargeBinary(32), nullable=False),
    Column("usage_id", LargeBinary(32), nullable=False, index=True),
    Column("own", String(42), nullable=False),
    Column("octets", LargeBinary, nullable=False),
    Index("ix_clearing_dispute_move_own_dispute_id", "own", "dispute_id"),
)
"""`own` is the address of ours whose exchange it is of, so that one operator's are found by it."""


ends = Table(
    "clearing_dispute_end",
    metadata,
    Column("dispute_id", LargeBinary(32), primary_key=True),
)
"""Disputes whose outcome was acted on."""


class DisputeRefusal(Reason):
    """Why a move is not made or taken; of several, the first is given."""

    NOT_CO_SIGNED = 1
    NOT_DISPUTED = 2
    NOT_YOURS_TO_MOVE = 3
    WRONG_STAGE = 4
    TOO_MUCH = 5
    TOO_MANY_MOVES = 6
    SHORT_OF_COLLATERAL = 7
    AGREED_SINCE = 8


class DisputeService:
    """The disputes of this installation's operators, over the statements of its exchanges."""

    def __init__(
        self,
        notary: Notary,
        exchanges: ExchangeService,
        live: LiveDisputes,
        announcer: Announcer | None = None,
    ) -> None:
        self._notary, self._exchanges, self._live = notary, exchanges, live
        self._announcer = announcer

    def going_on(self, unit: Connection) -> list[tuple[Id, Id]]:
        """Return the exchange and usage of each dispute whose outcome was not acted on."""
        query = (
            select(moves.c.exchange_id, moves.c.usage_id)
            .outerjoin(ends, ends.c.dispute_id == moves.c.dispute_id)
            .where(ends.c.dispute_id.is_(None))
            .distinct()
            .order_by(moves.c.exchange_id, moves.c.usage_id)
        )
        return [(Id(exchange), Id(usage)) for exchange, usage in unit.execute(query)]

    def opened(
        self, unit: Connection, own: Address, *, after: bytes, limit: int
    ) -> list[tuple[Id, Id, Id, bool]]:
        """Return the disputes of one of our operators, by id after one: dispute, exchange, usage.

        The last of each says whether its outcome was acted on.
        """
        return [
            (Id(dispute), Id(exchange), Id(usage), end is not None)
            for dispute, exchange, usage, end in unit.execute(
                opened_query(own, after=after, limit=limit)
            )
        ]

    def exchange(self, unit: Connection, identifier: Id) -> Opened | None:
        """Return the exchange a dispute is of, as it was opened here."""
        return find(unit, identifier)

    def moves_of(self, unit: Connection, dispute: Id) -> list[Move]:
        """Return what both sides did in a dispute, in its order; there are `MOVES_MAX` at most."""
        return sorted(_moves(unit, dispute))

    def own_moves(self, unit: Connection, place: tuple[Party, Case]) -> list[tuple[Move, bytes]]:
        """Return our side's moves, as they are sent."""
        found = ((wire.unseal(octets)[2], octets) for octets in _stored(unit, place[1].dispute_id))
        return [(move, octets) for move, octets in found if move.party == place[0].own]

    def case(self, unit: Connection, exchange: Id, usage: Id) -> tuple[Party, Case] | Refusal:
        """Return what a co-signed statement leaves disputed of a usage."""
        party = self._exchanges.find(unit, exchange)
        if isinstance(party, Refusal):
            return party
        if not party.complete or party.statement is None:
            return Refusal(DisputeRefusal.NOT_CO_SIGNED, exchange.hex())
        for difference in party.statement.disputed:
            if difference.usage_id == usage:
                return party, _case(party, difference)
        return Refusal(DisputeRefusal.NOT_DISPUTED, usage.hex())

    def is_open(self, unit: Connection, usages: Sequence[Id], *, now_us: int) -> bool:
        """Say whether any dispute that was opened over some usages is not settled."""
        query = select(moves.c.exchange_id, moves.c.usage_id).distinct()
        for row in unit.execute(query.where(moves.c.usage_id.in_(usages))):
            place = self.case(unit, Id(row.exchange_id), Id(row.usage_id))
            assert not isinstance(place, Refusal), "a move was taken in a case"
            if self.outcome(unit, place[1], now_us=now_us).stage is not Stage.SETTLED:
                return True
        return False

    def outcome(self, unit: Connection, case: Case, *, now_us: int) -> Outcome:
        """Return where a dispute stands."""
        return judge(case, _moves(unit, case.dispute_id), now_us=now_us)

    def move(
        self,
        unit: Connection,
        place: tuple[Party, Case],
        kind: MoveKind,
        *,
        member: PartyId,
        now_us: int,
        amount_minor: int = 0,
        digest: bytes = b"",
    ) -> bytes | Refusal:
        """Make our side's move and return it signed, for the other side to take.

        `member` is our operator, whose collateral is held. One made before is returned again.
        """
        party, case = place
        for octets in _stored(unit, case.dispute_id):
            known = wire.unseal(octets)[2]
            if (known.party, known.kind, known.amount_minor, known.digest) == (
                party.own,
                kind,
                amount_minor,
                digest,
            ):
                return octets
        made = Move(
            at_us=now_us, kind=kind, party=party.own, amount_minor=amount_minor, digest=digest
        )

        def sign(digest_: bytes) -> Signature:
            signature = self._notary.sign(unit, party.own, digest_)
            if signature is None:
                raise PeerError("no_key", f"{party.own} cannot sign now")
            return signature

        octets = wire.seal(case.exchange_id, case.usage_id, made, sign)
        refusal = self._take(unit, place, made, octets, member=member, now_us=now_us)
        return octets if refusal is None else refusal

    def take(
        self,
        unit: Connection,
        octets: bytes,
        *,
        member: Callable[[Address], PartyId | None],
        now_us: int,
    ) -> Refusal | None:
        """Take the other side's move; one taken before changes nothing.

        `PeerError` for a move of another time. To whoever is not the other side an exchange is as
        one that is not there. `member` names our operator by its address.
        """
        exchange, usage, move = wire.unseal(octets)
        opened = self.exchange(unit, exchange)
        if opened is None or move.party != opened.peer:
            return Refusal(ExchangeRefusal.UNKNOWN_EXCHANGE, exchange.hex())
        place = self.case(unit, exchange, usage)
        if isinstance(place, Refusal):
            return place
        party, case = place
        if move in _moves(unit, case.dispute_id):
            return None
        if abs(move.at_us - now_us) > LATE_US:
            raise PeerError("not_now", "a move says when it is made")
        ours = member(party.own)
        assert ours is not None, "an exchange is opened as an operator of ours"
        return self._take(unit, place, move, octets, member=ours, now_us=now_us)

    def settle(
        self, unit: Connection, place: tuple[Party, Case], *, now_us: int
    ) -> tuple[Entry, ...] | Refusal:
        """Release what was held for a settled dispute; return the next exchange's entries.

        In the live cycle they are corrections already, once.
        """
        party, case = place
        outcome = self.outcome(unit, case, now_us=now_us)
        if outcome.stage is not Stage.SETTLED:
            return Refusal(DisputeRefusal.WRONG_STAGE, outcome.stage.name.lower())
        known = ledger.hold(unit, _hold_id(case))
        if known is not None:
            released = known.booked.transfer
            void = Transfer(
                transfer_id=derive("dispute/release", case.dispute_id),
                asset=party.terms.asset,
                debit=released.debit,
                credit=released.credit,
                amount_minor=0,
                code="dispute-release",
                flags=TransferFlags.VOID_PENDING,
                hold_id=released.transfer_id,
                reference=case.dispute_id,
            )
            (refused,) = ledger.apply(unit, [void], now_us)
            assert refused is None, refused
        if unit.execute(select(ends).where(ends.c.dispute_id == case.dispute_id)).first() is None:
            unit.execute(insert(ends), [{"dispute_id": case.dispute_id}])
            self._live.settled(unit, party, case, outcome, now_us=now_us)
        return corrections(case, outcome)

    def _take(
        self,
        unit: Connection,
        place: tuple[Party, Case],
        move: Move,
        octets: bytes,
        *,
        member: PartyId,
        now_us: int,
    ) -> Refusal | None:
        party, case = place
        known = _moves(unit, case.dispute_id)
        refusal = _objection(case, move, judge(case, known, now_us=now_us), len(known))
        if refusal is None and move.kind is MoveKind.OPEN:
            refusal = self._begin(unit, party, case, member, now_us)
        if refusal is None:
            row = {
                "dispute_id": case.dispute_id,
                "move_id": derive("dispute/octets", octets),
                "exchange_id": case.exchange_id,
                "usage_id": case.usage_id,
                "own": party.own,
                "octets": octets,
            }
            unit.execute(insert(moves), [row])
            self._announce(unit, case, move, member, now_us)
        return refusal

    def _announce(
        self, unit: Connection, case: Case, move: Move, member: PartyId, now_us: int
    ) -> None:
        """Let our operator's machines know of a move, whoever made it."""
        is_new = move.kind is MoveKind.OPEN
        notice = Notice(
            kind=NoticeKind.DISPUTE_OPENED if is_new else NoticeKind.DISPUTE_ANSWERED,
            parties=frozenset({member}),
            about={
                "dispute_id": to_hex(case.dispute_id),
                "exchange_id": to_hex(case.exchange_id),
                "usage_id": to_hex(case.usage_id),
                "move": move.kind.name.lower(),
                "moved_us": move.at_us,
            },
            at_us=now_us,
        )
        if self._announcer is not None:
            self._announcer.tell(unit, [notice])

    def _begin(
        self, unit: Connection, party: Party, case: Case, member: PartyId, now_us: int
    ) -> Refusal | None:
        if self._live.is_settled_since(unit, party, case):
            return Refusal(DisputeRefusal.AGREED_SINCE, case.usage_id.hex())
        refusal = self._hold(unit, party, case, member, now_us)
        if refusal is None:
            self._live.opened(unit, party, case)
        return refusal

    def _hold(
        self, unit: Connection, party: Party, case: Case, member: PartyId, now_us: int
    ) -> Refusal | None:
        """Hold what our side may lose. A debtor that is short is disputed with all the same."""
        ours = party.own == case.creditor
        names = (chart.collateral(member), chart.escrow(member))
        ledger.ensure(unit, party.terms.asset, names)
        hold = Transfer(
            transfer_id=_hold_id(case),
            asset=party.terms.asset,
            debit=names[0],
            credit=names[1],
            amount_minor=case.bond_minor if ours else case.disputed_minor,
            code="dispute-bond" if ours else "dispute-escrow",
            flags=TransferFlags.PENDING,
            reference=case.dispute_id,
        )
        (refused,) = ledger.apply(unit, [hold], now_us)
        if refused is not None and ours:
            return Refusal(DisputeRefusal.SHORT_OF_COLLATERAL, str(refused))
        return None


def opened_query(own: Address, *, after: bytes, limit: int) -> Select[Any]:
    """Return the query for the disputes of an address of ours, each once, by id."""
    return (
        select(moves.c.dispute_id, moves.c.exchange_id, moves.c.usage_id, ends.c.dispute_id)
        .outerjoin(ends, ends.c.dispute_id == moves.c.dispute_id)
        .where(moves.c.own == own, moves.c.dispute_id > after)
        .distinct()
        .order_by(moves.c.dispute_id)
        .limit(limit)
    )


def _objection(case: Case, move: Move, outcome: Outcome, count: int) -> Refusal | None:
    mover = {MoveKind.OPEN: case.creditor}
    mover |= dict.fromkeys((MoveKind.ACCEPT, MoveKind.CONTEST), case.debtor)
    if mover.get(move.kind, move.party) != move.party:
        return Refusal(DisputeRefusal.NOT_YOURS_TO_MOVE, move.kind.name.lower())
    if outcome.stage not in _STAGES[move.kind]:
        return Refusal(DisputeRefusal.WRONG_STAGE, outcome.stage.name.lower())
    if move.amount_minor > case.disputed_minor:
        return Refusal(DisputeRefusal.TOO_MUCH, str(case.disputed_minor))
    if count >= MOVES_MAX:
        return Refusal(DisputeRefusal.TOO_MANY_MOVES, str(MOVES_MAX))
    return None


_STAGES: Mapping[MoveKind, tuple[Stage, ...]] = {
    MoveKind.OPEN: (Stage.UNOPENED,),
    MoveKind.EVIDENCE: (Stage.OPEN, Stage.CONTESTED),
    MoveKind.ACCEPT: (Stage.OPEN,),
    MoveKind.CONTEST: (Stage.OPEN,),
    MoveKind.AGREE: (Stage.OPEN, Stage.CONTESTED),
}


def _case(party: Party, difference: Difference) -> Case:
    terms = party.terms
    assert difference.agreed is not None, "what is disputed both have"
    debtor: Address = difference.agreed.debtor
    return Case(
        exchange_id=terms.exchange_id,
        usage_id=difference.usage_id,
        creditor=terms.other(debtor),
        debtor=debtor,
        disputed_minor=difference.disputed_minor,
        cause=difference.cause,
    )


def _hold_id(case: Case) -> Id:
    return derive("dispute/hold", case.dispute_id)


def _moves(unit: Connection, dispute: Id) -> list[Move]:
    return [wire.unseal(octets)[2] for octets in _stored(unit, dispute)]


def _stored(unit: Connection, dispute: Id) -> list[bytes]:
    query = select(moves.c.octets).where(moves.c.dispute_id == dispute)
    return [octets for (octets,) in unit.execute(query.order_by(moves.c.move_id))]
