"""What one hop hides is hidden again for the next, whatever else the packet carries."""

from __future__ import annotations

from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.access.wire.authenticators import mppe_keys, open_mppe_key
from opencarrier.access.wire.dictionary import MICROSOFT, MS_MPPE_RECV_KEY, MS_MPPE_SEND_KEY, Type
from opencarrier.access.wire.hidden import TUNNEL_PASSWORD, Hop, backward, onward
from opencarrier.access.wire.radius import Packet, vendor
from opencarrier.kernel.refusals import PeerError

NEAR = Hop(b"the access point's", bytes(range(16)))
FAR = Hop(b"radsec", bytes(range(100, 116)))


def hide_password(clear: bytes, hop: Hop) -> bytes:
    """RFC 2865 section 5.2, written down as it stands there."""
    padded = clear + bytes(-len(clear) % 16 or (16 if not clear else 0))
    out, chain = b"", hop.authenticator
    for start in range(0, len(padded), 16):
        stream = md5(hop.secret + chain).digest()
        chain = bytes(a ^ b for a, b in zip(padded[start : start + 16], stream, strict=True))
        out += chain
    return out


@given(st.binary(min_size=1, max_size=128))
def test_a_password_crosses_a_hop(clear: bytes) -> None:
    sent = [(int(Type.USER_NAME), b"x"), (int(Type.USER_PASSWORD), hide_password(clear, NEAR))]
    assert onward(sent, NEAR, FAR) == [
        (int(Type.USER_NAME), b"x"),
        (int(Type.USER_PASSWORD), hide_password(clear, FAR)),
    ]


@given(st.binary(min_size=64, max_size=64))
def test_link_keys_come_back_over_a_hop(msk: bytes) -> None:
    salts = (b"\x81\x02", b"\x81\x03")
    keys = mppe_keys(msk, FAR.secret, FAR.authenticator, salts)
    other = [vendor(MICROSOFT, 99, b"left alone"), (int(Type.CLASS), b"c" * 32)]
    returned = backward([*keys, *other], FAR, NEAR)
    assert returned == [*mppe_keys(msk, NEAR.secret, NEAR.authenticator, salts), *other]
    sealed = dict(Packet(2, 0, bytes(16), tuple(returned)).vendor(MICROSOFT))
    opened = [
        open_mppe_key(sealed[kind], NEAR.secret, NEAR.authenticator)
        for kind in (MS_MPPE_RECV_KEY, MS_MPPE_SEND_KEY)
    ]
    assert opened == [msk[:32], msk[32:64]]


def test_a_tunnel_password_keeps_its_tag_and_comes_back_the_same() -> None:
    value = b"\x01" + b"\x80\x07" + hide_password(b"secret", NEAR)
    (there,) = backward([(TUNNEL_PASSWORD, value)], NEAR, FAR)
    assert there[1][:3] == value[:3]
    assert there[1] != value
    assert backward([there], FAR, NEAR) == [(TUNNEL_PASSWORD, value)]


@pytest.mark.parametrize("size", [0, 15, 17, 144])
def test_a_password_of_a_wrong_size_is_a_peers_mistake(size: int) -> None:
    with pytest.raises(PeerError, match="hidden_size"):
        onward([(int(Type.USER_PASSWORD), bytes(size))], NEAR, FAR)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 17])
def test_a_key_of_a_wrong_size_is_a_peers_mistake(size: int) -> None:
    with pytest.raises(PeerError, match="hidden_size"):
        backward([vendor(MICROSOFT, MS_MPPE_SEND_KEY, bytes(size))], FAR, NEAR)


def test_a_vendors_attribute_of_other_shape_is_left_alone() -> None:
    odd = (int(Type.VENDOR_SPECIFIC), MICROSOFT.to_bytes(4, "big") + b"\x10")
    assert backward([odd], FAR, NEAR) == [odd]
