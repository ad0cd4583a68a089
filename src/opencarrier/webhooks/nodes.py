"""Which nodes have fallen silent and which are back, told of each change once.

A node is silent when nothing was heard of it for an hour, and back when it was heard again over ten
minutes: one that comes and goes is told of no more than once an hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.people import batches
from opencarrier.webhooks.store import nodes

SILENT_US: Final = 3_600 * SECOND_US
STEADY_US: Final = 600 * SECOND_US
FALLEN_MAX: Final = 1_000
"""Nodes of which silence is noted at a time; the others are next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """When a node was heard last; while it is silent, since when, and since when it is heard again.

    `silent_us` and `back_us` are zero where that is not so.
    """

    node_id: str
    heard_us: int
    silent_us: int = 0
    back_us: int = 0


def heard(node: Watched, at_us: int) -> Watched:
    """Return a node that was heard at an instant: back for good, or on the way there."""
    last_us = max(node.heard_us, at_us)
    if not node.silent_us:
        return replace(node, heard_us=last_us)
    is_steady = node.back_us and at_us - node.heard_us <= SILENT_US
    back_us = node.back_us if is_steady else at_us
    if last_us - back_us >= STEADY_US:
        return Watched(node_id=node.node_id, heard_us=last_us)
    return replace(node, heard_us=last_us, back_us=back_us)


def hear(unit: Connection, seen: Mapping[str, int]) -> Sequence[Watched]:
    """Note when nodes were heard; return those that were silent and are back."""
    known = _known(unit, list(seen))
    back = []
    for node_id, at_us in sorted(seen.items()):
        before = known.get(node_id)
        after = Watched(node_id=node_id, heard_us=at_us) if before is None else heard(before, at_us)
        if before is None:
            unit.execute(insert(nodes).values(**_row(after)))
        elif after != before:
            unit.execute(update(nodes).where(nodes.c.node_id == node_id).values(**_row(after)))
        if before is not None and before.silent_us and not after.silent_us:
            back.append(after)
    return back


def fall_silent(unit: Connection, now_us: int) -> Sequence[Watched]:
    """Note which nodes have been silent for an hour, some at a time; return them."""
    old = (nodes.c.silent_us == 0) & (nodes.c.heard_us <= now_us - SILENT_US)
    query = select(nodes).where(old).order_by(nodes.c.heard_us).limit(FALLEN_MAX)
    fallen = [Watched(**row) for row in unit.execute(query).mappings()]
    for some in batches([node.node_id for node in fallen]):
        chosen = nodes.c.node_id.in_(some)
        unit.execute(update(nodes).where(chosen).values(silent_us=now_us, back_us=0))
    return fallen


def forget(unit: Connection) -> None:
    """Forget all: nobody wants to know."""
    unit.execute(delete(nodes))


def _known(unit: Connection, node_ids: Sequence[str]) -> Mapping[str, Watched]:
    return {
        row["node_id"]: Watched(**row)
        for some in batches(node_ids)
        for row in unit.execute(select(nodes).where(nodes.c.node_id.in_(some))).mappings()
    }


def _row(node: Watched) -> dict[str, str | int]:
    return {
        "node_id": node.node_id,
        "heard_us": node.heard_us,
        "silent_us": node.silent_us,
        "back_us": node.back_us,
    }
