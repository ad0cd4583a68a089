"""AVPs inside the tunnel: what is written is read, and anything else ends in a reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.fakes import peer_error

from opencarrier.access.wire.ttls_avp import (
    AVP_OCTETS_MAX,
    AVPS_MAX,
    MICROSOFT,
    Avp,
    Pair,
    encode_avps,
    parse_avps,
)

pairs = st.builds(
    Pair,
    st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)


def test_a_user_name_is_laid_out_as_diameter_does() -> None:
    """RFC 5281 section 10.1: length without padding, padding up to four octets."""
    octets = encode_avps([Pair(Avp.USER_NAME, b"alice")])
    assert octets.hex() == "00000001" + "40" + "00000d" + b"alice".hex() + "000000"
    vendor = encode_avps([Pair(11, b"1234", MICROSOFT, mandatory=False)])
    assert vendor.hex() == "0000000b" + "80" + "000010" + "00000137" + b"1234".hex()


@settings(max_examples=100)
@given(st.lists(pairs, min_size=1, max_size=AVPS_MAX))
def test_what_is_written_is_read(given_pairs: list[Pair]) -> None:
    assert parse_avps(encode_avps(given_pairs)) == given_pairs


@settings(max_examples=200)
@given(st.binary(max_size=80))
def test_any_octets_are_pairs_or_a_reason(octets: bytes) -> None:
    if peer_error(parse_avps, octets) == "parsed":
        assert encode_avps(parse_avps(octets)) == octets


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "avp_size"),
        (bytes(AVP_OCTETS_MAX + 4), "avp_size"),
        (bytes(7), "avp_header"),
        (bytes.fromhex("0000000141000008"), "avp_flags"),
        (bytes.fromhex("0000000140000007"), "avp_length"),
        (bytes.fromhex("000000014000000c"), "avp_length"),
        (bytes.fromhex("000000018000000b000001"), "avp_length"),
        (bytes.fromhex("0000000b8000000c00000000"), "avp_vendor"),
        (bytes.fromhex("000000014000000941000001"), "avp_padding"),
        (bytes.fromhex("0000000140000009410000"), "avp_length"),
        (encode_avps([Pair(1, b"")] * (AVPS_MAX + 1)), "avp_count"),
    ],
)
def test_what_is_wrong_is_named(octets: bytes, reason: str) -> None:
    assert peer_error(parse_avps, octets) == reason
