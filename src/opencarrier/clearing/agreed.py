"""What a co-signed statement does to our positions: accepted, held, or corrected.

What both agree on is accepted: it is due at once. Where they agree on another amount for a
session, its waiting records are replaced by a correction of that amount, with onward legs in
proportion, so no host is owed more than came in. What is paid already stays, and its correction
offsets what comes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import chain
from typing import TypeAlias

from sqlalchemy import Connection

from opencarrier.clearing import corrections, rules, store, tree
from opencarrier.clearing.corrections import Correction, PlacedRecord
from opencarrier.clearing.exchange import told
from opencarrier.clearing.exchange.statement import Standing
from opencarrier.clearing.exchange.told import Session
from opencarrier.clearing.model import NO_JURISDICTION, Leaf
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.signatures import Signature
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.spine import ids
from opencarrier.spine.money import Allocation, Charge, Position
from opencarrier.spine.parties import PartyId
from opencarrier.spine.ports import Directory, Members, Notary, Rater
from opencarrier.spine.usage import Rung

_UNASKED = (Standing.UNCLAIMED, Standing.DEBTOR_DIFFERS)


class Mark(Enum):
    """What is decided about a record that waits."""

    ACCEPT = 1
    HOLD = 2
    REPLACE = 3


Extra: TypeAlias = tuple[Session, int]
"""A session, and what is owed for it beside its records; below zero by its creditor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What is asked of other rooms."""

    rater: Rater
    directory: Directory
    members: Members
    notary: Notary


def division(agreed_minor: int, under_way_minor: int, waiting_minor: int) -> tuple[bool, int]:
    """Say whether waiting records stand as they are, and what is owed beside them.

    Agreed is all that was ever agreed of a session, under way what is paid or due already.
    """
    due_minor = agreed_minor - under_way_minor
    whole = due_minor >= waiting_minor
    return whole, due_minor - waiting_minor if whole else due_minor


def in_proportion(
    legs: Iterable[Allocation], part_minor: int, whole_minor: int
) -> tuple[Allocation, ...]:
    """Return onward legs for a part of what they are legs of, each rounded down."""
    scaled = (
        replace(leg, amount_minor=leg.amount_minor * part_minor // whole_minor) for leg in legs
    )
    return tuple(leg for leg in scaled if leg.amount_minor)


class AgreedDesk:
    """Acts on statements, each once, in the unit that completes it."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def apply(
        self,
        unit: Connection,
        sessions: Sequence[tuple[Session, Standing | None]],
        *,
        by: Id,
        at_us: int,
    ) -> None:
        """Accept, hold and correct as a statement says of sessions; `by` names it."""
        act = _Act(self._ports, unit, by, at_us)
        extras = [(session, act.judge(session, standing)) for session, standing in sessions]
        act.place()
        act.correct([(session, amount) for session, amount in extras if amount])

    def award(self, unit: Connection, extra: Extra, *, by: Id, at_us: int) -> None:
        """Correct a session by what a dispute decided; `by` names it."""
        act = _Act(self._ports, unit, by, at_us)
        act.note(extra[0])
        act.correct([extra])


@dataclass(slots=True)
class _Act:
    """One statement's consequences, within one unit."""

    ports: Ports
    unit: Connection
    by: Id
    at_us: int
    records: dict[Id, list[PlacedRecord]] = field(default_factory=dict)
    marks: dict[Id, Mark] = field(default_factory=dict)
    charges: dict[Id, Charge] = field(default_factory=dict)

    def note(self, session: Session) -> list[PlacedRecord]:
        """Look a session's records up."""
        usages = told.usages_of(self.unit, session.entry_id)
        found = list(corrections.records_of(self.unit, usages))
        self.records[session.entry_id] = found
        return found

    def judge(self, session: Session, standing: Standing | None) -> int:
        """Mark a session's waiting records; return what is owed beside them.

        What nobody claims is held as long as it is told, and then stands for nothing.
        """
        placed = self.note(session)
        waiting = [record for record in placed if record.is_fresh]
        if standing is Standing.ONE_SIDED:
            return 0
        if standing in _UNASKED:
            self._mark(waiting, Mark.HOLD if session.is_open else Mark.REPLACE)
            return 0
        under_way = self._minor(record for record in placed if record.is_under_way)
        under_way += corrections.corrected_minor(self.unit, session.entry_id)
        whole, extra = division(session.agreed_minor, under_way, self._minor(waiting))
        self._mark(waiting, Mark.ACCEPT if whole else Mark.REPLACE)
        return extra

    def place(self) -> None:
        """Put marked records into positions of their own where not all of a position is alike."""
        marked = {
            record.position_id
            for records in self.records.values()
            for record in records
            if record.leaf.usage_id in self.marks
        }
        for position_id in sorted(marked):
            self._place(position_id)

    def correct(self, extras: Sequence[Extra]) -> None:
        """Make positions of what is owed beside records, one for each debtor and creditor."""
        groups: defaultdict[tuple[PartyId, PartyId], list[Extra]] = defaultdict(list)
        for session, amount in extras:
            pair = (session.debtor, session.creditor)
            groups[pair if amount > 0 else pair[::-1]].append((session, amount))
        for (debtor, creditor), group in sorted(groups.items()):
            self._correct(debtor, creditor, group)

    def _mark(self, records: Iterable[PlacedRecord], mark: Mark) -> None:
        self.marks |= {record.leaf.usage_id: mark for record in records}

    def _place(self, position_id: Id) -> None:
        groups: defaultdict[Mark | None, list[Leaf]] = defaultdict(list)
        for leaf in store.leaves_of(self.unit, position_id):
            groups[self.marks.get(leaf.usage_id)].append(leaf)
        if len(groups) == 1 and Mark.REPLACE not in groups:
            self._decide(position_id, *groups)
            return
        found = store.position(self.unit, position_id)
        assert found is not None, "a record is in a position"
        corrections.replace(self.unit, position_id)
        self._take_back(groups.pop(Mark.REPLACE, []))
        for mark, leaves in groups.items():
            self._redraft(found.position, leaves, mark)

    def _decide(self, position_id: Id, mark: Mark | None) -> None:
        if mark is Mark.ACCEPT:
            corrections.accept(self.unit, position_id, self.by)
        elif mark is Mark.HOLD:
            corrections.hold(self.unit, position_id)

    def _redraft(self, position: Position, leaves: Sequence[Leaf], mark: Mark | None) -> None:
        """Make a position of some of another's records; they keep their leaves."""
        ordered = [replace(leaf, index=index) for index, leaf in enumerate(leaves)]
        charges = [self._charge(leaf.usage_id) for leaf in ordered]
        amount = sum(charge.amount_minor for charge in charges)
        if not amount:
            return
        root = tree.pair_root([leaf.leaf_hash for leaf in ordered])
        made = _identified(
            replace(
                position,
                pair_root=root,
                records=len(ordered),
                amount_minor=amount,
                legs=rules.onward_legs(charges),
            )
        )
        cut_us = store.cut_us(self.unit, position.position_id)
        store.add_position(self.unit, made, cut_us=cut_us, signed=self._claim(made))
        corrections.move(self.unit, made.position_id, ordered)
        self._decide(made.position_id, mark)

    def _correct(self, debtor: PartyId, creditor: PartyId, group: Sequence[Extra]) -> None:
        given = sorted(
            (Correction(reference=self.by, entry_id=session.entry_id, amount_minor=amount)
             for session, amount in group),
            key=lambda item: item.correction_id,
        )  # fmt: skip
        newest = max(
            (record for session, _ in group for record in self.records[session.entry_id]),
            key=lambda record: (store.cut_us(self.unit, record.position_id), record.position_id),
        )
        model = store.position(self.unit, newest.position_id)
        assert model is not None, "a record is in a position"
        position = _identified(
            replace(
                model.position,
                debtor=debtor,
                creditor=creditor,
                jurisdiction=self._jurisdiction(creditor),
                rung=Rung.ONE_SIDED,
                pair_root=tree.pair_root([item.leaf_hash for item in given]),
                records=len(given),
                amount_minor=sum(abs(amount) for _, amount in group),
                legs=_summed(leg for extra in group for leg in self._legs(extra)),
            )
        )
        cut_us = store.cut_us(self.unit, newest.position_id)
        corrections.add(self.unit, position, given, cut_us=cut_us, by=self.by)
        self._book(_owed(position))

    def _legs(self, extra: Extra) -> tuple[Allocation, ...]:
        """Return the onward legs of a correction: a refund has none, its creditor bears it."""
        session, amount = extra
        if amount < 0:
            return ()
        charges = [self._charge(record.leaf.usage_id) for record in self.records[session.entry_id]]
        whole = sum(charge.amount_minor for charge in charges)
        return in_proportion(rules.onward_legs(charges), amount, whole)

    def _take_back(self, leaves: Sequence[Leaf]) -> None:
        """Undo the accrual of records that a correction stands for."""
        charges = [self._charge(leaf.usage_id) for leaf in leaves]
        self._book(chain.from_iterable(_undone(charge, self.by) for charge in charges))

    def _book(self, transfers: Iterable[Transfer]) -> None:
        """Book transfers, all in the asset of the pair's agreement."""
        for batch in ledger.in_batches(transfers):
            names = {name for item in batch for name in (item.debit, item.credit)}
            ledger.ensure(self.unit, batch[0].asset, names)
            refused = [item for item in ledger.apply(self.unit, batch, self.at_us) if item]
            assert not refused, f"the ledger refuses a correction: {refused[0]}"

    def _minor(self, records: Iterable[PlacedRecord]) -> int:
        return sum(self._charge(record.leaf.usage_id).amount_minor for record in records)

    def _charge(self, usage_id: Id) -> Charge:
        if usage_id not in self.charges:
            rated = self.ports.rater.rated(self.unit, usage_id)
            assert rated is not None, "a record was rated"
            self.charges[usage_id] = rated.wholesale
        return self.charges[usage_id]

    def _claim(self, position: Position) -> Mapping[PartyId, Signature]:
        """Sign as its creditor where its key is here."""
        address = self.ports.members.members(self.unit).get(position.creditor)
        if address is None:
            return {}
        digest = rules.statement_digest(position.position_id)
        signature = self.ports.notary.sign(self.unit, address, digest)
        return {} if signature is None else {position.creditor: signature}

    def _jurisdiction(self, party: PartyId) -> str:
        operator = self.ports.directory.operator(self.unit, party)
        return NO_JURISDICTION if operator is None else operator.jurisdiction


def _identified(position: Position) -> Position:
    """Return a position with the id that its content makes."""
    identifier = ids.position_id(
        position.cycle_id,
        position.debtor,
        position.creditor,
        position.asset,
        rung=position.rung,
        pair_root=position.pair_root,
        amount_minor=position.amount_minor,
    )
    return replace(position, position_id=identifier)


def _summed(legs: Iterable[Allocation]) -> tuple[Allocation, ...]:
    sums: defaultdict[Allocation, int] = defaultdict(int)
    for leg in legs:
        sums[replace(leg, amount_minor=0)] += leg.amount_minor
    return tuple(replace(leg, amount_minor=amount) for leg, amount in sorted(sums.items()))


def _owed(position: Position) -> Iterator[Transfer]:
    """Accrue a correction: its creditor's part, and the legs."""
    onward = sum(leg.amount_minor for leg in position.legs)
    credits_ = [(chart.clearing(position.creditor), position.amount_minor - onward)]
    credits_ += [(leg.account, leg.amount_minor) for leg in position.legs]
    for number, (account, amount) in enumerate(credits_):
        if amount and account != chart.clearing(position.debtor):
            yield Transfer(
                transfer_id=derive("transfer/correction", position.position_id, number),
                asset=position.asset,
                debit=chart.clearing(position.debtor),
                credit=account,
                amount_minor=amount,
                code="wholesale-correction",
                reference=position.position_id,
            )


def _undone(charge: Charge, by: Id) -> Iterator[Transfer]:
    """Book a charge's legs back from whom they were owed to."""
    payer = chart.clearing(charge.payer)
    for leg in charge.allocations:
        if leg.amount_minor and leg.account != payer:
            yield Transfer(
                transfer_id=derive(
                    "transfer/replaced", charge.charge_id, by, int(leg.role), leg.party
                ),
                asset=charge.asset,
                debit=leg.account,
                credit=payer,
                amount_minor=leg.amount_minor,
                code="wholesale-replaced",
                reference=charge.charge_id,
            )
