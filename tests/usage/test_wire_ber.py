"""BER: a generated tree in pieces of any size, what damage costs, and a foreign eye."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire import ber
from opencarrier.usage.wire.ber import (
    DEPTH_MAX,
    ELEMENT_OCTETS_MAX,
    Closed,
    ElementReader,
    Opened,
    Piece,
    Whole,
    application,
    elements,
    header,
)
from opencarrier.usage.wire.records import Refused, Severity

ROOT, LIST = application(1), application(3)
ENTER = frozenset({(ROOT,), (ROOT, LIST)})


@dataclass(frozen=True)
class Node:
    number: int
    content: bytes | tuple[Node, ...]
    indefinite: bool = False
    padding: int = 0

    def encode(self) -> bytes:
        tag = application(self.number)
        octets = bytearray(tag.to_bytes((tag.bit_length() + 7) // 8, "big"))
        if isinstance(self.content, bytes):
            return bytes(octets) + self._length(len(self.content)) + self.content
        octets[0] |= 0x20
        inside = b"".join(node.encode() for node in self.content)
        if self.indefinite:
            return bytes(octets) + b"\x80" + inside + bytes(2)
        return bytes(octets) + self._length(len(inside)) + inside

    def _length(self, length: int) -> bytes:
        if length < 128 and not self.padding:
            return bytes((length,))
        octets = length.to_bytes((length.bit_length() + 7) // 8 + self.padding, "big")
        return bytes((0x80 | len(octets),)) + octets


numbers = st.integers(10, 600)
nodes = st.recursive(
    st.builds(Node, numbers, st.binary(max_size=150), padding=st.integers(0, 2)),
    lambda inner: st.builds(
        Node, numbers, st.lists(inner, max_size=4).map(tuple), st.booleans(), st.integers(0, 2)
    ),
    max_leaves=8,
)


def read(octets: bytes, size: int | None = None) -> list[Piece | Refused]:
    reader, found = ElementReader(ENTER), []
    for start in range(0, len(octets), size or max(1, len(octets))):
        found += reader.feed(octets[start : start + (size or len(octets))])
    return [*found, *reader.finish()]


def tree(octets: bytes) -> list[object]:
    return [
        (e.tag, tree(octets[e.start : e.end]) if e.constructed else octets[e.start : e.end])
        for e in elements(octets, 0, len(octets))
    ]


def plain(node: Node) -> object:
    inside = node.content if isinstance(node.content, bytes) else [plain(n) for n in node.content]
    return (application(node.number), inside)


@given(nodes)
def test_what_was_written_is_read(node: Node) -> None:
    assert tree(node.encode()) == [plain(node)]


@given(st.lists(nodes, max_size=5), st.booleans(), st.booleans(), st.integers(1, 40))
@settings(max_examples=60)
def test_pieces_of_any_size_give_the_same(
    events: list[Node], outer: bool, inner: bool, size: int
) -> None:
    octets = Node(
        1, (Node(4, b"head"), Node(3, tuple(events), inner), Node(15, b"")), outer
    ).encode()
    whole = read(octets)
    assert read(octets, size) == whole
    taken = [piece.octets for piece in whole if isinstance(piece, Whole)]
    assert taken == [
        Node(4, b"head").encode(),
        *(e.encode() for e in events),
        Node(15, b"").encode(),
    ]
    for piece in whole:
        assert isinstance(piece, Whole | Opened | Closed)
        if isinstance(piece, Whole):
            assert octets[piece.offset :].startswith(piece.octets)


@given(st.binary(max_size=200), st.integers(1, 30))
@settings(max_examples=200)
def test_no_octets_raise(octets: bytes, size: int) -> None:
    found = read(octets, size)
    assert found == read(octets)
    for item in found:
        assert 0 <= item.offset <= len(octets)


@given(st.lists(nodes, min_size=1, max_size=4), st.booleans(), st.data())
@settings(max_examples=80)
def test_what_stands_before_the_damage_is_never_lost(
    events: list[Node], indefinite: bool, data: st.DataObject
) -> None:
    octets = Node(1, (Node(3, tuple(events), indefinite), Node(15, b"\x01")), indefinite).encode()
    at = data.draw(st.integers(0, len(octets) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = octets[:at] + bytes((octets[at] ^ 1 << bit,)) + octets[at + 1 :]
    for damaged in (flipped, octets[:at]):
        before = [
            p for p in read(octets) if isinstance(p, Whole) and p.offset + len(p.octets) <= at
        ]
        got = read(damaged)
        header_of_holder = [p.offset for p in read(octets) if isinstance(p, Opened)]
        if damaged is flipped and any(at - 6 <= offset <= at for offset in header_of_holder):
            continue
        assert [p for p in got if isinstance(p, Whole)][: len(before)] == before


def test_a_cut_file_says_where() -> None:
    octets = Node(1, (Node(3, (Node(20, b"one"), Node(21, b"two"))), Node(15, b""))).encode()
    at = octets.index(b"two")
    found = read(octets[: at + 1])
    assert found[-1] == Refused(at - 2, "cut", Severity.FATAL)
    assert read(b"") == [Refused(0, "cut", Severity.FATAL)]
    assert [f for f in read(octets) if isinstance(f, Refused)] == []


def test_a_child_beyond_its_parent_costs_what_holds_it_and_no_more() -> None:
    octets = bytearray(
        Node(1, (Node(3, (Node(20, b"one"), Node(21, b"two"))), Node(15, b"z"))).encode()
    )
    at = octets.index(b"two") - 1
    octets[at] = 60
    found = read(bytes(octets))
    assert Refused(at - 1, "length", Severity.FATAL) in found
    taken = [piece.octets[-1:] for piece in found if isinstance(piece, Whole)]
    assert taken == [b"e", b"z"]


@pytest.mark.parametrize("indefinite", [False, True])
@pytest.mark.parametrize("size", [ELEMENT_OCTETS_MAX + 1, 4096])
def test_an_element_too_large_is_stepped_over(indefinite: bool, size: int) -> None:
    large = Node(20, (Node(22, bytes(ELEMENT_OCTETS_MAX + 1)),), indefinite)
    octets = Node(1, (Node(3, (large, Node(21, b"two"))),)).encode()
    found = read(octets, size)
    refused = [item for item in found if isinstance(item, Refused)]
    assert refused == [Refused(octets.index(large.encode()), "element_size")]
    assert [piece.octets for piece in found if isinstance(piece, Whole)] == [
        Node(21, b"two").encode()
    ]


def test_an_element_of_the_largest_size_is_taken() -> None:
    node = Node(20, bytes(ELEMENT_OCTETS_MAX - 5))
    assert len(node.encode()) == ELEMENT_OCTETS_MAX
    found = read(Node(1, (Node(3, (node,)),)).encode(), 1 << 16)
    assert [len(p.octets) for p in found if isinstance(p, Whole)] == [ELEMENT_OCTETS_MAX]


def test_nothing_much_waits() -> None:
    reader = ElementReader(ENTER)
    list(reader.feed(b"\x61\x80\x63\x80"))
    for _ in range(200):
        list(reader.feed(Node(20, bytes(40_000)).encode()))
        assert len(reader._octets) < 50_000
    list(reader.feed(b"\x74\x80"))
    for _ in range(200):
        list(reader.feed(Node(20, bytes(40_000)).encode()))
        assert len(reader._octets) <= ELEMENT_OCTETS_MAX + 50_000


@pytest.mark.parametrize("depth", [DEPTH_MAX, DEPTH_MAX + 1])
def test_depth(depth: int) -> None:
    octets = b"\x74\x80" * depth + bytes(2 * depth)
    found = read(octets)
    assert isinstance(found[0], Whole) == (depth == DEPTH_MAX)
    if depth > DEPTH_MAX:
        assert found[0] == Refused(0, "depth", Severity.FATAL)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("5f80 44 00", "tag_form"),
        ("5f1e 00", "tag_form"),
        ("5f81818181818100", "tag_size"),
        ("4480", "length_form"),
        ("44ff", "length_form"),
        ("4489000000000000000001", "length_form"),
        ("0001", "tag_form"),
        ("2000", "tag_form"),
        ("0000", "end_of_contents"),
        ("6300 6300", "trailing"),
        ("6380 0000 0000", "trailing"),
        ("61 04 63 04 74 00", "length"),
        ("61 03 63 01 00", "length"),
        ("61 03 63 80 00", "length"),
        ("61 02 00 00", "end_of_contents"),
    ],
)
def test_reasons(octets: str, reason: str) -> None:
    found = read(bytes.fromhex(octets))
    refused = [item.reason for item in found if isinstance(item, Refused)]
    assert refused[0] == reason, found


def test_tags() -> None:
    assert application(1) == 0x41
    assert application(30) == 0x5E
    assert application(31) == 0x5F1F
    assert application(196) == 0x5F8144
    assert application(450) == 0x5F8342
    for number in range(0, 20_000, 7):
        tag = application(number)
        octets = tag.to_bytes((tag.bit_length() + 7) // 8, "big") + b"\x00"
        assert header(octets, 0) == ber.Header(tag, False, len(octets), 0)
    with pytest.raises(PeerError, match="length"):
        list(elements(b"\x41\x05", 0, 2))


@pytest.mark.peer
@given(nodes)
@settings(max_examples=40, deadline=None)
def test_openssl_sees_the_same(tmp_path_factory: pytest.TempPathFactory, node: Node) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path: Path = tmp_path_factory.getbasetemp() / "tree.der"
    path.write_bytes(octets := _minimal(node).encode())
    done = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER", "-in", path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = [line.split(":", 1)[0] for line in done.stdout.splitlines() if "EOC" not in line]
    assert [int(place) for place in told] == _places(octets, 0, len(octets))


def _minimal(node: Node) -> Node:
    """Take the padding of lengths away: openssl finds an empty padded element too long."""
    inside = node.content
    if not isinstance(inside, bytes):
        inside = tuple(_minimal(n) for n in inside)
    return Node(node.number, inside, node.indefinite)


def _places(octets: bytes, at: int, end: int) -> list[int]:
    found: list[int] = []
    for e in elements(octets, at, end):
        found.append(e.at)
        if e.constructed:
            found += _places(octets, e.start, e.end)
    return found
