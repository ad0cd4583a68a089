"""How many rows the room keeps, counted on by who has the writer's turn: a cut or an erasure.

Who appends counts nothing, so many append beside each other and wait for no common row. What came
after the last cut is counted when somebody asks.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from opencarrier.usage.tables import SESSIONS, TALLIES

COUNTED = ("sessions", "sessions_open", "taken", "usages", "cuts")
"""What is counted; of observations, those that a cut has taken."""

OPEN = SESSIONS.c.closed_by == ""


def count(unit: Connection, **more: int) -> None:
    """Count on, or down where less is kept now."""
    for what, number in more.items():
        if not number:
            continue
        counted = update(TALLIES).where(TALLIES.c.what == what)
        if not unit.execute(counted.values(number=TALLIES.c.number + number)).rowcount:
            unit.execute(insert(TALLIES).values(what=what, number=number))


def kept(unit: Connection) -> dict[str, int]:
    """Return every tally, zero where there never was anything."""
    found = {row.what: int(row.number) for row in unit.execute(select(TALLIES))}
    return dict.fromkeys(COUNTED, 0) | found


def forget(unit: Connection, condition: ColumnElement[bool]) -> None:
    """Count down the sessions that meet a condition, which are deleted next."""
    counted = select(func.count(), func.count().filter(OPEN)).select_from(SESSIONS)
    sessions, sessions_open = unit.execute(counted.where(condition)).one()
    count(unit, sessions=-int(sessions), sessions_open=-int(sessions_open))
