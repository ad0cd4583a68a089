"""Sessions that are paid for as they go: owed is what meter and device both say, the rest waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from opencarrier.kernel.ids import Id
from opencarrier.spine import ids
from opencarrier.spine.usage import ZERO, Counters, Rung, Status
from opencarrier.usage.service import UsageService
from opencarrier.usage.tables import WITHHELD

from .worlds import AUTH, AUTH_2, NAS, World, seen, total, used

START, STOP, INTERIM = Status.START, Status.STOP, Status.INTERIM
SESSION = ids.session_id(AUTH, NAS, "0001")


@dataclass
class Acks:
    """What devices signed for; `prepaid` sessions are no concern of theirs."""

    signed: dict[Id, Counters] = field(default_factory=dict)
    prepaid: frozenset[bytes] = frozenset((AUTH_2,))

    def acknowledged(self, unit: Connection, sessions: Mapping[Id, bytes]) -> Mapping[Id, Counters]:
        return {
            key: self.signed.get(key, ZERO)
            for key, authorisation_id in sessions.items()
            if authorisation_id not in self.prepaid
        }

    def sign(self, session_time_s: int, octets_in: int, octets_out: int) -> None:
        self.signed[SESSION] = Counters(
            session_time_s=session_time_s, octets_in=octets_in, octets_out=octets_out
        )


def paying(world: World) -> Acks:
    acks = Acks()
    world.service = UsageService(acknowledgements=acks)
    return acks


def waiting(world: World) -> int:
    with world.unit() as unit:
        return len(unit.execute(select(WITHHELD)).all())


def test_what_the_device_did_not_sign_for_waits_and_is_owed_once_it_has(world: World) -> None:
    acks = paying(world)
    acks.sign(60, 90, 900)
    world.record(seen(START, 0), seen(INTERIM, 60, (60, 100, 1000)))
    (first,) = world.cut(60)
    assert used(first) == (60, 90, 900)
    assert (first.rung, first.closed_by) == (Rung.CO_SIGNED, "")
    assert waiting(world) == 1
    acks.sign(60, 100, 1000)
    (second,) = world.cut(70)
    assert used(second) == (0, 10, 100)
    assert waiting(world) == 0
    assert world.cut(80) == ()


def test_use_nobody_signed_for_is_never_owed(world: World) -> None:
    acks = paying(world)
    world.record(seen(START, 0), seen(STOP, 60, (60, 100, 1000)))
    assert world.cut(60) == ()
    assert waiting(world) == 1
    assert world.cut(70) == ()
    assert waiting(world) == 0, "its device had its time to sign"
    acks.sign(60, 100, 1000)
    assert world.cut(80) == ()


def test_a_late_signature_after_the_stop_is_in_time_for_one_more_cut(world: World) -> None:
    acks = paying(world)
    world.record(seen(START, 0), seen(STOP, 60, (60, 100, 1000)))
    assert world.cut(60) == ()
    acks.sign(61, 100, 1000)
    (late,) = world.cut(70)
    assert used(late) == (60, 100, 1000)
    assert late.closed_by == "stop"


def test_an_access_point_that_over_reports_gains_nothing(world: World) -> None:
    acks = paying(world)
    acks.sign(60, 100, 1000)
    world.record(seen(START, 0), seen(STOP, 60, (600, 10**9, 10**9)))
    (usage,) = world.cut(60)
    assert used(usage) == (60, 100, 1000)
    assert world.cut(70) == ()


def test_a_device_that_signs_for_more_owes_what_was_measured(world: World) -> None:
    acks = paying(world)
    acks.sign(10**6, 10**9, 10**9)
    world.record(seen(START, 0), seen(STOP, 60, (60, 100, 1000)))
    (usage,) = world.cut(60)
    assert used(usage) == (60, 100, 1000)


def test_a_prepaid_session_is_owed_whole(world: World) -> None:
    paying(world)
    world.record(seen(START, 0, auth=AUTH_2), seen(STOP, 60, (60, 100, 1000), auth=AUTH_2))
    (usage,) = world.cut(60)
    assert used(usage) == (60, 100, 1000)
    assert waiting(world) == 0


STEPS = st.lists(
    st.tuples(st.sampled_from(["meter", "sign", "cut"]), st.integers(0, 9)), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_any_order_of_reports_signatures_and_cuts_owes_the_same(
    steps: list[tuple[str, int]],
) -> None:
    world = World()
    acks = paying(world)
    meter, signed, second = ZERO, ZERO, 1
    world.record(seen(START, 0))
    owed = []
    for step, amount in [*steps, ("cut", 0)]:
        second += 10
        if step == "cut":
            owed += world.cut(second)
            continue
        if step == "meter":
            meter = replace(meter, session_time_s=second, octets_in=meter.octets_in + amount)
            world.record(seen(INTERIM, second, (second, meter.octets_in, 0)))
        else:
            signed = Counters(
                session_time_s=second, octets_in=signed.octets_in + amount, octets_out=0
            )
            acks.sign(second, signed.octets_in, 0)
    least = min(meter.octets_in, signed.octets_in)
    time_s = min(meter.session_time_s, signed.session_time_s)
    assert total(owed) == (time_s, least, 0)
