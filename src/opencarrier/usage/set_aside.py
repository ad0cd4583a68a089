"""What became no observation: copies of one that was kept, and records that were refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from opencarrier.kernel.ids import Id
from opencarrier.spine.parties import Node
from opencarrier.usage.tables import COPIES, OBSERVATIONS, REFUSALS

COPIES_MAX: Final = 8
"""Sources of copies kept for one observation: who sends it again and again fills nothing."""

_CHUNK: Final = 500


class RefusedAt(NamedTuple):
    """A record of a file that was not taken: where it starts, and why."""

    offset: int
    reason: str


def note_copies(unit: Connection, arrived: Sequence[tuple[bytes, str]]) -> None:
    """Keep where observations that were known came from again, by id and source.

    The source that was kept with the observation is no copy, however often it is read.
    """
    rows = []
    for start in range(0, len(arrived), _CHUNK):
        rows += _copies(unit, arrived[start : start + _CHUNK])
    if rows:
        unit.execute(insert(COPIES).on_conflict_do_nothing(), rows)


def _copies(unit: Connection, arrived: Sequence[tuple[bytes, str]]) -> list[dict[str, object]]:
    wanted = {key for key, _ in arrived}
    kept = _kept_sources(unit, wanted)
    count = Counter(_counts(unit, wanted))
    rows: list[dict[str, object]] = []
    for key, source in arrived:
        if source != kept[key] and count[key] < COPIES_MAX:
            count[key] += 1
            rows.append({"observation_id": key, "source": source})
    return rows


def _kept_sources(unit: Connection, wanted: Iterable[bytes]) -> dict[bytes, str]:
    """Return where what is kept came from, and keep its copies from others until the unit ends."""
    query = (
        select(OBSERVATIONS.c.observation_id, OBSERVATIONS.c.source)
        .where(OBSERVATIONS.c.observation_id.in_(list(wanted)))
        .order_by(OBSERVATIONS.c.observation_id)
        .with_for_update()
    )
    found = unit.execute(query)
    return {row.observation_id: row.source for row in found}


def _counts(unit: Connection, wanted: Iterable[bytes]) -> dict[bytes, int]:
    query = select(COPIES.c.observation_id, func.count().label("copies"))
    query = query.where(COPIES.c.observation_id.in_(list(wanted)))
    return {
        r.observation_id: r.copies for r in unit.execute(query.group_by(COPIES.c.observation_id))
    }


def copies_of(unit: Connection, observations: Sequence[bytes]) -> dict[bytes, list[str]]:
    """Return where copies of some observations came from, by observation."""
    found: dict[bytes, list[str]] = defaultdict(list)
    for start in range(0, len(observations), _CHUNK):
        chosen = COPIES.c.observation_id.in_(observations[start : start + _CHUNK])
        query = select(COPIES).where(chosen).order_by(COPIES.c.observation_id, COPIES.c.source)
        for row in unit.execute(query):
            found[row.observation_id].append(row.source)
    return found


def note_refusals(
    unit: Connection, digest: bytes, node: Node, refusals: Iterable[RefusedAt]
) -> None:
    """Keep which records of a file were not taken; the same file again changes nothing."""
    file = {"digest": digest, "operator": node.operator, "node_id": node.node_id}
    rows = [file | item._asdict() for item in refusals]
    if rows:
        unit.execute(insert(REFUSALS).on_conflict_do_nothing(), rows)


def refusals_of(
    unit: Connection, digest: Id, *, after: int, limit: int
) -> list[tuple[str, RefusedAt]]:
    """Return refused records of a file behind an offset, each with the node it was read for."""
    query = (
        select(REFUSALS)
        .where(REFUSALS.c.digest == digest, REFUSALS.c.offset > after)
        .order_by(REFUSALS.c.offset, REFUSALS.c.operator, REFUSALS.c.node_id)
        .limit(limit)
    )
    return [
        (row.node_id, RefusedAt(row._mapping["offset"], row.reason)) for row in unit.execute(query)
    ]
