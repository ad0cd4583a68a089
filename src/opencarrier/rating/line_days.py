"""What each line of an agreement carried by day, kept as charges are made.

So a month's traffic is some rows however many records it has, and another tariff can be tried on it
at once. What was rated before this was kept is in none of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from opencarrier import rowsets
from opencarrier.rating.periods import Legs
from opencarrier.rating.rules.versions import WholesaleInputs
from opencarrier.rating.tables import LINE_SUMS, line_days
from opencarrier.rating.traffic import NOTHING, LineDay, Traffic, by_line, kept
from opencarrier.spine.usage import Usage

_COUNTS: Final = ("uses", "sessions")
_KEYS: Final = LineDay.__slots__


def add(unit: Connection, items: Iterable[tuple[Usage, WholesaleInputs]]) -> None:
    """Add what records came to; the database adds, so whoever rates at once loses nothing."""
    found = [one for usage, inputs in items if (one := kept(usage, inputs)) is not None]
    rows = [_row(line, traffic) for line, traffic in sorted(by_line(found).items())]
    if rows:
        unit.execute(_ADD, rows)


def carried(
    unit: Connection, agreement_hash: bytes, *, first_day: int, end_day: int
) -> dict[tuple[int, bool], Traffic]:
    """Return what an agreement's lines carried on some days, by place and whether it was quoted."""
    columns = line_days.c
    sums = [func.sum(columns[name]).label(name) for name in (*_COUNTS, *_halves())]
    query = (
        select(columns.place, columns.is_quoted, *sums)
        .where(columns.agreement_hash == agreement_hash)
        .where(columns.day >= first_day, columns.day < end_day)
        .group_by(columns.place, columns.is_quoted)
    )
    found: defaultdict[tuple[int, bool], Traffic] = defaultdict(lambda: NOTHING)
    for row in unit.execute(query).mappings():
        found[row["place"], bool(row["is_quoted"])] = _traffic(row)
    return found


def days(unit: Connection, agreement_hash: bytes) -> tuple[int, int] | None:
    """Return the first and the last day that anything is kept of an agreement."""
    columns = line_days.c
    query = select(func.min(columns.day), func.max(columns.day))
    first, last = unit.execute(query.where(columns.agreement_hash == agreement_hash)).one()
    return None if first is None else (int(first), int(last))


def _halves() -> list[str]:
    return [half for name in LINE_SUMS for half in rowsets.halves(name)]


def _row(line: LineDay, traffic: Traffic) -> dict[str, Any]:
    legs = traffic.legs
    whole = {"steps": traffic.steps, "amount": traffic.amount}
    whole |= {name: getattr(legs, name) for name in legs.__slots__}
    halves: dict[str, int] = {}
    for name, value in whole.items():
        halves |= rowsets.split(name, value)
    named = {name: getattr(line, name) for name in _KEYS}
    return {**named, "uses": traffic.uses, "sessions": traffic.sessions, **halves}


def _traffic(row: Any) -> Traffic:
    whole = {name: rowsets.whole(row, name) for name in LINE_SUMS}
    return Traffic(
        uses=int(row["uses"]),
        sessions=int(row["sessions"]),
        steps=whole.pop("steps"),
        amount=whole.pop("amount"),
        legs=Legs(**whole),
    )


_NEW: Final = insert(line_days)
_ADD: Final = _NEW.on_conflict_do_update(
    index_elements=list(_KEYS),
    set_={name: line_days.c[name] + _NEW.excluded[name] for name in (*_COUNTS, *_halves())},
)
