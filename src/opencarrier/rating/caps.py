"""A subscriber's spend cap: what its prepaid money may be used for in a month, and when it is told.

The cap bounds what is held before use: spent in the month + held now + the new hold <= cap. What no
hold covered is the home's, so no month ever costs more than its cap. A cap that is lowered
leaves open holds as they are. What is paid voucher by voucher has its own limit, the deposit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from opencarrier.kernel.calendar import month_of
from opencarrier.kernel.money import INT64_MAX, AssetId
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.rating import spent
from opencarrier.rating.tables import caps, notices
from opencarrier.rowsets import Lookup
from opencarrier.spine.notices import Announcer, NoticeKind
from opencarrier.spine.notices import Notice as Announced
from opencarrier.spine.parties import PartyId

TOLD_AT_PERCENT: Final = (80, 100)


class CapReason(Reason):
    """Why a cap is not set."""

    OUT_OF_RANGE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendCap:
    """What a subscriber may spend with its home in a calendar month (UTC), tax included."""

    subscriber: PartyId
    home: PartyId
    asset: AssetId
    cap_minor: int
    changed_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """That a share of a cap was reached in a month, told once for each cap."""

    subscriber: PartyId
    month_us: int
    cap_minor: int
    percent: int
    spent_minor: int
    at_us: int


def put(unit: Connection, cap: SpendCap, *, announcer: Announcer | None = None) -> Refusal | None:
    """Set a cap in the place of the one there was; 0 lets nothing be spent."""
    if not 0 <= cap.cap_minor <= INT64_MAX:
        return Refusal(CapReason.OUT_OF_RANGE, f"0 to {INT64_MAX} minor units")
    row = asdict(cap)
    statement = insert(caps).values(row)
    unit.execute(statement.on_conflict_do_update(index_elements=["subscriber"], set_=row))
    month_us = month_of(cap.changed_us).start_us
    paid_minor = _paid_minor(unit, cap, month_us)
    _tell(unit, cap, paid_minor, month_us, cap.changed_us, announcer)
    return None


def lift(unit: Connection, subscriber: PartyId) -> None:
    """Take a cap away; again changes nothing."""
    unit.execute(delete(caps).where(caps.c.subscriber == subscriber))


def of(unit: Connection, subscribers: Collection[PartyId]) -> dict[PartyId, SpendCap]:
    """Return the caps of those of some subscribers that have one."""
    return {row.subscriber: SpendCap(**row._mapping) for row in _caps(unit, subscribers)}


def room_minor(unit: Connection, cap: SpendCap, *, held_minor: int, at_us: int) -> int:
    """Return what may still be held in the month of an instant, never less than nothing."""
    month_us = month_of(at_us).start_us
    return max(0, cap.cap_minor - _paid_minor(unit, cap, month_us) - held_minor)


def reached(
    unit: Connection, cap: SpendCap, *, at_us: int, announcer: Announcer | None = None
) -> None:
    """Note that a cap stood in the way of use: whoever it is wants to know."""
    month_us = month_of(at_us).start_us
    paid_minor = _paid_minor(unit, cap, month_us)
    _note(unit, cap, [TOLD_AT_PERCENT[-1]], paid_minor, month_us, at_us, announcer)


def told(
    unit: Connection,
    lines: Iterable[spent.Spent],
    *,
    at_us: int,
    announcer: Announcer | None = None,
) -> None:
    """Note whose caps are nearly or wholly used up by what was spent just now."""
    months = {(line.subscriber, line.month_us) for line in lines}
    found = of(unit, {subscriber for subscriber, _ in months})
    for subscriber, month_us in sorted(months):
        cap = found.get(subscriber)
        if cap is not None:
            _tell(unit, cap, _paid_minor(unit, cap, month_us), month_us, at_us, announcer)


def notices_of(unit: Connection, subscriber: PartyId, month_us: int) -> Sequence[Notice]:
    """Return what a subscriber was told of a month, the newest first."""
    mine = (notices.c.subscriber == subscriber) & (notices.c.month_us == month_us)
    query = select(notices).where(mine).order_by(notices.c.at_us.desc(), notices.c.percent.desc())
    return [Notice(**row) for row in unit.execute(query.limit(_NOTICES_MAX)).mappings()]


def _paid_minor(unit: Connection, cap: SpendCap, month_us: int) -> int:
    return spent.paid_minor(
        unit, cap.subscriber, seller=cap.home, asset=cap.asset, month_us=month_us
    )


def _tell(
    unit: Connection,
    cap: SpendCap,
    paid_minor: int,
    month_us: int,
    at_us: int,
    announcer: Announcer | None,
) -> None:
    if paid_minor == 0:
        return
    passed = [one for one in TOLD_AT_PERCENT if paid_minor * 100 >= cap.cap_minor * one]
    _note(unit, cap, passed, paid_minor, month_us, at_us, announcer)


def _note(
    unit: Connection,
    cap: SpendCap,
    passed: Sequence[int],
    paid_minor: int,
    month_us: int,
    at_us: int,
    announcer: Announcer | None,
) -> None:
    for percent in passed:
        made = Notice(
            subscriber=cap.subscriber,
            month_us=month_us,
            cap_minor=cap.cap_minor,
            percent=percent,
            spent_minor=paid_minor,
            at_us=at_us,
        )
        row = insert(notices).values(asdict(made)).on_conflict_do_nothing()
        if unit.execute(row).rowcount and announcer is not None:
            announcer.tell(unit, [_announced(cap, made)])
    if passed:
        _forget_oldest(unit, cap.subscriber, month_us)


def _forget_oldest(unit: Connection, subscriber: PartyId, month_us: int) -> None:
    """Keep a month's newest notices: whoever sets cap after cap is told anew, in bounded room."""
    mine = (notices.c.subscriber == subscriber) & (notices.c.month_us == month_us)
    name = (notices.c.cap_minor, notices.c.percent)
    order = (notices.c.at_us.desc(), notices.c.percent.desc(), notices.c.cap_minor)
    older = unit.execute(select(*name).where(mine).order_by(*order).offset(_NOTICES_MAX)).all()
    for cap_minor, percent in older:
        one = (notices.c.cap_minor == cap_minor) & (notices.c.percent == percent)
        unit.execute(delete(notices).where(mine, one))


def _announced(cap: SpendCap, made: Notice) -> Announced:
    """Return what the subscriber's own machines hear, without an amount."""
    return Announced(
        kind=NoticeKind.SPEND_REACHED,
        parties=frozenset({cap.subscriber}),
        about={
            "percent": made.percent,
            "month_us": made.month_us,
            "cap_since_us": cap.changed_us,
        },
        at_us=made.at_us,
        personal=True,
    )


_NOTICES_MAX: Final = 10
_caps: Final = Lookup(select(caps), caps.c.subscriber)
