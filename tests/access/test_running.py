"""A restart of an access point ends what ran there, for the homes that let it in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, create_engine, func, select
from tests.access.fakes import HOME, NAS, NOW_US, VISITED
from tests.access.test_passing import TO_HOME, Scene, until_delivered

from opencarrier.access.hub import store
from opencarrier.access.hub.model import Relay, session_of
from opencarrier.access.hub.running import ADMIN_REBOOT, KEPT_US, NAS_REBOOT, note, stopped
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.radius import Attribute, integer, is_fitting, text, vendor
from opencarrier.spine.usage import Observation, Status

SECOND_US = 1_000_000


def report(name: str, status: Status, at_s: int, nas: str = NAS) -> tuple[Relay, Observation]:
    attributes = (
        text(Type.ACCT_SESSION_ID, name),
        integer(Type.ACCT_STATUS_TYPE, int(status)),
        integer(Type.ACCT_INPUT_OCTETS, at_s),
        (int(Type.CLASS), b"the home's"),
        vendor(14_122, 200, b"signed by a node"),
    )
    relay = Relay("home.test", session_of(VISITED, nas, name), attributes, NOW_US)
    return relay, observed(status, at_s, nas, name)


def observed(status: Status, at_s: int, nas: str = NAS, name: str = "") -> Observation:
    return Observation(
        status=status,
        home=HOME if name else None,
        visited=VISITED,
        nas_key=nas,
        node_id=nas,
        authorisation_id=None,
        acct_session_id=name,
        counters=None,
        subject="",
        event_us=NOW_US + at_s * SECOND_US,
        terminate_cause=None,
        reporter=VISITED,
        source="test",
        packet_digest=bytes(32),
    )


def opened() -> Connection:
    unit = create_engine("sqlite://").connect()
    store.metadata.create_all(unit)
    return unit


def names(relays: list[Relay]) -> set[bytes]:
    return {dict(relay.attributes)[Type.ACCT_SESSION_ID] for relay in relays}


def test_what_ran_before_is_stopped_once_as_it_was_last_reported() -> None:
    unit = opened()
    note(unit, [report("a", Status.START, 0), report("b", Status.START, 1)])
    note(unit, [report("a", Status.INTERIM, 60), report("elsewhere", Status.START, 1, "cafe-9")])
    note(unit, [report("c", Status.START, 2), report("c", Status.STOP, 3)])
    note(unit, [report("after", Status.START, 101)])
    found = stopped(unit, observed(Status.ON, 100), at_us=NOW_US)
    assert names(found) == {b"a", b"b"}
    for relay in found:
        attributes = dict(relay.attributes)
        assert attributes[Type.ACCT_STATUS_TYPE] == int(AcctStatus.STOP).to_bytes(4, "big")
        assert attributes[Type.ACCT_TERMINATE_CAUSE] == NAS_REBOOT.to_bytes(4, "big")
        assert attributes[Type.CLASS] == b"the home's"
        assert Type.VENDOR_SPECIFIC not in attributes
    last = {dict(r.attributes)[Type.ACCT_INPUT_OCTETS] for r in found}
    assert last == {bytes(3) + b"\x3c", bytes(3) + b"\x01"}
    assert stopped(unit, observed(Status.ON, 100), at_us=NOW_US) == []
    (off,) = stopped(unit, observed(Status.OFF, 200), at_us=NOW_US)
    assert dict(off.attributes)[Type.ACCT_TERMINATE_CAUSE] == ADMIN_REBOOT.to_bytes(4, "big")


def test_a_stop_of_a_full_report_fits_a_packet() -> None:
    """An access point fills its report so that a cause is too much: its home hears the Stop."""
    unit = opened()
    relay, one = report("full", Status.INTERIM, 0)
    kept = [a for a in relay.attributes if a[0] != Type.VENDOR_SPECIFIC]
    full: list[Attribute] = [*kept, *[(int(Type.REPLY_MESSAGE), bytes(253))] * 15]
    while is_fitting([*full, (int(Type.REPLY_MESSAGE), b"x")]):
        full.append((int(Type.REPLY_MESSAGE), b"x"))
    note(unit, [(replace(relay, attributes=tuple(full)), one)])
    (stop,) = stopped(unit, observed(Status.ON, 1), at_us=NOW_US)
    assert is_fitting(stop.attributes)
    assert dict(stop.attributes)[Type.ACCT_STATUS_TYPE] == int(AcctStatus.STOP).to_bytes(4, "big")


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    unit = opened()
    for number in range(4):
        note(unit, [report(f"s{number}", Status.START, number)], running_max=2)
    assert unit.scalar(select(func.count()).select_from(store.running)) == 2
    note(unit, [report("s0", Status.INTERIM, 9)], running_max=2)
    assert names(stopped(unit, observed(Status.OFF, 9), at_us=NOW_US)) == {b"s0", b"s1"}


def test_what_nobody_reported_on_for_a_month_is_forgotten() -> None:
    unit = opened()
    note(unit, [report("old", Status.START, 0)])
    note(unit, [report("new", Status.START, KEPT_US // SECOND_US + 1)])
    found = stopped(unit, observed(Status.OFF, KEPT_US), at_us=NOW_US)
    assert names(found) == {b"new"}


async def test_a_home_hears_the_stop_of_what_an_access_points_restart_ended(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    async with scene.running(TO_HOME) as hub:
        for status, octets in ((1, 0), (3, 700)):
            await scene.account(hub, status, octets)
        for _ in range(2):
            answer = await scene.account(hub, int(AcctStatus.ACCOUNTING_ON), 0)
            assert answer.code == Code.ACCOUNTING_RESPONSE
        await until_delivered(scene)
    theirs = scene.home.sink.observations
    assert [one.status for one in theirs] == [Status.START, Status.INTERIM, Status.STOP]
    last, stop = theirs[1:]
    assert stop.terminate_cause == NAS_REBOOT
    assert replace(stop, status=last.status, terminate_cause=None, source=last.source,
                   packet_digest=last.packet_digest) == last  # fmt: skip
    ours = [one.status for one in scene.hub.sink.observations]
    assert ours == [Status.START, Status.INTERIM, Status.ON, Status.ON]
