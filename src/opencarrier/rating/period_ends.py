"""What deals move when a period is over, in the running daemon: made, kept, booked.

A period is adjusted in the first cycle after its end, and again in any later one in which use of it
was rated: each time the difference, so however late a report comes, all of them sum to what is
owed. Open periods wait; a commitment counts only in the end. What was over stays over, even where
a clock is set back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, and_, or_, select

from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import Id, derive
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.rating import line_uses, store
from opencarrier.rating.adjustment_inputs import decode_inputs
from opencarrier.rating.adjustments import adjust, due_of, inputs_of
from opencarrier.rating.agreements.model import Deal, RoamingAgreement
from opencarrier.rating.holds import chain
from opencarrier.rating.periods import windows_in
from opencarrier.rating.tables import adjustments, deal_periods
from opencarrier.spine.money import Adjustment, Due


@dataclass(frozen=True, slots=True)
class _Period:
    """A deal in one of its windows."""

    agreement: RoamingAgreement
    deal: Deal
    window: Window

    @property
    def key(self) -> tuple[bytes, bytes, int]:
        """What is kept of it is found by."""
        return self.agreement.hash, self.deal.hash, self.window.start_us

    def reads(self, place: int, at_us: int) -> bool:
        """Say whether use of a line, by its place, at an instant is a part of it."""
        line = self.agreement.lines[place].line
        names = (name for item in self.deal.pricings for name in (*item.lines, *item.reverse_lines))
        return self.window.holds(at_us) and line in names


def adjust_periods(unit: Connection, *, cycle_id: Id, at_us: int) -> list[Due]:
    """Adjust the periods that are over and were not yet, or were used since; book what moves.

    Returned are all adjustments of the cycle, in the order of agreements, deals and periods.
    """
    for period in _to_adjust(unit, cycle_id, at_us):
        made = _made(unit, period)
        _close(unit, period)
        if made is not None:
            _keep(unit, made, cycle_id, at_us)
            _book(unit, due_of(period.agreement, made), at_us)
    return adjusted(unit, cycle_id)


def adjusted(unit: Connection, cycle_id: Id | None = None) -> list[Due]:
    """Return what was adjusted, in a cycle or ever, by agreement, deal, period and number."""
    query = select(adjustments.c.adjustment_id).order_by(*_NUMBERED)
    if cycle_id is not None:
        query = query.where(adjustments.c.cycle_id == cycle_id)
    found = (due(unit, Id(key)) for key in unit.execute(query).scalars().all())
    return [item for item in found if item is not None]


def due(unit: Connection, adjustment_id: Id) -> Due | None:
    """Return an adjustment, made again from its inputs alone; None where there is none."""
    query = select(adjustments.c.inputs).where(adjustments.c.adjustment_id == adjustment_id)
    octets = unit.execute(query).scalar_one_or_none()
    if octets is None:
        return None
    made = adjust(decode_inputs(octets))
    assert made is not None, "an adjustment that moves nothing is not kept"
    agreement = store.agreement(unit, made.agreement_hash)
    assert isinstance(agreement, RoamingAgreement), "only roaming agreements have deals"
    return due_of(agreement, made)


def insert_periods(unit: Connection, agreement: RoamingAgreement) -> None:
    """Note when each deal of a new agreement is to be adjusted."""
    rows = [
        {
            **_named(agreement.hash, deal.hash, window.start_us),
            "end_us": window.end_us,
            "is_closed": False,
        }
        for deal in agreement.deals
        for window in windows_in(agreement.periods_us, deal)
    ]
    if rows:
        unit.execute(deal_periods.insert(), rows)


def _to_adjust(unit: Connection, cycle_id: Id, at_us: int) -> Iterator[_Period]:
    used = line_uses.used_in(unit, cycle_id)
    hashes = sorted({agreement_hash for agreement_hash, _, _ in used})
    columns = deal_periods.c
    over = and_(columns.is_closed.is_(False), columns.end_us <= at_us)
    late = and_(columns.is_closed, columns.agreement_hash.in_(hashes))
    query = select(deal_periods).where(or_(over, late))
    for row in unit.execute(query.order_by(*_ORDER)).all():
        agreement = store.agreement(unit, row.agreement_hash)
        assert isinstance(agreement, RoamingAgreement), "only roaming agreements have deals"
        deal = next(item for item in agreement.deals if item.hash == row.deal_hash)
        period = _Period(agreement, deal, Window(row.start_us, row.end_us))
        mine = ((at, when) for key, at, when in used if key == row.agreement_hash)
        if not row.is_closed or any(period.reads(*one) for one in mine):
            yield period


def _made(unit: Connection, period: _Period) -> Adjustment | None:
    agreement, deal, window = period.agreement, period.deal, period.window
    sums = line_uses.sums(unit, agreement, deal, window)
    earlier = tuple(_earlier(unit, period))
    return adjust(inputs_of(agreement, deal, window, sums, earlier=earlier, is_final=True))


def _earlier(unit: Connection, period: _Period) -> Iterator[Adjustment]:
    named = _named(*period.key)
    mine = (adjustments.c[name] == value for name, value in named.items())
    query = select(adjustments.c.inputs).where(*mine).order_by(adjustments.c.number)
    for octets in unit.execute(query).scalars():
        made = adjust(decode_inputs(octets))
        assert made is not None, "an adjustment that moves nothing is not kept"
        yield made


def _close(unit: Connection, period: _Period) -> None:
    mine = (deal_periods.c[name] == value for name, value in _named(*period.key).items())
    unit.execute(deal_periods.update().where(*mine).values(is_closed=True))


def _keep(unit: Connection, made: Adjustment, cycle_id: Id, at_us: int) -> None:
    row = {
        **_named(made.agreement_hash, made.deal_hash, made.start_us),
        "number": made.number,
        "adjustment_id": made.adjustment_id,
        "cycle_id": cycle_id,
        "inputs": made.inputs,
        "made_us": at_us,
    }
    unit.execute(adjustments.insert(), row)


def _book(unit: Connection, item: Due, at_us: int) -> None:
    """Book each leg from the payer's accrual, or back to it; what one owes oneself is no leg."""
    transfers = list(_transfers(item))
    if not transfers:
        return
    names = {name for one in transfers for name in (one.debit, one.credit)}
    ledger.ensure(unit, item.adjustment.asset, names)
    outcomes = ledger.apply(unit, chain(transfers), at_us)
    assert set(outcomes) == {None}, f"an adjustment is refused: {outcomes}"


def _transfers(item: Due) -> Iterator[Transfer]:
    made = item.adjustment
    payer = chart.clearing(made.payer)
    for leg in item.allocations:
        if leg.account == payer:
            continue
        debit, credit = (payer, leg.account) if leg.amount_minor > 0 else (leg.account, payer)
        yield Transfer(
            transfer_id=derive("transfer", made.adjustment_id, int(leg.role), leg.party),
            asset=made.asset,
            debit=debit,
            credit=credit,
            amount_minor=abs(leg.amount_minor),
            code=f"adjustment-{leg.role.name.lower()}",
            reference=made.adjustment_id,
        )


def _named(agreement_hash: bytes, deal_hash: bytes, start_us: int) -> dict[str, bytes | int]:
    return {"agreement_hash": agreement_hash, "deal_hash": deal_hash, "start_us": start_us}


_ORDER = (deal_periods.c.agreement_hash, deal_periods.c.deal_hash, deal_periods.c.start_us)
_NUMBERED = (
    adjustments.c.agreement_hash,
    adjustments.c.deal_hash,
    adjustments.c.start_us,
    adjustments.c.number,
)
