"""Putting nodes on the map, and what stands in a part of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.identity.directory import Directory
from opencarrier.identity.model import IdentityReason, PartyKind
from opencarrier.identity.places import store
from opencarrier.identity.places.model import LEVELS, Box, Cell, Place
from opencarrier.identity.places.rules import possible
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId

CELLS_MAX = 4_096
"""Cells in an answer; where more would be filled they are summed up to larger ones."""

POSSIBLE_MAX = 65_536
"""Cells a part of the map may have, filled or not: what a look-up walks over at most."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What stands in a part of the map, at the level that fits into an answer."""

    level: int
    cells: Sequence[Cell]


class Places:
    """Where nodes are; each call stands in the caller's unit."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    def put(self, unit: Connection, node_id: str, place: Place) -> Refusal | None:
        """Say where a node is, in place of what was said before."""
        if self._directory.node_by_id(unit, node_id) is None:
            return Refusal(IdentityReason.UNKNOWN_NODE, node_id)
        if store.place(unit, node_id) != place:
            store.put(unit, node_id, place, stated_us=self._clock.now_us())
            self._directory.changed(
                unit, "place", node_id, place.latitude_udeg, place.longitude_udeg, place.attester
            )
        return None

    def of(self, unit: Connection, node_ids: Iterable[str]) -> Mapping[str, Place]:
        """Return where some nodes are, by node id; those nobody placed are left out."""
        return store.places(unit, node_ids)

    def filled(self, unit: Connection, box: Box, level: int) -> Filled:
        """Return what stands in a part of the map, at a level or the next coarser one that fits."""
        level = min(level, LEVELS - 1)
        while level and possible(box, level) > POSSIBLE_MAX:
            level -= 1
        found = store.cells(unit, box, level, limit=CELLS_MAX + 1)
        while level and len(found) > CELLS_MAX:
            level -= 1
            found = store.cells(unit, box, level, limit=CELLS_MAX + 1)
        return Filled(level, found)

    def numbers(self, unit: Connection) -> Mapping[str, int]:
        """Return how many nodes, operators and hosts there are, without counting them."""
        kinds = (PartyKind.OPERATOR.value, PartyKind.HOST.value)
        return store.tally(unit, (store.NODES, *kinds))

    def nodes_of(self, unit: Connection, operators: Iterable[PartyId]) -> Mapping[PartyId, int]:
        """Return how many nodes some operators have."""
        found = store.tally(unit, (f"{store.NODES}/{operator}" for operator in operators))
        return {PartyId(what.partition("/")[2]): number for what, number in found.items()}

    def sum_up_anew(self, unit: Connection) -> None:
        """Compute all cells from the places, after many were loaded past `put`."""
        store.sum_up_anew(unit)
