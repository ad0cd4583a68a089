"""When a session's money ends: it is slowed at once, and ended with its next report.

Answers the port `Spending`. Most reports cost one look at an index: a session is looked at only
above what its hold surely covers until the next report (`exposure`). The orders are durable with
the unit; whoever comes back is served on the free plan, or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import INT64_MAX
from opencarrier.rating import store
from opencarrier.rating.desk import RatingSettings, held_rate, plan_at
from opencarrier.rating.exposure import THROTTLED_OCTETS_PER_S, Watched
from opencarrier.rating.holds import Authorisation
from opencarrier.rating.model import RetailPlan
from opencarrier.spine.access import Change
from opencarrier.spine.ports import Disconnects, Reported
from opencarrier.spine.usage import Observation, Status

REASON = "money_ended"


class SpendingWatch:
    """Answers `Spending` with orders to whoever serves the session."""

    def __init__(
        self, disconnects: Disconnects, reported: Reported, settings: RatingSettings
    ) -> None:
        self._disconnects = disconnects
        self._reported = reported
        self._settings = settings

    def observed(
        self, unit: Connection, observations: Sequence[Observation], *, at_us: int
    ) -> None:
        """Slow and end the sessions whose money may not last, in the unit of the reports.

        An authorisation's largest report counts, less what the session had counted under those
        before; those that ended need nothing. More than the database can count is as much as it
        can.
        """
        reports = _largest(observations)
        for item in _overspent(unit, reports, at_us):
            one = reports[item.authorisation_id]
            octets = _octets(one) - self._reported.octets_before(unit, one)
            if self._ends(unit, item, octets, at_us):
                self._order(unit, item, at_us)

    def concerned(
        self, unit: Connection, observations: Sequence[Observation], *, at_us: int
    ) -> bool:
        """Say whether a session reports more than goes unlooked at."""
        return bool(_overspent(unit, _largest(observations), at_us))

    def _ends(self, unit: Connection, item: Authorisation, octets: int, at_us: int) -> bool:
        plan = store.plan(unit, item.plan_hash)
        assert plan is not None, "an authorisation's plan is gone"
        octets_per_s, _ = held_rate(item.node_id, plan, self._settings.exposure)
        watched = Watched(
            octets_per_s=octets_per_s,
            session_timeout_s=item.session_timeout_s,
            interim_interval_s=item.interim_interval_s,
            grace_s=self._settings.grace_s,
        )
        return watched.money_ends(octets, max(0, item.expires_us - at_us) // SECOND_US)

    def _order(self, unit: Connection, item: Authorisation, at_us: int) -> None:
        """Slow it first; what still reports an interval later is ended."""
        key = item.authorisation_id
        if item.spent_us is None:
            change = Change(
                session_timeout_s=item.interim_interval_s,
                rate_octets_per_s=self._throttled(unit, item, at_us) // 2,
            )
            self._disconnects.change(unit, key, change, reason=REASON, at_us=at_us, or_end=True)
        elif at_us - item.spent_us < item.interim_interval_s * SECOND_US:
            return
        else:
            self._disconnects.disconnect(unit, key, reason=REASON, at_us=at_us)
        store.note_spent(unit, key, at_us)

    def _throttled(self, unit: Connection, item: Authorisation, at_us: int) -> int:
        """Return the free plan's cap, or 64 kbit/s where there is no free plan."""
        name = self._settings.exposure.free_plan
        plan = plan_at(unit, item.home, name, at_us) if name else None
        if isinstance(plan, RetailPlan):
            return plan.rate_cap_octets_per_s
        return THROTTLED_OCTETS_PER_S


def _largest(observations: Sequence[Observation]) -> dict[bytes, Observation]:
    """Return the largest report of each authorisation among those of running sessions."""
    reports: dict[bytes, Observation] = {}
    for one in observations:
        if one.status is Status.INTERIM and one.authorisation_id and one.counters is not None:
            known = reports.get(one.authorisation_id)
            if known is None or _octets(one) > _octets(known):
                reports[one.authorisation_id] = one
    return reports


def _overspent(
    unit: Connection, reports: Mapping[bytes, Observation], at_us: int
) -> list[Authorisation]:
    if not reports:
        return []
    counted = {key: min(INT64_MAX, _octets(one)) for key, one in reports.items()}
    return store.overspent(unit, counted, at_us=at_us)


def _octets(one: Observation) -> int:
    return 0 if one.counters is None else one.counters.octets_in + one.counters.octets_out
