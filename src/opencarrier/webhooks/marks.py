"""How far something was told that is told in parts: by a number, within it by a party."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from opencarrier.spine.parties import PartyId
from opencarrier.webhooks.store import marks


class Mark(NamedTuple):
    """Everything before `number` was told; of it, all up to `party`, or all where that is empty."""

    number: int
    party: PartyId = PartyId("")


def read(unit: Connection, name: str) -> Mark | None:
    """Return a mark, None where there is none yet."""
    row = unit.execute(select(marks).where(marks.c.name == name)).one_or_none()
    return None if row is None else Mark(row.number, PartyId(row.party))


def put(unit: Connection, name: str, mark: Mark) -> None:
    """Keep a mark in the place of the former."""
    drop(unit, name)
    unit.execute(insert(marks).values(name=name, number=mark.number, party=mark.party))


def drop(unit: Connection, name: str) -> None:
    """Forget a mark."""
    unit.execute(delete(marks).where(marks.c.name == name))
