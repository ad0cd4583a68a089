"""A session whose money ends is slowed, then ended; whoever keeps to its rate is left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import INT64_MAX
from opencarrier.rating.desk import RatingSettings
from opencarrier.rating.exposure import THROTTLED_OCTETS_PER_S, ExposureSettings
from opencarrier.rating.spending import SpendingWatch
from opencarrier.spine.access import Change, Grant
from opencarrier.spine.parties import foreign_node
from opencarrier.spine.usage import Counters, Observation, Status

from .test_authorise import GRACE_S
from .worlds import HOME, START_US, VISITED, World, agreement, plan

CAP = plan().rate_cap_octets_per_s
INTERIM_S = 300


@dataclass
class Ordered:
    """Whoever serves sessions, and what it was told."""

    orders: list[tuple[str, bytes, Change | None]] = field(default_factory=list)

    def disconnect(self, unit: Connection, authorisation_id: bytes, **_: Any) -> bool:
        self.orders.append(("end", authorisation_id, None))
        return True

    def change(
        self, unit: Connection, authorisation_id: bytes, change: Change, **more: Any
    ) -> bool:
        assert more["or_end"]
        self.orders.append(("change", authorisation_id, change))
        return True


@dataclass
class Reports:
    """What a session had counted before its authorisation."""

    octets: int = 0

    def octets_before(self, unit: Connection, observation: Observation) -> int:
        return self.octets


@dataclass
class Place:
    world: World
    grant: Grant
    ordered: Ordered
    reports: Reports
    watch: SpendingWatch

    def report(self, octets: int, at_s: int, status: Status = Status.INTERIM) -> list[str]:
        """Report octets at a second of the session; return what was ordered for it."""
        before = len(self.ordered.orders)
        at_us = START_US + at_s * SECOND_US
        self.watch.observed(
            self.world.unit, [observation(self.grant, octets, at_us, status)], at_us=at_us
        )
        return [kind for kind, *_ in self.ordered.orders[before:]]


def observation(grant: Grant, octets: int, at_us: int, status: Status) -> Observation:
    counters = Counters(session_time_s=1, octets_in=octets // 2, octets_out=octets - octets // 2)
    return Observation(
        status=status,
        home=HOME,
        visited=VISITED,
        nas_key="ap-1",
        node_id=grant.node_id,
        authorisation_id=grant.authorisation_id,
        acct_session_id="session-1",
        counters=counters,
        subject="cui",
        event_us=at_us,
        terminate_cause=None,
        reporter=VISITED,
        source="udp:127.0.0.1:1",
        packet_digest=bytes(32),
    )


def place(settings: RatingSettings | None = None, *, foreign: bool = False) -> Place:
    settings = settings or RatingSettings()
    world = World(settings=settings)
    world.agree(agreement())
    world.offer(plan())
    world.deposit(1 << 50)
    world.top_up(1 << 50)
    if foreign:
        world.node = foreign_node(VISITED, "far-1")
    ordered = Ordered()
    reports = Reports()
    watch = SpendingWatch(ordered, reports, settings)
    return Place(world, world.granted(), ordered, reports, watch)


def test_whoever_keeps_to_the_cap_is_left_alone_to_the_end() -> None:
    here = place()
    assert here.grant.interim_interval_s == INTERIM_S
    for at_s in range(INTERIM_S, 3_601, INTERIM_S):
        assert here.report(CAP * at_s, at_s) == []
    assert here.report(CAP * (3_600 + GRACE_S), 3_600) == []


def test_a_session_beyond_its_money_is_slowed_and_then_ended_once_an_interval() -> None:
    here = place()
    most = CAP * (3_600 + GRACE_S) - CAP * (INTERIM_S + GRACE_S)
    assert here.report(most, INTERIM_S) == []
    assert here.report(most + 1, INTERIM_S) == ["change"]
    assert here.ordered.orders[0] == (
        "change",
        here.grant.authorisation_id,
        Change(session_timeout_s=INTERIM_S, rate_octets_per_s=THROTTLED_OCTETS_PER_S // 2),
    )
    assert here.report(most + 2, INTERIM_S + 10) == []
    assert here.report(most + 3, 2 * INTERIM_S) == ["end"]
    assert here.report(most + 4, 2 * INTERIM_S + 10) == []
    assert here.report(most + 5, 3 * INTERIM_S) == ["end"]
    assert here.report(most + 6, 3_600) == []


def test_what_has_ended_or_carries_no_authorisation_is_not_looked_at() -> None:
    here = place()
    assert here.report(1 << 60, INTERIM_S, Status.STOP) == []
    assert here.report(0, INTERIM_S) == []
    nobody = observation(here.grant, 1 << 40, START_US, Status.INTERIM)
    object.__setattr__(nobody, "authorisation_id", None)
    here.watch.observed(here.world.unit, [nobody], at_us=START_US)
    assert here.ordered.orders == []


@pytest.mark.parametrize("free", [False, True])
def test_a_foreign_session_is_held_to_the_rate_of_its_line(free: bool) -> None:
    exposure = ExposureSettings(free_plan="standard" if free else "")
    here = place(RatingSettings(exposure=exposure), foreign=True)
    line, longest_s = exposure.foreign_line_octets_per_s, exposure.foreign_session_s
    assert here.grant.session_timeout_s == here.grant.interim_interval_s == longest_s
    assert here.report(line * 200, 200) == []
    assert here.report(line * (longest_s + GRACE_S) + 1, 200) == ["change"]
    change = here.ordered.orders[0][2]
    assert change is not None
    assert change.rate_octets_per_s == (CAP if free else THROTTLED_OCTETS_PER_S) // 2


def test_no_report_is_too_large_to_be_looked_at() -> None:
    """Each direction may count 63 bits: both together are more than a database takes."""
    here = place()
    assert here.report(2 * INT64_MAX, INTERIM_S) == ["change"]


def test_what_was_counted_before_its_authorisation_is_not_its_own() -> None:
    """After each timeout an access point asks again, and may go on counting where it was."""
    here = place()
    here.reports.octets = CAP * 36_000
    for at_s in range(INTERIM_S, 3_601, INTERIM_S):
        assert here.report(CAP * (36_000 + at_s), at_s) == []
    most = CAP * (3_600 - INTERIM_S)
    assert here.report(CAP * 36_000 + most + 1, INTERIM_S) == ["change"]
