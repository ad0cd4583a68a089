"""When the terms of a running session change: tariffs begin and end, and a discount's lock ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, select

from opencarrier.kernel.ids import Id
from opencarrier.rating import discounts
from opencarrier.rating.tables import tariffs
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Stretch


class TermChanges:
    """Answers the port of the same name from what stands in the unit's database."""

    def changes(self, unit: Connection, stretches: Sequence[Stretch]) -> Mapping[Id, Sequence[int]]:
        """Return the instants within each stretch, ascending, at which a session is to be cut."""
        edges = _edges(unit, stretches)
        held = {item.authorisation_id for item in stretches if item.authorisation_id is not None}
        ends = {
            key: spending.ends_us
            for key, spending in discounts.by_authorisation(unit, held).items()
            if spending.ends_us is not None
        }
        found: dict[Id, Sequence[int]] = {}
        for item in stretches:
            instants = set(edges[item.home, item.visited])
            if item.authorisation_id in ends:
                instants.add(ends[item.authorisation_id])
            within = sorted(at for at in instants if item.start_us < at < item.end_us)
            if within:
                found[item.session_id] = within
        return found


def _edges(
    unit: Connection, stretches: Iterable[Stretch]
) -> dict[tuple[PartyId, PartyId], set[int]]:
    """Return where the tariffs of each pair begin and end, within the time of its stretches."""
    spans: defaultdict[tuple[PartyId, PartyId], list[Stretch]] = defaultdict(list)
    for item in stretches:
        spans[item.home, item.visited].append(item)
    columns = tariffs.c
    found: dict[tuple[PartyId, PartyId], set[int]] = {}
    for (home, visited), known in spans.items():
        first_us = min(item.start_us for item in known)
        last_us = max(item.end_us for item in known)
        query = select(columns.start_us, columns.end_us).where(
            columns.home == home,
            columns.visited == visited,
            columns.start_us < last_us,
            columns.end_us > first_us,
        )
        found[home, visited] = {at_us for row in unit.execute(query) for at_us in row}
    return found
