"""Fragments of TLS messages: both directions, every limit, and hostile order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.fakes import peer_error

from opencarrier.access.wire.tls_framing import (
    ACKNOWLEDGEMENT,
    MESSAGE_OCTETS_MAX,
    Flag,
    Framing,
    parse_fragment,
)


def exchange(sender: Framing, receiver: Framing, message: bytes) -> tuple[bytes, int]:
    """Send a message over two framings; what came out, in how many packets."""
    data, packets = sender.send(message), 1
    while (whole := receiver.take(data)) is None:
        assert receiver.request() == ACKNOWLEDGEMENT
        assert sender.take(ACKNOWLEDGEMENT) is None
        data, packets = sender.request(), packets + 1
    return whole, packets


@settings(max_examples=40)
@given(st.binary(min_size=1, max_size=5000), st.integers(1, 1500))
def test_a_message_arrives_whatever_the_fragments_size(message: bytes, size: int) -> None:
    if len(message) > 200 * size:
        size = len(message) // 200 + 1
    sender, receiver = Framing(size), Framing()
    whole, packets = exchange(sender, receiver, message)
    assert whole == message
    assert packets == -(-len(message) // size)
    assert exchange(receiver, sender, b"again") == (b"again", 1)


def test_the_largest_message_octet_by_octet_and_one_more() -> None:
    sender, receiver = Framing(MESSAGE_OCTETS_MAX // 16), Framing()
    whole, packets = exchange(sender, receiver, bytes(MESSAGE_OCTETS_MAX))
    assert (len(whole), packets) == (MESSAGE_OCTETS_MAX, 16)
    endless = Framing()
    more = bytes((Flag.MORE,)) + bytes(MESSAGE_OCTETS_MAX // 16)
    for _ in range(16):
        assert endless.take(more) is None
    assert peer_error(endless.take, b"\x40\x00") == "tls_message_size"
    assert endless.take(ACKNOWLEDGEMENT) == bytes(MESSAGE_OCTETS_MAX)


@pytest.mark.parametrize(
    ("before", "data", "reason"),
    [
        ([], b"", "tls_flags_missing"),
        ([], b"\x20", "tls_flags"),
        ([], b"\x01", "tls_flags"),
        ([], b"\x80\x00\x00\x00", "tls_length_missing"),
        ([], b"\x40", "tls_fragment_empty"),
        ([], b"\xc0\x00\x00\x80\x01a", "tls_message_size"),
        ([], b"\x80\x00\x00\x00\x02a", "tls_length"),
        ([], b"\x80\x00\x00\x00\x01ab", "tls_length"),
        ([b"\xc0\x00\x00\x00\x03a"], b"\xc0\x00\x00\x00\x04b", "tls_length_changed"),
        ([b"\xc0\x00\x00\x00\x03a"], b"\x00b", "tls_length"),
        ([b"\xc0\x00\x00\x00\x02a"], b"\x40bc", "tls_length"),
    ],
)
def test_a_wrong_fragment_is_named_and_changes_nothing(
    before: list[bytes], data: bytes, reason: str
) -> None:
    framing = Framing()
    for one in before:
        assert framing.take(one) is None
    assert peer_error(framing.take, data) == reason
    if before and before[0].startswith(b"\xc0"):
        assert framing.take(b"\x00" + b"x" * (before[0][4] - 1)) is not None


def test_while_we_send_only_an_acknowledgement_fits() -> None:
    framing = Framing(2)
    framing.send(b"abc")
    assert peer_error(framing.take, b"\x00a") == "tls_acknowledgement_expected"
    assert peer_error(framing.take, b"\x40a") == "tls_acknowledgement_expected"
    assert framing.take(ACKNOWLEDGEMENT) is None
    assert framing.request() == b"\x00c"


@given(st.lists(st.binary(max_size=40), max_size=12))
@settings(max_examples=100)
def test_any_packets_give_octets_or_a_reason(packets: list[bytes]) -> None:
    framing = Framing()
    for data in packets:
        peer_error(parse_fragment, data)
        peer_error(framing.take, data)
