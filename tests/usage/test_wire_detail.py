"""Detail files: what a record becomes, what is refused, and that the next one is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import Packet, parse
from opencarrier.usage.wire.detail import LINE_OCTETS_MAX, LINES_MAX, DetailReader
from opencarrier.usage.wire.records import Datagram, Item, Refused

from . import capture

HEAD = "Mon Nov 23 09:39:12 2026\n"
TAIL = "\tTimestamp = 1795426752\n\n"
GOOD = f'{HEAD}\tAcct-Status-Type = Start\n\tAcct-Session-Id = "1"\n{TAIL}'


def read(text: str | bytes, size: int | None = None) -> list[Item]:
    octets = text.encode() if isinstance(text, str) else text
    reader, found = DetailReader(), []
    for start in range(0, len(octets), size or max(1, len(octets))):
        found += reader.feed(octets[start : start + (size or len(octets))])
    return [*found, *reader.finish()]


def packet(lines: str) -> Packet:
    (item,) = read(HEAD + lines + TAIL)
    assert isinstance(item, Datagram), item
    return parse(item.payload)


def test_a_record_becomes_its_packet() -> None:
    text = (
        '\tAcct-Status-Type = Interim-Update\n\tAcct-Session-Id = "7CC4 \\"x\\" \\\\ é"\n'
        "\tClass = 0x0102ff00\n\tClass = 0xaa\n\tAcct-Session-Time = 1773\n"
        '\tEvent-Timestamp = "Nov 14 2023 22:13:20 UTC"\n\tAcct-Output-Gigawords = 1\n'
        "\tAcct-Terminate-Cause = User-Request\n\tNAS-IP-Address = 1.2.3.4\n"
        "\tChargeable-User-Identity = 0x63756931\n\tTunnel-Type:1 = VLAN\n"
        '\tWISPr-Location-ID = "isocc"\n\tAttr-250 = 0x01\n\tCalled-Station-Id = "\\377\\001\\n"\n'
    )
    (item,) = read(HEAD + text + TAIL)
    assert isinstance(item, Datagram)
    assert (item.offset, item.time_us, item.port) == (0, 1_795_426_752_000_000, 1813)
    found = parse(item.payload)
    assert found.text(Type.ACCT_SESSION_ID) == '7CC4 "x" \\ é'
    assert found.all(Type.CLASS) == (b"\x01\x02\xff\x00", b"\xaa")
    assert found.integer(Type.EVENT_TIMESTAMP) == 1_700_000_000
    assert found.integer(Type.ACCT_STATUS_TYPE) == 3
    assert found.integer(Type.ACCT_SESSION_TIME) == 1773
    assert found.integer(Type.ACCT_OUTPUT_GIGAWORDS) == 1
    assert found.integer(Type.ACCT_TERMINATE_CAUSE) == 1
    assert found.get(Type.NAS_IP_ADDRESS) == bytes((1, 2, 3, 4))
    assert found.get(Type.CHARGEABLE_USER_IDENTITY) == b"cui1"
    assert found.get(Type.CALLED_STATION_ID) == b"\xff\x01\n"
    assert len(found.attributes) == 11


def test_the_own_capture_comes_back_attribute_for_attribute() -> None:
    items = read(capture.detail())
    sent = capture.requests()
    assert len(items) == len(sent)
    for item, was in zip(items, sent, strict=True):
        assert isinstance(item, Datagram)
        found, expected = parse(item.payload), parse(was.payload)
        kept = tuple(a for a in expected.attributes if a[0] not in (45, 186))
        assert found.attributes == kept


@pytest.mark.parametrize(
    ("line", "kind", "number"),
    [
        ("Acct-Status-Type = Alive", Type.ACCT_STATUS_TYPE, 3),
        ("Acct-Status-Type = Accounting-On", Type.ACCT_STATUS_TYPE, 7),
        ("Acct-Status-Type = Accounting-Off", Type.ACCT_STATUS_TYPE, 8),
        ("Acct-Status-Type = 2", Type.ACCT_STATUS_TYPE, 2),
        ("Acct-Terminate-Cause = 99", Type.ACCT_TERMINATE_CAUSE, 99),
        ("Event-Timestamp = 1700000000", Type.EVENT_TIMESTAMP, 1_700_000_000),
        ('Event-Timestamp = "Nov  4 2023 22:13:20 GMT"', Type.EVENT_TIMESTAMP, 1_699_136_000),
    ],
)
def test_values(line: str, kind: Type, number: int) -> None:
    assert packet(f"\t{line}\n").integer(kind) == number


@pytest.mark.parametrize(
    "line",
    [
        'Event-Timestamp = "Nov 14 2023 22:13:20 CET"',
        'Event-Timestamp = "Foo 14 2023 22:13:20 UTC"',
        "Acct-Terminate-Cause = Some-Vendors-Own",
    ],
)
def test_a_value_that_is_not_certain_is_left_out(line: str) -> None:
    found = packet(f"\tAcct-Status-Type = Stop\n\t{line}\n")
    assert [kind for kind, _ in found.attributes] == [40]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Acct-Output-Octets = 4294967296", "attribute_value"),
        ("Acct-Output-Octets = -1", "attribute_value"),
        ("Acct-Output-Octets = many", "attribute_value"),
        ("Acct-Status-Type = Foo", "attribute_value"),
        ("User-Name = bare", "attribute_value"),
        ('User-Name = "open', "attribute_value"),
        ("Class = 0x0", "attribute_value"),
        ("NAS-IP-Address = 1.2.3", "attribute_value"),
        ('Event-Timestamp = "Feb 31 2023 22:13:20 UTC"', "attribute_value"),
        ('Event-Timestamp = "Feb 3 9999 22:13:20 UTC"', "attribute_value"),
        ('User-Name = "' + "x" * 254 + '"', "attribute_size"),
        ("no equals sign", "line"),
        ("Framed-Protocol = PPP", "attributes_missing"),
        ("\n".join(['\tClass = "' + "x" * 250 + '"'] * 20)[1:], "packet_size"),
        ('User-Name = "' + "x" * LINE_OCTETS_MAX + '"', "line_size"),
        ("\n\t".join(["NAS-Port = 1"] * (LINES_MAX + 1)), "lines"),
    ],
)
def test_what_is_broken_is_refused_and_the_next_is_read(line: str, reason: str) -> None:
    broken = f"{HEAD}\t{line}\n{TAIL}"
    for size in (None, 100):
        first, refused, last = read(GOOD + broken + GOOD, size)
        assert refused == Refused(len(GOOD), reason)
        assert isinstance(first, Datagram)
        assert isinstance(last, Datagram)
        assert last.offset == len((GOOD + broken).encode())


def test_a_record_radiusd_died_in_is_refused_and_the_next_is_read() -> None:
    refused, item = read(f"{HEAD}\tAcct-Status-Type = Start\n" + GOOD)
    assert refused == Refused(0, "record_cut")
    assert isinstance(item, Datagram)


def test_cut_anywhere_what_was_whole_is_kept() -> None:
    octets = capture.detail(capture.requests()[:6])
    whole = read(octets)
    for at in range(len(octets)):
        found = read(octets[:at], 1 + at % 50)
        kept = [item for item in found if isinstance(item, Datagram)]
        assert kept == whole[: len(kept)]
        start = octets.rfind(b"\n\n", 0, at)
        start = start + 2 if start >= 0 else 0
        refused = [item for item in found if isinstance(item, Refused)]
        if kept and octets[:at].endswith(b"\n") and not octets[:at].endswith(b"\n\n"):
            # the last record may be whole but for its blank line: only Timestamp shows it
            assert len(kept) == octets[:at].count(b"Timestamp = ") - octets[:at].count(b"Event-")
        if refused:
            assert refused == [Refused(start, "record_cut")]
        elif at and not octets[:at].endswith(b"\n\n"):
            assert kept[-1].offset == start


def test_line_ends_of_another_system() -> None:
    assert len(read(GOOD.replace("\n", "\r\n"))) == 1


def test_a_record_without_a_timestamp_tells_no_time() -> None:
    (item,) = read(f"{HEAD}\tAcct-Status-Type = Start\n\n")
    assert isinstance(item, Datagram)
    assert item.time_us is None


def test_an_endless_line_is_not_held() -> None:
    reader = DetailReader()
    for _ in range(100):
        assert not list(reader.feed(b"x" * 1000))
        assert len(reader._buffer) <= LINE_OCTETS_MAX + 1000
    assert list(reader.finish()) == [Refused(0, "line_size")]


@settings(max_examples=150)
@given(octets=st.binary(max_size=300), size=st.integers(1, 50))
def test_garbage_is_refused(octets: bytes, size: int) -> None:
    for item in read(octets, size):
        assert isinstance(item, Refused)
        assert 0 <= item.offset <= len(octets)


_LINES = st.sampled_from(
    [HEAD, TAIL, "\n", "\tUser-Name = ", '"x"\n', "\tClass = 0x", "\\", "\t", "=", GOOD, '"\n']
) | st.text(max_size=12)


@settings(max_examples=150)
@given(parts=st.lists(_LINES, max_size=20))
def test_nearly_a_detail_file_is_read_or_refused(parts: list[str]) -> None:
    octets = "".join(parts).encode()
    offsets = [item.offset for item in read(octets)]
    assert offsets == sorted(set(offsets))
    assert all(0 <= offset <= len(octets) for offset in offsets)


def test_pieces_of_any_size_are_the_same(tmp_path: Path) -> None:
    octets = capture.detail()
    assert read(octets, 1_000) == read(octets) == read(octets, 13)
