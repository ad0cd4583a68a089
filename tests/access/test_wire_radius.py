"""The RADIUS codec and its authenticators: total, exact, and deaf to every flipped bit."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.access.fakes import peer_error

from opencarrier.access.wire import authenticators
from opencarrier.access.wire.dictionary import KINDS, MICROSOFT, Code, Type, name_of
from opencarrier.access.wire.duplicates import DuplicateCache, Seen
from opencarrier.access.wire.radius import (
    Attribute,
    Packet,
    eap_message,
    encode,
    integer,
    parse,
    text,
    vendor,
)
from opencarrier.kernel.refusals import PeerError

SECRET = b"shared secret"
AUTHENTICATOR = bytes(range(16))

opaque = st.tuples(
    st.sampled_from([t for t in range(1, 256) if t not in KINDS]), st.binary(max_size=253)
)
packets = st.builds(
    Packet,
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(min_size=16, max_size=16),
    st.lists(opaque, max_size=12).map(tuple),
)


def flips(octets: bytes) -> list[bytes]:
    return [
        octets[:at] + bytes([octets[at] ^ 1 << bit]) + octets[at + 1 :]
        for at in range(len(octets))
        for bit in range(8)
    ]


@given(packets, st.binary(max_size=40))
def test_a_packet_comes_back_as_it_went_padding_aside(packet: Packet, padding: bytes) -> None:
    octets = encode(packet.code, packet.identifier, packet.authenticator, packet.attributes)
    assert parse(octets + padding) == packet


def read_everything(datagram: bytes) -> None:
    packet = parse(datagram)
    for kind in range(256):
        packet.get(kind)
        packet.joined(kind)
        packet.integer(kind)
        assert peer_error(packet.text, kind) in ("attribute_text", "parsed")
    list(packet.vendor(MICROSOFT))


@given(st.binary(max_size=200))
@example(b"")
@example(bytes(19))
@example(b"\x01\x00\x00\x15" + bytes(17))
@example(b"\x01\x00\x00\x16" + bytes(16) + b"\x01\x00")
@example(b"\x01\x00\x00\x16" + bytes(16) + b"\x01\x03")
@example(b"\x01\x00\x00\x1d" + bytes(16) + b"\x1a\x09\x00\x00\x01\x37\x10\x01\x00")
def test_anything_parses_or_is_a_peer_error(datagram: bytes) -> None:
    assert peer_error(read_everything, datagram)


@given(packets, st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=200)
def test_a_changed_octet_parses_or_is_a_peer_error(packet: Packet, at: int, value: int) -> None:
    octets = bytearray(
        encode(packet.code, packet.identifier, packet.authenticator, packet.attributes)
    )
    octets[at % len(octets)] = value
    assert peer_error(read_everything, bytes(octets))


def test_the_size_of_a_packet_is_bounded() -> None:
    big = [(int(Type.CLASS), bytes(253))] * 15 + [(int(Type.CLASS), bytes(249))]
    assert len(encode(1, 0, AUTHENTICATOR, big)) == 4096
    too_long = b"\x01\x00" + (4097).to_bytes(2, "big") + bytes(4093)
    with pytest.raises(PeerError, match="packet_length"):
        parse(too_long)


@pytest.mark.parametrize(
    ("kind", "octets", "size"),
    [(Type.ACCT_SESSION_TIME, 3, 4), (Type.NAS_IP_ADDRESS, 5, 4), (Type.NAS_IPV6_ADDRESS, 4, 16)],
)
def test_a_value_of_the_wrong_size_is_refused(kind: Type, octets: int, size: int) -> None:
    with pytest.raises(PeerError, match="attribute_size"):
        parse(encode(1, 0, AUTHENTICATOR, [(int(kind), bytes(octets))]))
    assert parse(encode(1, 0, AUTHENTICATOR, [(int(kind), bytes(size))])).get(kind) == bytes(size)


def test_names_are_the_standards() -> None:
    assert name_of(Type.ACCT_SESSION_ID) == "Acct-Session-Id"
    assert name_of(Type.NAS_IPV6_ADDRESS) == "NAS-IPv6-Address"
    assert name_of(Type.EAP_MESSAGE) == "EAP-Message"
    assert name_of(250) == "Attr-250"


def _check_access(datagram: bytes, *, required: bool = False) -> None:
    packet = parse(datagram)
    if packet.code != Code.ACCESS_REQUEST:
        raise PeerError("code")
    authenticators.check_access_request(datagram, packet, SECRET, required=required)


def _check_accounting(datagram: bytes) -> None:
    packet = parse(datagram)
    if packet.code != Code.ACCOUNTING_REQUEST:
        raise PeerError("code")
    authenticators.check_accounting_request(datagram, packet, SECRET)


REQUEST: list[Attribute] = [
    text(Type.USER_NAME, "anonymous@example.org"),
    *eap_message(b"\x02\x00\x00\x05\x01"),
    (int(Type.PROXY_STATE), b"one"),
    (int(Type.CLASS), b"c"),
    (int(Type.PROXY_STATE), b"two"),
]


def test_every_flipped_bit_of_an_access_request_is_rejected() -> None:
    datagram = authenticators.access_request(7, AUTHENTICATOR, REQUEST, SECRET)
    _check_access(datagram)
    for flipped in flips(datagram):
        with pytest.raises(PeerError):
            _check_access(flipped)


def test_every_flipped_bit_of_an_accounting_request_is_rejected() -> None:
    datagram = authenticators.accounting_request(7, REQUEST, SECRET)
    _check_accounting(datagram)
    for flipped in flips(datagram):
        with pytest.raises(PeerError):
            _check_accounting(flipped)


@pytest.mark.parametrize("code", [Code.ACCESS_ACCEPT, Code.ACCOUNTING_RESPONSE])
def test_every_flipped_bit_of_a_reply_is_rejected(code: Code) -> None:
    request = parse(authenticators.access_request(7, AUTHENTICATOR, REQUEST, SECRET))
    reply = authenticators.response(code, request, [text(Type.REPLY_MESSAGE, "hello")], SECRET)
    authenticators.check_response(reply, parse(reply), SECRET, AUTHENTICATOR)
    for flipped in flips(reply):
        with pytest.raises(PeerError):
            authenticators.check_response(flipped, parse(flipped), SECRET, AUTHENTICATOR)


@pytest.mark.parametrize("code", [Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE])
def test_access_replies_start_with_message_authenticator(code: Code) -> None:
    request = parse(authenticators.access_request(7, AUTHENTICATOR, REQUEST, SECRET))
    reply = parse(authenticators.response(code, request, [text(Type.CLASS, "x")], SECRET))
    assert reply.attributes[0][0] == Type.MESSAGE_AUTHENTICATOR
    assert reply.all(Type.PROXY_STATE) == (b"one", b"two")
    assert reply.attributes[-1] == (int(Type.PROXY_STATE), b"two")


@pytest.mark.parametrize(
    ("attributes", "required", "reason"),
    [
        (REQUEST, False, "message_authenticator_missing"),
        ([(int(Type.PROXY_STATE), b"x")], False, "proxy_state_unprotected"),
        ([text(Type.USER_NAME, "x")], True, "message_authenticator_missing"),
        ([text(Type.USER_NAME, "x")], False, None),
    ],
)
def test_what_needs_a_message_authenticator(
    attributes: list[Attribute], required: bool, reason: str | None
) -> None:
    datagram = encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, attributes)
    if reason is None:
        _check_access(datagram, required=required)
        return
    with pytest.raises(PeerError, match=reason):
        _check_access(datagram, required=required)


def test_two_message_authenticators_are_refused() -> None:
    attributes = [*REQUEST, (int(Type.MESSAGE_AUTHENTICATOR), bytes(16))]
    datagram = authenticators.access_request(7, AUTHENTICATOR, attributes, SECRET)
    with pytest.raises(PeerError, match="malformed"):
        _check_access(datagram)


@given(st.binary(min_size=64, max_size=64), st.binary(min_size=2, max_size=2), st.binary())
def test_link_keys_open_with_the_secret_alone(msk: bytes, salt: bytes, secret: bytes) -> None:
    other = bytes((salt[0], salt[1] ^ 1))
    sealed = authenticators.mppe_keys(msk, secret, AUTHENTICATOR, (salt, other))
    packet = parse(encode(2, 0, AUTHENTICATOR, sealed))
    keys = dict(packet.vendor(MICROSOFT))
    assert authenticators.open_mppe_key(keys[17], secret, AUTHENTICATOR) == msk[:32]
    assert authenticators.open_mppe_key(keys[16], secret, AUTHENTICATOR) == msk[32:]
    assert keys[17][0] & 0x80
    assert keys[17][:2] != keys[16][:2]


@given(st.binary(max_size=80))
def test_any_link_key_opens_or_is_a_peer_error(value: bytes) -> None:
    outcome = peer_error(authenticators.open_mppe_key, value, SECRET, AUTHENTICATOR)
    assert outcome.startswith(("mppe_key", "parsed"))


def test_vendor_attributes_are_found_among_others() -> None:
    attributes = [vendor(9, 1, b"no"), vendor(MICROSOFT, 16, b"yes"), integer(Type.NAS_PORT, 1)]
    packet = parse(encode(2, 0, AUTHENTICATOR, attributes))
    assert list(packet.vendor(MICROSOFT)) == [(16, b"yes")]


def key(number: int) -> tuple[str, int, int, bytes]:
    return ("127.0.0.1", 1, number % 256, number.to_bytes(16, "big"))


def test_duplicates_get_the_same_octets_until_their_time_is_over() -> None:
    cache = DuplicateCache(ttl_s=5, entries_max=10)
    assert cache.begin(key(1), 0) is Seen.NEW
    assert cache.begin(key(1), 1) is Seen.PENDING
    cache.answer(key(1), b"reply")
    assert cache.begin(key(1), 4.9) == b"reply"
    assert cache.begin(key(1), 5) is Seen.NEW
    cache.forget(key(1))
    assert cache.begin(key(1), 5) is Seen.NEW


def test_the_duplicate_cache_is_bounded() -> None:
    cache = DuplicateCache(ttl_s=5, entries_max=10)
    for number in range(25):
        cache.begin(key(number), 0)
        assert len(cache) <= 10
    assert cache.begin(key(0), 0) is Seen.NEW
    assert cache.begin(key(24), 0) is Seen.PENDING
    cache.answer(key(3), b"gone by now")
