"""When the terms of a running session change: what prices it begins or ends, or a discount's lock.

A tariff does, and a line, the exchange rate a line needs, and the rate that was accepted in band.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import Id
from opencarrier.rating import accepted, discounts, store
from opencarrier.rating.holds import Authorisation
from opencarrier.rating.wholesale import terms_of
from opencarrier.spine.access import WIFI, Accepted, Offered
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Stretch

_Whose: TypeAlias = tuple[PartyId, PartyId, Offered]


class TermChanges:
    """Answers the port of the same name from what stands in the unit's database."""

    def changes(self, unit: Connection, stretches: Sequence[Stretch]) -> Mapping[Id, Sequence[int]]:
        """Return the instants within each stretch, ascending, at which a session is to be cut."""
        held = {item.authorisation_id for item in stretches if item.authorisation_id is not None}
        own = store.authorisations_by_id(unit, held)
        granted: dict[bytes, Authorisation | Accepted] = dict(own)
        granted.update(accepted.find(unit, held - own.keys()))
        whose = {item.session_id: _whose(item, granted) for item in stretches}
        edges = _edges(unit, [(whose[item.session_id], item) for item in stretches])
        ends = defaultdict(set, _rates_end(granted))
        for key, spending in discounts.by_authorisation(unit, held).items():
            if spending.ends_us is not None:
                ends[key].add(spending.ends_us)
        found: dict[Id, Sequence[int]] = {}
        for item in stretches:
            instants = edges[whose[item.session_id]] | ends[item.authorisation_id or b""]
            within = sorted(at for at in instants if item.start_us < at < item.end_us)
            if within:
                found[item.session_id] = within
        return found


def _rates_end(granted: Mapping[bytes, Authorisation | Accepted]) -> dict[bytes, set[int]]:
    """Return when each rate that was accepted in band no longer holds."""
    quoted = {key: item for key, item in granted.items() if item.offered.quote is not None}
    return {key: {item.expires_us} for key, item in quoted.items()}


def _whose(item: Stretch, granted: Mapping[bytes, Authorisation | Accepted]) -> _Whose:
    found = granted.get(item.authorisation_id or b"")
    return item.home, item.visited, WIFI if found is None else found.offered


def _edges(unit: Connection, stretches: Iterable[tuple[_Whose, Stretch]]) -> dict[_Whose, set[int]]:
    """Return where what prices such use begins and ends, within the time of its stretches."""
    spans: defaultdict[_Whose, list[Stretch]] = defaultdict(list)
    for whose, item in stretches:
        spans[whose].append(item)
    found: dict[_Whose, set[int]] = {}
    for (home, visited, offered), known in spans.items():
        first_us = min(item.start_us for item in known)
        within = Window(first_us, max(item.end_us for item in known))
        agreements = store.agreements_of(unit, home, visited, within)
        dated = terms_of(agreements, home=home, visited=visited, offered=offered)
        found[home, visited, offered] = {
            at_us for terms in dated for at_us in (terms.window.start_us, terms.window.end_us)
        }
    return found
