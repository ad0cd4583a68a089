"""How well a visited operator served: counted from what it reported, use by use.

A use is faultless where the home's own authorisation came back with it and the session did not
have to be closed by rule. Older uses count less: beyond a number both sums are halved.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import PPM
from opencarrier.routing import store
from opencarrier.spine.parties import PartyId
from opencarrier.spine.ports import UsageSource
from opencarrier.spine.usage import Usage

USED_MIN: Final = 20
"""Uses below which nothing is said: one lost packet must not ruin a newcomer."""

USED_MAX: Final = 2_000


def quality_ppm(unit: Connection, seller: PartyId) -> int | None:
    """Return millionths of faultless, None where too little was used to tell."""
    used, faultless = store.measure_of(unit, seller)
    return None if used < USED_MIN else faultless * PPM // used


def measure(unit: Connection, usages: Sequence[Usage]) -> None:
    """Count a cut's uses with whom they were used at."""
    found: defaultdict[PartyId, list[bool]] = defaultdict(list)
    for usage in usages:
        found[usage.visited].append(not usage.weak and usage.closed_by != "rule")
    for seller, good in sorted(found.items()):
        used, faultless = store.measure_of(unit, seller)
        used, faultless = used + len(good), faultless + sum(good)
        while used > USED_MAX:
            used, faultless = used // 2, faultless // 2
        store.put_measure(unit, seller, used, faultless)


@dataclass(frozen=True, slots=True)
class MeasuredUse:
    """Answers the port `UsageSource`: what a cut yields is measured, and keeps its choice.

    Both in the cut's own unit.
    """

    usage_source: UsageSource

    def cut(self, unit: Connection, *, cycle_id: Id, cut_us: int) -> Sequence[Usage]:
        """End a cycle, and count its uses."""
        usages = self.usage_source.cut(unit, cycle_id=cycle_id, cut_us=cut_us)
        measure(unit, usages)
        store.pass_on(
            unit, {u.session_id: u.authorisation_id for u in usages if u.authorisation_id}
        )
        return usages

    def usage(self, unit: Connection, usage_id: Id) -> Usage | None:
        """Return a usage."""
        return self.usage_source.usage(unit, usage_id)
