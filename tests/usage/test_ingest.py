"""Files in, observations and a report out: own captures, the real one, cut and shuffled."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opencarrier.kernel.clock import FixedClock
from opencarrier.spine import ids
from opencarrier.spine.parties import Node, PartyId
from opencarrier.spine.usage import Rung
from opencarrier.usage import ingest as ingest_module
from opencarrier.usage import tables
from opencarrier.usage.ingest import Ingest, IngestOrder
from opencarrier.usage.model import IngestReport

from . import capture
from .decoder import AccessDecoder
from .worlds import FAR_US, HOME, HOME_2, VISITED, World

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("OPENCARRIER_TEST_DATA", ROOT.parent / "shared" / "data"))
REAL = DATA / "wba-accounting-download-5gb.pcap"
NODE = Node(
    node_id="node-1",
    nas_identifier="ap-1",
    operator=VISITED,
    host=PartyId("host_" + "d" * 32),
)
NOW_US = FAR_US + 10**15
ORDER = IngestOrder(node=NODE, home=HOME)
WHOLE = (capture.SESSION_TIME_S, capture.OCTETS_IN, capture.OCTETS_OUT)

KINDS = {
    "pcap": lambda: capture.pcap(capture.framed()),
    "pcap-big": lambda: capture.pcap(capture.framed(), order=">", nanoseconds=True),
    "pcapng": lambda: capture.pcapng(capture.framed()),
    "pcapng-big": lambda: capture.pcapng(capture.framed(), order=">"),
    "detail": capture.detail,
}


def door(world: World) -> Ingest:
    return Ingest(
        usage=world.service,
        decoder=AccessDecoder(),
        transactions=world.engine.begin,
        home_of=lambda _, realm: HOME_2 if realm == "home.example" else None,
        clock=FixedClock(NOW_US),
    )


def run(world: World, tmp_path: Path, octets: bytes, order: IngestOrder = ORDER) -> IngestReport:
    path = tmp_path / "input"
    path.write_bytes(octets)
    return door(world).run([path], order)


def shown(report: IngestReport) -> tuple[int, int, int]:
    return report.duration_s, report.octets_in, report.octets_out


def sent_in(octets: bytes) -> int:
    """How many requests a piece of the own capture's frames shows, counted without a reader."""
    return octets.count(capture.ACCT_SESSION_ID.encode())


@pytest.mark.parametrize("kind", KINDS)
def test_the_own_capture_in_every_format(world: World, tmp_path: Path, kind: str) -> None:
    report = run(world, tmp_path, KINDS[kind]())
    assert (report.sessions, report.packets, report.observations_new) == (1, 179, 179)
    assert (report.usage_new, report.usage_duplicate, report.refused_count) == (1, 0, 0)
    assert shown(report) == WHOLE
    again = run(world, tmp_path, KINDS[kind]())
    assert (again.sessions, again.usage_new, again.usage_duplicate) == (1, 0, 1)
    assert again.observations_new == 0
    assert shown(again) == WHOLE
    (usage,) = world.cut(10**12)
    assert usage.session_id == ids.weak_session_id(
        HOME, VISITED, "ap-1", capture.ACCT_SESSION_ID, epoch_us=0
    )
    assert usage.rung is Rung.ONE_SIDED
    after = run(world, tmp_path, KINDS[kind]())
    assert (after.sessions, after.usage_new, after.usage_duplicate) == (1, 0, 1)
    assert world.cut(10**12) == ()


@pytest.fixture
def real() -> bytes:
    if not REAL.exists():
        pytest.skip(f"no real capture: {REAL.name} is not in OPENCARRIER_TEST_DATA")
    return REAL.read_bytes()


def test_the_real_capture(world: World, tmp_path: Path, real: bytes) -> None:
    report = run(world, tmp_path, real)
    assert (report.sessions, report.usage_new, report.refused) == (1, 1, ())
    assert report.packets == 179
    assert shown(report) == (1_773, 147_699_750, 5_682_218_308)
    again = run(world, tmp_path, real)
    assert (again.sessions, again.usage_new, again.usage_duplicate) == (1, 0, 1)
    (usage,) = world.cut(10**12)
    assert usage.closed_by == "stop"
    assert usage.counters_to.octets_out == 5_682_218_308


def pcap_records(octets: bytes) -> list[bytes]:
    """Cut a little-endian capture into its records, the plain way."""
    records, at = [], 24
    while at < len(octets):
        size = 16 + int.from_bytes(octets[at + 8 : at + 12], "little")
        records.append(octets[at : at + size])
        at += size
    return records


def test_shuffled_and_doubled_the_real_capture_is_the_same(tmp_path: Path, real: bytes) -> None:
    same_whatever_the_order(tmp_path, real)


def test_shuffled_and_doubled_the_own_capture_is_the_same(tmp_path: Path) -> None:
    same_whatever_the_order(tmp_path, capture.pcap(capture.framed()))


def same_whatever_the_order(tmp_path: Path, octets: bytes) -> None:
    straight = World()
    first = run(straight, tmp_path, octets)
    expected = straight.cut(10**12)
    records = pcap_records(octets) * 2
    times = [record[:8] for record in records]
    for seed, retimed in ((1, False), (2, False), (3, True)):
        chosen = list(records)
        random.Random(seed).shuffle(chosen)
        if retimed:  # as if captured in that order: the copies get other times
            ordered = sorted(times, key=lambda t: int.from_bytes(t[:4], "little"))
            chosen = [time + record[8:] for time, record in zip(ordered, chosen, strict=True)]
        world = World()
        report = run(world, tmp_path, octets[:24] + b"".join(chosen))
        assert shown(report) == shown(first)
        assert (report.sessions, report.usage_new) == (1, 1)
        (usage,) = world.cut(10**12)
        assert usage.usage_id == expected[0].usage_id
        assert usage.session_id == expected[0].session_id
        if not retimed:
            assert (usage,) == expected
        world.close()
    straight.close()


def offsets_of(octets: bytes) -> list[int]:
    offsets, at = [], 24
    for record in pcap_records(octets):
        offsets.append(at)
        at += len(record)
    return offsets


def check_cut(tmp_path: Path, octets: bytes, at: int) -> None:
    world = World()
    report = run(world, tmp_path, octets[:at])
    ends = [*offsets_of(octets), len(octets)]
    kept = [n for n, end in enumerate(ends[1:]) if end <= at]
    whole = sum(is_request(record) for record in pcap_records(octets)[: len(kept)])
    assert report.packets == whole
    cut_at = 0 if at < 24 else ends[len(kept)]
    if at in ends:
        assert report.refused == ()
    else:
        (refused,) = report.refused
        reason = "record_cut" if at >= 24 else "header_cut" if at >= 4 else refused.reason
        assert (refused.offset, refused.reason) == (cut_at, reason)
    world.close()


def is_request(record: bytes) -> bool:
    return record[16 + 36 : 16 + 38] == (1813).to_bytes(2, "big")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(share=st.floats(0, 1))
def test_the_own_capture_cut_anywhere(tmp_path: Path, share: float) -> None:
    octets = capture.pcap(capture.framed())
    check_cut(tmp_path, octets, int(share * len(octets)))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(share=st.floats(0, 1))
def test_the_real_capture_cut_anywhere(tmp_path: Path, real: bytes, share: float) -> None:
    check_cut(tmp_path, real, int(share * len(real)))


def test_pieces_in_any_order_come_to_the_whole(world: World, tmp_path: Path) -> None:
    """A file ingested cut, then whole: the rest is new, nothing counts twice."""
    octets = capture.pcap(capture.framed())
    half = run(world, tmp_path, octets[: len(octets) // 2])
    assert half.usage_new == 1
    (first,) = world.cut(10**12)
    whole = run(world, tmp_path, octets)
    assert (whole.sessions, whole.usage_new) == (1, 1)
    assert shown(whole) == WHOLE
    (second,) = world.cut(10**12)
    assert second.counters_from == first.counters_to
    assert second.counters_to.octets_out == capture.OCTETS_OUT


def test_a_right_secret_verifies_and_a_wrong_one_refuses(world: World, tmp_path: Path) -> None:
    octets = capture.pcap(capture.framed())
    wrong = run(world, tmp_path, octets, replace(ORDER, secret=b"other"))
    assert (wrong.packets, wrong.observations_new, wrong.sessions) == (179, 0, 0)
    assert {refused.reason for refused in wrong.refused} == {"request_authenticator"}
    assert wrong.refused_count == 179
    right = run(world, tmp_path, octets, replace(ORDER, secret=capture.SECRET))
    assert (right.observations_new, right.verified) == (179, True)
    without = run(world, tmp_path, octets)
    assert not without.verified
    with world.unit() as unit:
        rows = unit.execute(tables.FILES.select()).all()
    assert [(row.kind, row.verified) for row in rows] == [("pcap", True)]


def test_a_detail_file_stays_unverified_with_a_secret(world: World, tmp_path: Path) -> None:
    report = run(world, tmp_path, capture.detail(), replace(ORDER, secret=b"any"))
    assert (report.observations_new, report.verified) == (179, False)


def test_the_source_names_file_and_offset(world: World, tmp_path: Path) -> None:
    from hashlib import sha256

    octets = capture.pcap(capture.framed())
    run(world, tmp_path, octets)
    with world.unit() as unit:
        sources = set(
            unit.scalars(
                tables.OBSERVATIONS.select().with_only_columns(tables.OBSERVATIONS.c.source)
            )
        )
    digest = sha256(octets).hexdigest()
    places = zip(pcap_records(octets), offsets_of(octets), strict=True)
    assert sources == {f"pcap:{digest}@{at}" for record, at in places if is_request(record)}


def test_a_home_is_found_by_realm_where_none_is_given(world: World, tmp_path: Path) -> None:
    run(world, tmp_path, capture.pcap(capture.framed()), IngestOrder(node=NODE))
    (usage,) = world.cut(10**12)
    assert usage.home == HOME_2


def test_another_nodes_packets_are_refused(world: World, tmp_path: Path) -> None:
    mine = capture.requests(capture.attribute(32, "ap-1"))
    other = capture.requests(capture.attribute(32, "ap-2"))
    octets = capture.pcap(capture.framed(sent=[*mine[:2], *other[2:]]))
    report = run(world, tmp_path, octets)
    assert report.observations_new == 2
    assert {r.reason for r in report.refused} == {"nas_identifier_of_another_node"}
    assert report.refused_count == 177


def test_a_port_of_ones_own_is_recognised(world: World, tmp_path: Path) -> None:
    sent = [replace(s, port=30_813) for s in capture.traffic() if s.port != 53]
    report = run(world, tmp_path, capture.pcap(capture.framed(sent=sent)))
    assert (report.packets, report.refused_count) == (179, 0)


def test_garbage_on_the_accounting_port_is_refused_with_its_offset(
    world: World, tmp_path: Path
) -> None:
    good = capture.requests()
    sent = [good[0], replace(good[1], payload=b"\x04\x01\x00\x30short"), good[2]]
    octets = capture.pcap(capture.framed(sent=sent))
    report = run(world, tmp_path, octets)
    assert report.observations_new == 2
    (refused,) = report.refused
    assert refused.offset == offsets_of(octets)[1]
    assert refused.file == str(tmp_path / "input")


def test_counters_beyond_64_bits_are_refused(world: World, tmp_path: Path) -> None:
    good = capture.requests()
    far = capture.accounting(3, (10, 0, ((1 << 32) - 1) << 32), capture.START_S)
    sent = [good[0], replace(good[1], payload=capture.request(1, far)), good[2]]
    report = run(world, tmp_path, capture.pcap(capture.framed(sent=sent)))
    assert (report.observations_new, report.refused[0].reason) == (2, "counter_range")


def test_refusals_beyond_the_limit_are_counted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "REFUSED_MAX", 5)
    report = run(world, tmp_path, capture.pcap(capture.framed()), replace(ORDER, secret=b"other"))
    assert (len(report.refused), report.refused_count) == (5, 179)


def test_a_run_that_died_is_run_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "CHUNK_PACKETS", 50)
    door_ = door(world)
    passes = iter(range(3))

    def transactions() -> object:
        next(passes)  # StopIteration on the fourth: the process dies between two chunks
        return world.engine.begin()

    path = tmp_path / "input"
    path.write_bytes(capture.pcap(capture.framed()))
    with pytest.raises(StopIteration):
        replace(door_, transactions=transactions).run([path], ORDER)
    report = door_.run([path], ORDER)
    assert report.observations_new == 29
    assert shown(report) == WHOLE
    assert len(world.cut(10**12)) == 1


def test_a_file_that_is_not_there_keeps_nothing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_bytes(capture.pcap(capture.framed()))
    with pytest.raises(FileNotFoundError):
        door(world).run([path, tmp_path / "not"], ORDER)
    with world.unit() as unit:
        assert world.service.totals(unit).observations == 0


def test_an_empty_file_is_refused(world: World, tmp_path: Path) -> None:
    report = run(world, tmp_path, b"")
    assert [(r.offset, r.reason) for r in report.refused] == [(0, "empty")]


def test_several_files_of_one_session_are_one_session(world: World, tmp_path: Path) -> None:
    for kind in ("pcap", "detail"):
        (tmp_path / kind).write_bytes(KINDS[kind]())
    report = door(world).run([tmp_path / "pcap", tmp_path / "detail"], ORDER)
    assert (report.files, report.sessions, report.usage_new) == (2, 1, 1)
    assert shown(report) == WHOLE


def test_what_lies_ahead_of_the_clock_counts_as_now(world: World, tmp_path: Path) -> None:
    early = replace(door(world), clock=FixedClock(1_000_000_000_000_000))
    path = tmp_path / "input"
    path.write_bytes(capture.pcap(capture.framed()))
    report = early.run([path], ORDER)
    assert shown(report) == WHOLE
    with world.unit() as unit:
        found = world.service.cut(unit, cycle_id=ids.cycle_id("d", "a/b", 1), cut_us=10**15)
    assert len(found) == 1


def test_the_report_is_json(world: World, tmp_path: Path) -> None:
    import json

    report = run(world, tmp_path, capture.pcap(capture.framed())[:-7])
    found = json.loads(json.dumps(report.as_mapping()))
    assert {"sessions", "usage_new", "usage_duplicate", "refused"} <= found.keys()
    assert {"file", "offset", "reason"} == found["refused"][0].keys()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(sorted(KINDS)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), max_size=8),
    start=st.floats(0, 1),
)
def test_a_changed_file_is_read_or_refused(
    tmp_path: Path, kind: str, changes: list[tuple[float, bytes]], start: float
) -> None:
    octets = bytearray(KINDS[kind]()[: 4096 + int(start * 4096)])
    for share, change in changes:
        at = int(share * (len(octets) - len(change)))
        octets[at : at + len(change)] = change
    world = World()
    report = run(world, tmp_path, bytes(octets))
    assert all(0 <= refused.offset <= len(octets) for refused in report.refused)
    world.close()
