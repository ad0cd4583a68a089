"""The decoder reads what the encoder wrote and nothing else: a value, or `PeerError`."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.decoding import OCTETS_MAX, decode
from opencarrier.kernel.encoding import DEPTH_MAX, encode
from opencarrier.kernel.refusals import PeerError

scalars = st.none() | st.booleans() | st.integers() | st.binary(max_size=40) | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


@given(values)
def test_what_was_encoded_decodes_to_itself(value: object) -> None:
    assert decode(encode(value)) == value  # type: ignore[arg-type]


@given(st.binary(max_size=60))
def test_garbage_is_the_canonical_form_of_a_value_or_a_peer_error(data: bytes) -> None:
    try:
        value = decode(data)
    except PeerError:
        return
    assert encode(value) == data
    assert cbor2.loads(data) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "truncated"),
        ("1817", "not_canonical"),  # 23 in two octets
        ("1900ff", "not_canonical"),
        ("1a0000ffff", "not_canonical"),
        ("1b00000000ffffffff", "not_canonical"),
        ("9f01ff", "not_canonical"),  # an array without a length
        ("f90000", "not_canonical"),  # a float
        ("f7", "not_canonical"),  # undefined
        ("c101", "not_canonical"),  # a date
        ("c24101", "not_canonical"),  # a bignum that fits
        ("c2820000", "not_canonical"),
        ("a2616201616100", "not_canonical"),  # b before a
        ("a2616101616101", "not_canonical"),  # a twice
        ("a10101", "not_canonical"),  # a key that is a number
        ("61ff", "not_text"),
        ("4201", "truncated"),
        ("9b00ffffffffffffff", "truncated"),
        ("0000", "trailing_octets"),
        ("81" * 18 + "00", "too_deep"),
    ],
)
def test_what_is_not_canonical_is_refused(data: str, reason: str) -> None:
    with pytest.raises(PeerError) as error:
        decode(bytes.fromhex(data))
    assert error.value.reason == reason


def test_the_deepest_value_there_and_back() -> None:
    deepest = b"\x81" * DEPTH_MAX + b"\x00"
    assert encode(decode(deepest)) == deepest
    with pytest.raises(PeerError, match="too_deep"):
        decode(b"\x81" * DEPTH_MAX + b"\x80")


def test_the_limit_of_one_input() -> None:
    with pytest.raises(PeerError, match="too_long"):
        decode(bytes(OCTETS_MAX + 1))
