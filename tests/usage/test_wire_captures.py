"""The capture readers: formats, link types, what is refused, and that nothing else ever happens."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire import link
from opencarrier.usage.wire.pcap import RECORD_OCTETS_MAX, PcapReader
from opencarrier.usage.wire.pcapng import (
    BLOCK_OCTETS_MAX,
    INTERFACES_MAX,
    PcapngFrames,
    PcapngReader,
)
from opencarrier.usage.wire.records import Datagram, Item, Reader, Refused

from . import capture

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("OPENCARRIER_TEST_DATA", ROOT.parent / "shared" / "data"))
SENT = capture.requests()[1]
PAIR = (1813, SENT.payload)
UDP = capture.udp(SENT)
MAKERS: dict[str, tuple[Callable[[], Reader], bytes]] = {
    "pcap": (PcapReader, capture.pcap(capture.framed())),
    "pcapng": (PcapngReader, capture.pcapng(capture.framed())),
}


def read(reader: Reader, octets: bytes, size: int | None = None) -> list[Item]:
    found: list[Item] = []
    for start in range(0, len(octets), size or max(1, len(octets))):
        found += reader.feed(octets[start : start + (size or len(octets))])
    return [*found, *reader.finish()]


@pytest.mark.parametrize(
    ("link_type", "vlans"),
    [
        (capture.ETHERNET, 0),
        (capture.ETHERNET, 1),
        (capture.ETHERNET, 4),
        (capture.RAW, 0),
        (12, 0),
        (14, 0),
        (capture.NULL, 0),
        (capture.SLL, 0),
        (capture.SLL, 1),
        (capture.SLL2, 0),
    ],
)
@pytest.mark.parametrize("ip", [capture.ipv4, capture.ipv6])
def test_link_types(link_type: int, vlans: int, ip: Callable[[bytes], bytes]) -> None:
    assert link.udp_of(link_type, capture.frame(link_type, ip(UDP), vlans)) == PAIR


@pytest.mark.parametrize("family", [2, 10, 24, 28, 30])
@pytest.mark.parametrize("order", ["<", ">"])
def test_loopback_families(family: int, order: str) -> None:
    packet = capture.ipv4(UDP) if family == 2 else capture.ipv6(UDP)
    frame = struct.pack(f"{order}I", family) + packet
    assert link.udp_of(link.NULL, frame) == PAIR
    assert link.udp_of(link.LOOP, frame) == PAIR


def test_ip_options_and_extensions_are_stepped_over() -> None:
    plain = capture.ipv4(UDP)
    longer = bytes((0x46,)) + plain[1:20] + b"\x01" * 4 + UDP
    longer = longer[:2] + struct.pack("!H", len(longer)) + longer[4:]
    assert link.udp_of(link.ETHERNET, capture.frame(link.ETHERNET, longer)) == PAIR
    hop, atom = bytes((44, 0)) + bytes(6), bytes((17, 0)) + bytes(6)
    assert link.udp_of(capture.RAW, capture.ipv6(hop + atom + UDP, following=0)) == PAIR


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (capture.ipv4(UDP, fragment=0x2000), "ip_fragment"),
        (capture.ipv4(UDP, fragment=1), "ip_fragment"),
        (capture.ipv6(bytes((17, 0, 0, 1)) + bytes(4) + UDP, following=44), "ip_fragment"),
        (capture.ipv6((bytes((0, 0)) + bytes(6)) * 9 + UDP, following=0), "ip_extensions"),
        (capture.ipv6(b"\x11", following=0), "ip_header"),
        (b"\x60" + bytes(20), "ip_header"),
        (b"\x44" + bytes(40), "ip_header"),
        (capture.ipv4(UDP)[:15], "ip_header"),
        (capture.ipv4(UDP)[:-1], "udp_cut"),
        (capture.ipv4(UDP[:7]), "udp_cut"),
        (capture.ipv4(UDP[:4] + b"\x00\x07" + UDP[6:]), "udp_length"),
    ],
)
def test_udp_that_is_not_whole_is_refused(packet: bytes, reason: str) -> None:
    with pytest.raises(PeerError) as caught:
        link.udp_of(capture.RAW, packet)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "frame",
    [
        capture.frame(link.ETHERNET, capture.ipv4(b"tcp" * 9, protocol=6)),
        capture.frame(link.ETHERNET, capture.ipv6(b"tcp" * 9, following=6)),
        bytes(12) + b"\x08\x06" + bytes(28),
        bytes(12) + b"\x81\x00" * 6,
        b"short",
        b"",
        bytes(12) + b"\x08\x00",
        bytes(12) + b"\x08\x00\x10",
    ],
)
def test_what_is_not_udp_is_passed_over(frame: bytes) -> None:
    assert link.udp_of(link.ETHERNET, frame) is None


def test_a_link_type_unknown_here_is_refused() -> None:
    octets = capture.pcap(capture.framed(), link_type=105)
    assert read(PcapReader(), octets) == [Refused(0, "link_type")]
    items = read(PcapngReader(), capture.pcapng(capture.framed(), link_type=105))
    assert {item.reason for item in items if isinstance(item, Refused)} == {"link_type"}
    assert len(items) == len(capture.traffic())


@settings(max_examples=300)
@given(link_type=st.sampled_from(sorted(link.LINK_TYPES)), frame=st.binary(max_size=120))
def test_any_frame_is_read_or_refused(link_type: int, frame: bytes) -> None:
    with contextlib.suppress(PeerError):
        link.udp_of(link_type, frame)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_pieces_of_any_size_are_the_same(kind: str, size: int) -> None:
    make, octets = MAKERS[kind]
    assert read(make(), octets, size) == read(make(), octets)


@pytest.mark.parametrize("kind", MAKERS)
def test_cut_at_every_97th_octet_keeps_what_was_whole(kind: str) -> None:
    make, octets = MAKERS[kind]
    cut_everywhere(make, octets)


def test_the_real_capture_cut_at_every_97th_octet() -> None:
    path = DATA / "wba-accounting-download-5gb.pcap"
    if not path.exists():
        pytest.skip(f"no real capture: {path.name} is not in OPENCARRIER_TEST_DATA")
    cut_everywhere(PcapReader, path.read_bytes())


def cut_everywhere(make: Callable[[], Reader], octets: bytes) -> None:
    """Every frame here is UDP, so a record ends where the next datagram's begins."""
    whole = read(make(), octets)
    assert all(isinstance(item, Datagram) for item in whole)
    ends = [*(item.offset for item in whole[1:]), len(octets)]
    for at in range(0, len(octets), 97):
        count = sum(end <= at for end in ends)
        found = read(make(), octets[:at])
        kept, refused = found[:count], found[count:]
        assert kept == whole[:count]
        begins = whole[count].offset
        assert len(refused) == (0 if at == begins else 1)
        if at > begins:
            assert refused == [Refused(begins, "record_cut")]


@settings(max_examples=150)
@given(
    kind=st.sampled_from(sorted(MAKERS)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=5)), max_size=9),
)
def test_a_changed_capture_is_read_or_refused(
    kind: str, changes: list[tuple[float, bytes]]
) -> None:
    make, original = MAKERS[kind]
    octets = bytearray(original[:6000])
    for share, change in changes:
        at = int(share * (len(octets) - len(change)))
        octets[at : at + len(change)] = change
    for item in read(make(), bytes(octets), 1000):
        assert 0 <= item.offset <= len(octets)


@settings(max_examples=150)
@given(octets=st.binary(max_size=400), kind=st.sampled_from(sorted(MAKERS)))
def test_garbage_is_refused(octets: bytes, kind: str) -> None:
    make, start = MAKERS[kind]
    for octets_ in (octets, start[:24] + octets, start[:28] + octets):
        assert all(0 <= item.offset <= len(octets_) for item in read(make(), octets_))


def test_a_pcap_header_that_is_none() -> None:
    assert read(PcapReader(), b"") == [Refused(0, "header_cut")]
    assert read(PcapReader(), b"\xd4\xc3\xb2\xa1") == [Refused(0, "header_cut")]
    assert read(PcapReader(), bytes(24)) == [Refused(0, "magic")]
    octets = bytearray(capture.pcap([]))
    assert read(PcapReader(), bytes(octets)) == []
    octets[4] = 3
    assert read(PcapReader(), bytes(octets)) == [Refused(0, "version")]


@pytest.mark.parametrize(("size", "reason"), [(0, "record_cut"), (1, "record_size")])
def test_a_record_beyond_the_limit_ends_the_capture(size: int, reason: str) -> None:
    octets = capture.pcap(capture.framed(sent=[SENT]))
    head = struct.pack("<IIII", 1, 0, RECORD_OCTETS_MAX + size, 0)
    found = read(PcapReader(), octets + head + bytes(100))
    assert found[-1] == Refused(len(octets), reason)
    assert len(found) == 2


def test_times_are_microseconds() -> None:
    frames = capture.framed(sent=[replace(SENT, time_us=1_700_000_000_123_456)])
    for order in "<>":
        for nanoseconds in (False, True):
            octets = capture.pcap(frames, order=order, nanoseconds=nanoseconds)
            (item,) = read(PcapReader(), octets)
            assert isinstance(item, Datagram)
            assert item.time_us == 1_700_000_000_123_456


def ng(*blocks: bytes, order: str = "<") -> list[Item]:
    return read(PcapngReader(), b"".join((capture.section(order), *blocks)))


FRAME = capture.framed(sent=[SENT])[0][1]


@pytest.mark.parametrize(
    ("resolution", "ticks", "time_us"),
    [
        (bytes((6,)), 1_700_000_000_123_456, 1_700_000_000_123_456),
        (bytes((9,)), 1_700_000_000_123_456_789, 1_700_000_000_123_456),
        (bytes((3,)), 1_700_000_000_123, 1_700_000_000_123_000),
        (bytes((0,)), 1_700_000_000, 1_700_000_000_000_000),
        (bytes((0x80 | 10,)), 1_700_000_000 << 10 | 512, 1_700_000_000_500_000),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_timestamp_resolutions(resolution: bytes, ticks: int, time_us: int, order: str) -> None:
    options = capture.option(order, 9, resolution) + capture.option(order, 0, b"")
    (item,) = ng(
        capture.interface(order=order, options=options),
        capture.enhanced(FRAME, ticks, order),
        order=order,
    )
    assert isinstance(item, Datagram)
    assert item.time_us == time_us


def test_a_time_offset_is_added_and_one_beyond_reason_is_no_time() -> None:
    for offset_s, time_us in ((100, 100_000_007), (-100, None), (1 << 60, None)):
        options = capture.option("<", 14, struct.pack("<q", offset_s))
        (item,) = ng(capture.interface(options=options), capture.enhanced(FRAME, 7))
        assert isinstance(item, Datagram)
        assert item.time_us == time_us


def test_sections_each_have_their_order_and_interfaces() -> None:
    octets = (
        capture.pcapng(capture.framed(sent=[SENT]))
        + capture.section(">")
        + capture.interface(capture.RAW, ">")
        + capture.enhanced(capture.ipv4(UDP), 5, ">")
    )
    first, second = read(PcapngReader(), octets)
    assert isinstance(first, Datagram)
    assert isinstance(second, Datagram)
    assert first.payload == second.payload == SENT.payload


def test_simple_and_old_packets() -> None:
    simple = capture.block("<", 3, struct.pack("<I", len(FRAME)) + FRAME)
    head = struct.pack("<HHIIII", 0, 0, 0, 9, len(FRAME), len(FRAME))
    old = capture.block("<", 2, head + FRAME)
    statistics = capture.block("<", 5, bytes(12))
    first, second = ng(capture.interface(), simple, statistics, old)
    assert isinstance(first, Datagram)
    assert isinstance(second, Datagram)
    assert (first.time_us, second.time_us) == (None, 9)
    assert first.payload == second.payload == SENT.payload


@pytest.mark.parametrize(
    ("blocks", "reasons"),
    [
        ([capture.enhanced(FRAME, 1)], ["interface"]),
        ([capture.block("<", 3, struct.pack("<I", 4) + b"abcd")], ["interface"]),
        ([capture.interface(), capture.enhanced(FRAME, 1, number=1)], ["interface"]),
        ([capture.interface(), capture.block("<", 6, bytes(8))], ["packet_length"]),
        ([capture.interface(), capture.block("<", 3, b"")], ["packet_length"]),
        (
            [capture.interface(), capture.block("<", 6, struct.pack("<IIIII", 0, 0, 0, 99, 99))],
            ["packet_length"],
        ),
        ([capture.block("<", 1, b"abcd")], ["interface"]),
        ([capture.interface(options=capture.option("<", 9, b"\x7f"))], ["resolution"]),
        ([struct.pack("<III", 6, 13, 0)], ["block_length"]),
        ([struct.pack("<III", 6, 8, 0)], ["block_length"]),
        ([struct.pack("<IIII", 6, 16, 0, 12)], ["block_length"]),
        ([capture.interface()] * (INTERFACES_MAX + 1), ["interface"]),
    ],
)
def test_pcapng_that_is_broken(blocks: list[bytes], reasons: list[str]) -> None:
    assert [item.reason for item in ng(*blocks) if isinstance(item, Refused)] == reasons


def test_a_broken_packet_does_not_end_the_capture() -> None:
    refused, item = ng(
        capture.interface(), capture.enhanced(FRAME, 1, number=7), capture.enhanced(FRAME, 2)
    )
    assert isinstance(refused, Refused)
    assert isinstance(item, Datagram)


def test_a_huge_block_is_stepped_over_without_being_held() -> None:
    huge = capture.block("<", 0x0BAD, bytes(BLOCK_OCTETS_MAX))
    items = ng(capture.interface(), huge, capture.enhanced(FRAME, 2))
    assert [type(item) for item in items] == [Refused, Datagram]
    reader = PcapngFrames()
    octets = capture.section() + huge
    for start in range(0, len(octets), 1000):
        list(reader.feed(octets[start : start + 1000]))
        assert len(reader._buffer) <= 1000 + 12
    assert not list(reader.finish())


def test_pcapng_that_is_none() -> None:
    assert read(PcapngReader(), b"") == [Refused(0, "record_cut")]
    assert read(PcapngReader(), bytes(40)) == [Refused(0, "magic")]
    wrong = capture.block("<", 0x0A0D0D0A, bytes(16))
    assert read(PcapngReader(), wrong) == [Refused(0, "byte_order")]
