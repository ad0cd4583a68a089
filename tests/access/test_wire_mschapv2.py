"""MSCHAPv2 by the vectors of RFC 2759 section 9.2."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.access.wire import mschapv2
from opencarrier.kernel.passwords import nt_hash

USER = b"User"
AUTHENTICATOR = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
PEER = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")
CHALLENGES = {"peer": PEER, "authenticator": AUTHENTICATOR, "user_name": USER}


def test_the_vectors_of_the_standard() -> None:
    known = nt_hash("clientPass")
    assert known.hex().upper() == "44EBBA8D5312B8D611474411F56989AE"
    assert mschapv2.challenge_hash(PEER, AUTHENTICATOR, USER).hex().upper() == "D02E4386BCE91226"
    assert mschapv2.nt_response(known, **CHALLENGES) == RESPONSE
    proof = mschapv2.authenticator_response(known, RESPONSE, **CHALLENGES)
    assert proof == b"S=407A5589115FD0D6209F510FE9C04566932CDA56"
    assert mschapv2.response_is_right(RESPONSE, known, **CHALLENGES)


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=40), st.integers(0, 23 * 8 + 7), st.binary(max_size=30))
def test_one_bit_of_the_response_decides(password: str, bit: int, user: bytes) -> None:
    known = nt_hash(password)
    challenges = {"peer": PEER, "authenticator": AUTHENTICATOR, "user_name": user}
    right = bytearray(mschapv2.nt_response(known, **challenges))
    assert mschapv2.response_is_right(bytes(right), known, **challenges)
    right[bit // 8] ^= 1 << bit % 8
    assert not mschapv2.response_is_right(bytes(right), known, **challenges)
    assert not mschapv2.response_is_right(b"", known, **challenges)
