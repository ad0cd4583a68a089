"""Credit control: what requests come to, however they were carried, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Rat, Service, Side
from opencarrier.usage.record import UsageRecord, check
from opencarrier.usage.wire.diameter import credit, transport
from opencarrier.usage.wire.diameter import records as module
from opencarrier.usage.wire.diameter.message import MESSAGE_OCTETS_MAX, avps, length_of, time_us
from opencarrier.usage.wire.diameter.records import DiameterRecordReader
from opencarrier.usage.wire.pcap import PcapFrames
from opencarrier.usage.wire.pcapng import PcapngFrames
from opencarrier.usage.wire.records import Refused, Severity

from . import diameter_wire as wire
from .tap_files import DATA

CAPTURE = DATA / "magma-gy-gx-charging.pcapng"
SESSION = [
    wire.request("s;1", 1, 0),
    wire.request("s;1", 2, 1, wire.used(total=1_000, into=400), at_s=wire.START_S + 10),
    wire.request("s;1", 2, 2, wire.used(into=50, out=60), at_s=wire.START_S + 20),
    wire.request("s;1", 3, 3, wire.used(total=7), wire.used(out=3), at_s=wire.START_S + 31),
]


def real(size: int = 1 << 16) -> list[UsageRecord | Refused]:
    origin = replace(wire.ORIGIN, visited=PartyId("op_visited"), home=PartyId("op_home"))
    octets = CAPTURE.read_bytes()
    reader, found = DiameterRecordReader(origin, PcapngFrames()), []
    for start in range(0, len(octets), size):
        found += reader.feed(octets[start : start + size])
    return [*found, *reader.finish()]


needs_capture = pytest.mark.skipif(not CAPTURE.exists(), reason="../shared/data is not there")


@needs_capture
def test_the_real_capture_gives_its_sessions_and_octets() -> None:
    found = real()
    records = [item for item in found if isinstance(item, UsageRecord)]
    assert len(found) == len(records) == 128, "four rating groups a session"
    assert sum(record.octets_in + record.octets_out for record in records) == 898_000
    assert len({record.session_id for record in records}) == 32
    assert len({record.usage_id for record in records}) == len(records)
    assert len({record.subject for record in records}) == 32
    assert set(Counter(record.session_id for record in records).values()) == {4}
    assert all(record.is_final and record.rat is Rat.EUTRAN for record in records)
    assert [check(record) for record in records] == [None] * 128
    assert real(4_099) == found


@pytest.mark.peer
@needs_capture
def test_tshark_counts_the_same() -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    wanted = "diameter.cmd.code==272 && diameter.flags.request==1 && diameter.applicationId==4"
    command = ["tshark", "-r", str(CAPTURE), "-Y", wanted, "-T", "pdml"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    used: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    for message in ElementTree.fromstring(done.stdout).iter("proto"):
        kind = _shown(message, "diameter.CC-Request-Type")
        if message.get("name") != "diameter" or not kind:
            continue
        kinds[kind[0]] += 1
        (name,) = _shown(message, "diameter.Session-Id")
        for service in message.iter("field"):
            if service.get("name") == "diameter.Multiple-Services-Credit-Control":
                (group,) = _shown(service, "diameter.Rating-Group")
                for unit in service.iter("field"):
                    if unit.get("name") == "diameter.Used-Service-Unit":
                        told = _shown(unit, "diameter.CC-Total-Octets")
                        used[name, group] += sum(map(int, told))
    records = [item for item in real() if isinstance(item, UsageRecord)]
    assert kinds == {"1": 32, "2": 368, "3": 32}
    assert sorted(used.values()) == sorted(r.octets_in + r.octets_out for r in records)
    assert sum(used.values()) == 898_000


def _shown(element: ElementTree.Element, name: str) -> list[str]:
    return [f.get("show", "") for f in element.iter("field") if f.get("name") == name]


def test_a_session_is_what_its_requests_come_to() -> None:
    (record,), refused = wire.read([wire.sctp(wire.chunk(n, m)) for n, m in enumerate(SESSION)])
    assert refused == []
    assert (record.octets_in, record.octets_out) == (450, 670)
    assert (record.visited, record.home, record.reporter) == ("op_visited", "op_home", "op_visited")
    assert (record.side, record.service, record.rat) == (Side.VISITED, Service.DATA, Rat.EUTRAN)
    assert (record.start_us, record.duration_s) == (wire.START_S * 1_000_000, 31)
    assert record.is_final
    assert check(record) is None


@given(
    st.lists(st.integers(1, 900), max_size=12), st.permutations(range(13)), st.integers(0, 2**32)
)
@settings(max_examples=60)
def test_tcp_in_any_pieces_and_order_is_the_same(
    cuts: list[int], order: list[int], first: int
) -> None:
    octets = b"".join(SESSION)
    places = sorted({0, *(cut % len(octets) for cut in cuts), len(octets)})
    pieces = [(first + a, octets[a:b]) for a, b in pairwise(places)]
    syn = wire.segment(first - 1, b"", flags=2)
    start, *rest = [wire.segment(*piece) for piece in pieces]
    mixed = [rest[at] for at in order if at < len(rest)]
    expected, _ = wire.read([wire.sctp(wire.chunk(n, m)) for n, m in enumerate(SESSION)])
    got, refused = wire.read([syn, start, *mixed, *mixed[:2]])
    assert refused == [r for r in refused if r.severity is Severity.WARNING]
    if len(pieces[0][1]) >= 4:
        assert [plain(r) for r in got] == [plain(r) for r in expected]


def plain(record: UsageRecord) -> UsageRecord:
    return replace(record, source_offset=0)


@given(st.lists(st.integers(1, 400), max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_sctp_in_any_pieces_and_order_is_the_same(cuts: list[int], dice: Random) -> None:
    chunks, tsn = [], 2**32 - 3
    for octets in SESSION:
        places = sorted({0, *(cut % len(octets) for cut in cuts), len(octets)})
        for a, b in pairwise(places):
            ends = {"first": a == 0, "last": b == len(octets)}
            chunks.append(wire.chunk(tsn, octets[a:b], **ends))
            tsn += 1
    expected, _ = wire.read([wire.sctp(c) for c in chunks])
    shuffled = [*chunks, *chunks[:3]]
    dice.shuffle(shuffled)
    got, refused = wire.read([wire.sctp(*shuffled[:3]), *(wire.sctp(c) for c in shuffled[3:])])
    assert refused == []
    assert [plain(record) for record in got] == [plain(record) for record in expected]
    assert (got[0].octets_in, got[0].octets_out, got[0].is_final) == (450, 670, True)


def test_a_request_sent_again_counts_once() -> None:
    twice = [m for m in SESSION for _ in range(2)] + SESSION[-1:]
    (record,), refused = wire.read([wire.sctp(wire.chunk(n, m)) for n, m in enumerate(twice)])
    assert refused == []
    assert record.octets_in + record.octets_out == 1_120


def test_requests_that_the_capture_lacks_are_told() -> None:
    packets = [wire.sctp(wire.chunk(n, m)) for n, m in enumerate(SESSION) if n in (2, 3)]
    (record,), (refused,) = wire.read(packets)
    assert (refused.reason, refused.severity, refused.detail) == (
        "requests_missing",
        Severity.WARNING,
        "2",
    )
    assert record.octets_in + record.octets_out == 120
    assert refused.offset == record.source_offset == 24


def test_a_session_that_has_not_ended_is_told_at_the_end_of_the_file() -> None:
    (record,), _ = wire.read([wire.sctp(wire.chunk(n, m)) for n, m in enumerate(SESSION[:2])])
    assert not record.is_final
    assert record.octets_in + record.octets_out == 1_000


def test_a_hole_in_tcp_is_refused_and_the_stream_goes_on() -> None:
    gone = [wire.segment(10_000 + at * 5_000, b"x" * 4_096) for at in range(1, 66)]
    after = wire.segment(2_000_000, SESSION[1])
    (record,), refused = wire.read([wire.segment(1, SESSION[0]), *gone, after])
    assert [r.reason for r in refused] == ["tcp_gap"]
    assert record.octets_in + record.octets_out == 1_000


def test_what_is_no_message_in_tcp_is_refused_and_the_stream_goes_on() -> None:
    noise = wire.segment(1 + len(SESSION[0]), b"\x02" * 40)
    after = wire.segment(9_999, SESSION[1])
    (record,), refused = wire.read([wire.segment(1, SESSION[0]), noise, after])
    assert [r.reason for r in refused] == ["diameter_header"]
    assert record.octets_in + record.octets_out == 1_000


def test_pieces_of_sctp_that_never_meet_are_refused() -> None:
    pieces = [wire.chunk(2 * n, b"1234", first=False, last=False) for n in range(65)]
    _, refused = wire.read([*map(wire.sctp, pieces), wire.sctp(wire.chunk(999, SESSION[0]))])
    assert [r.reason for r in refused] == ["sctp_gap"]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (wire.ip(6, b"short"), "transport_header"),
        (wire.ip(6, bytes(2) + (3868).to_bytes(2, "big") + bytes(16)), "transport_header"),
        (wire.sctp(b"\x00\x03\x00\x02"), "sctp_chunk"),
        (wire.sctp(wire.chunk(1, b"\x02" * 20)), "diameter_header"),
        (wire.sctp(wire.chunk(1, b"")), "diameter_header"),
        (wire.sctp(wire.chunk(1, wire.message(b"1234"))), "avp_length"),
        (wire.sctp(wire.chunk(1, wire.message(wire.avp(263, b"x")))), "request"),
        (wire.sctp(wire.chunk(1, wire.request(kind=9))), "request"),
        (wire.sctp(wire.chunk(1, wire.request(name=""))), "request"),
        (wire.sctp(wire.chunk(1, wire.request(extra=wire.avp(264, b"\xff")))), "avp_value"),
        (wire.sctp(wire.chunk(1, wire.request(extra=wire.avp(415, b"12345")))), "avp_value"),
        (wire.sctp(wire.chunk(1, wire.request("a", 3, 0, imsi=None))), "subscriber"),
        (wire.sctp(wire.chunk(1, wire.request(extra=wire.used(total=2**63)))), "range"),
    ],
)
def test_reasons(packet: bytes, reason: str) -> None:
    found, refused = wire.read([packet])
    assert [r.reason for r in refused] == [reason]
    assert found == []


def test_groups_within_groups_end() -> None:
    inside = b""
    for _ in range(9):
        inside = wire.avp(456, inside)
    _, refused = wire.read([wire.sctp(wire.chunk(1, wire.request(extra=inside)))])
    assert [r.reason for r in refused] == ["depth"]


def test_a_visited_network_nobody_knows() -> None:
    origin = replace(wire.ORIGIN, party_of=lambda name: None)
    found, refused = wire.read([wire.sctp(wire.chunk(1, wire.request("a", 3, 0)))], origin)
    assert (found, [r.reason for r in refused]) == ([], ["visited_unknown"])


def test_other_messages_are_passed_over() -> None:
    others = [
        wire.message(b"", flags=0x40),
        wire.message(b"", command=280),
        wire.message(b"", application=16_777_238),
    ]
    assert wire.read([wire.sctp(wire.chunk(n, m)) for n, m in enumerate(others)]) == ([], [])
    assert wire.read([wire.sctp(wire.chunk(1, SESSION[0], payload=18))]) == ([], [])
    assert wire.read([wire.segment(1, SESSION[0]).replace(b"\x0f\x1c", b"\x0f\x1d", 1)]) == ([], [])


def test_a_one_time_event_and_other_services() -> None:
    asked = wire.request("e", 4, 0, context="32274@3gpp.org")
    spoken = wire.request("v", 3, 0, wire.used(seconds=61), context="32260@3gpp.org")
    (message, voice), _ = wire.read([wire.sctp(wire.chunk(1, asked), wire.chunk(2, spoken))])
    assert (message.service, message.units) == (Service.MESSAGE, 1)
    assert (voice.service, voice.duration_s) == (Service.VOICE, 61)


def test_each_rating_group_is_a_record_of_its_session() -> None:
    """Group by group over all requests; time and id of the session are counted once."""
    requests = [
        wire.request("g", 1, 0),
        wire.request("g", 2, 1, wire.used(into=5, group=7), wire.used(out=6, last=True)),
        wire.request("g", 3, 2, wire.used(out=1, group=7, last=True), wire.used(out=2, group=None),
                     at_s=wire.START_S + 40),
    ]  # fmt: skip
    packets = [wire.sctp(wire.chunk(n, message)) for n, message in enumerate(requests)]
    origin = replace(wire.ORIGIN, service_of_group={7: Service.VOICE, 9: Service.IOT})
    records, refused = wire.read(packets, origin=origin)
    assert refused == []
    assert [(r.service, r.octets_in, r.octets_out, r.duration_s) for r in records] == [
        (Service.DATA, 0, 2, 40),
        (Service.VOICE, 5, 1, 0),
        (Service.IOT, 0, 6, 0),
    ]
    assert len({record.session_id for record in records}) == 1
    assert len({record.usage_id for record in records}) == 3
    assert all(record.is_final and check(record) is None for record in records)


AMOUNTS = st.integers(0, 1 << 40)
SPENT = st.lists(
    st.tuples(st.sampled_from([None, 0, 1, (1 << 32) - 1]), AMOUNTS, AMOUNTS, st.integers(0, 99)),
    max_size=5,
)


@given(st.lists(SPENT, min_size=1, max_size=5))
@settings(max_examples=60)
def test_what_groups_used_sums_to_what_the_session_used(told: list[Any]) -> None:
    """In each direction and in time; no group is told twice."""
    last = len(told) - 1
    packets = []
    for number, spent in enumerate(told):
        parts = [wire.used(into=i, out=o, seconds=s, group=g) for g, i, o, s in spent]
        request = wire.request("s", 3 if number == last else 2, number, *parts)
        packets.append(wire.sctp(wire.chunk(number, request)))
    records, refused = wire.read(packets)
    assert refused == []
    every = [item for spent in told for item in spent]
    assert sum(r.octets_in for r in records) == sum(item[1] for item in every)
    assert sum(r.octets_out for r in records) == sum(item[2] for item in every)
    assert sum(r.duration_s for r in records) == sum(item[3] for item in every)
    assert len(records) == max(1, len({item[0] for item in every if any(item[1:])}))
    assert len({record.usage_id for record in records}) == len(records)


def test_one_group_has_the_id_it_had_when_none_were_told_apart() -> None:
    """So a capture that was imported before is a copy."""
    (alone,), _ = wire.read([wire.sctp(wire.chunk(1, wire.request("s", 3, 0, wire.used(out=5))))])
    (none,), _ = wire.read(
        [wire.sctp(wire.chunk(1, wire.request("s", 3, 0, wire.used(out=5, group=None))))]
    )
    assert alone.usage_id == none.usage_id


def test_groups_of_a_session_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request with one more is refused, and the session goes on without it."""
    monkeypatch.setattr(credit, "GROUPS_MAX", 2)
    packets = []
    for number, group in enumerate((1, 2, 3, 1)):
        asked = wire.request("s", 2, number, wire.used(out=1, group=group))
        packets.append(wire.sctp(wire.chunk(number, asked)))
    records, refused = wire.read(packets)
    assert [item.reason for item in refused] == ["groups"]
    assert [record.octets_out for record in records] == [2, 1]


def test_sessions_at_a_time_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 3)
    monkeypatch.setattr(module, "ENDED_MAX", 1)
    packets = [
        wire.sctp(wire.chunk(n, wire.request(f"s{n}", 1, 0, wire.used(total=n)))) for n in range(5)
    ]
    reader = DiameterRecordReader(wire.ORIGIN, PcapFrames())
    early = [item for item in reader.feed(wire.pcap(packets)) if isinstance(item, UsageRecord)]
    assert [record.octets_out for record in early] == [0, 1]
    assert [r.octets_out for r in reader.finish() if isinstance(r, UsageRecord)] == [2, 3, 4]


def test_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "STREAMS_MAX", 2)
    half = len(SESSION[0]) // 2
    ports = range(40_000, 40_004)
    begun = [wire.segment(1, SESSION[0][:half], port=port) for port in ports]
    ended = [wire.segment(1 + half, SESSION[0][half:], port=port) for port in ports]
    first, _ = wire.read([*begun, ended[0]])
    last, _ = wire.read([*begun, ended[3]])
    assert (len(first), len(last)) == (0, 1)


def test_times_go_on_after_2036() -> None:
    assert time_us((wire.START_S + 2_208_988_800).to_bytes(4, "big")) == wire.START_S * 1_000_000
    assert time_us((1).to_bytes(4, "big")) == 2_085_978_497_000_000


@pytest.mark.parametrize("length", [0, 16, 21, MESSAGE_OCTETS_MAX + 4])
def test_lengths_that_no_message_has(length: int) -> None:
    with pytest.raises(PeerError, match="diameter_header"):
        length_of(b"\x01" + length.to_bytes(3, "big"))
    assert length_of(b"\x01" + (20).to_bytes(3, "big")) == 20
    assert length_of(b"\x01" + MESSAGE_OCTETS_MAX.to_bytes(3, "big")) == MESSAGE_OCTETS_MAX


def test_attributes_are_bounded() -> None:
    assert len(list(avps(wire.avp(1, b"") * 1_023))) == 1_023
    with pytest.raises(PeerError, match="avps"):
        list(avps(wire.avp(1, b"") * 1_025))


@given(st.lists(st.binary(max_size=80), max_size=4), st.integers(0, 300), st.integers(0, 255))
@settings(max_examples=60)
def test_nothing_raises_whatever_is_carried(noise: list[bytes], at: int, octet: int) -> None:
    good = SESSION[1]
    at %= len(good)
    bad = good[:at] + bytes((octet,)) + good[at + 1 :]
    packets = [wire.sctp(wire.chunk(1, bad)), wire.segment(1, bad)]
    packets += [wire.ip(protocol, octets) for octets in noise for protocol in (6, 132)]
    packets += [wire.segment(at, octets) for octets in noise]
    packets += [wire.sctp(octets) for octets in noise]
    records, refused = wire.read(packets)
    assert len(records) <= 2
    assert all(at.offset < len(wire.pcap(packets)) for at in refused)
