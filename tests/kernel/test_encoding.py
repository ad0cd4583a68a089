"""The canonical encoding: RFC 8949's own examples, a foreign twin, and what has no encoding."""

from enum import IntEnum, StrEnum

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.encoding import DEPTH_MAX, EncodingError, encode

APPENDIX_A = [
    (0, "00"),
    (1, "01"),
    (10, "0a"),
    (23, "17"),
    (24, "1818"),
    (25, "1819"),
    (100, "1864"),
    (1000, "1903e8"),
    (1000000, "1a000f4240"),
    (1000000000000, "1b000000e8d4a51000"),
    (18446744073709551615, "1bffffffffffffffff"),
    (18446744073709551616, "c249010000000000000000"),
    (-18446744073709551616, "3bffffffffffffffff"),
    (-18446744073709551617, "c349010000000000000000"),
    (-1, "20"),
    (-10, "29"),
    (-100, "3863"),
    (-1000, "3903e7"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    (b"", "40"),
    (b"\x01\x02\x03\x04", "4401020304"),
    ("", "60"),
    ("a", "6161"),
    ("IETF", "6449455446"),
    ('"\\', "62225c"),
    ("\u00fc", "62c3bc"),
    ("\u6c34", "63e6b0b4"),
    ("\U00010151", "64f0908591"),
    ([], "80"),
    ([1, 2, 3], "83010203"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    (
        list(range(1, 26)),
        "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
    ),
    ({}, "a0"),
    ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    (["a", {"b": "c"}], "826161a161626163"),
    (
        {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"},
        "a56161614161626142616361436164614461656145",
    ),
]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary(max_size=300) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=30), inner),
    max_leaves=25,
)


class Colour(IntEnum):
    RED = 300


class Word(StrEnum):
    YES = "yes"


@pytest.mark.parametrize(("value", "octets"), APPENDIX_A, ids=lambda item: repr(item)[:20])
def test_examples_of_rfc_8949_appendix_a(value: object, octets: str) -> None:
    assert encode(value).hex() == octets


@given(values)
def test_agrees_with_cbor2_in_canonical_mode(value: object) -> None:
    assert encode(value) == cbor2.dumps(value, canonical=True)


@given(st.dictionaries(st.text(max_size=8), st.integers(), max_size=8), st.randoms())
def test_the_order_of_a_map_does_not_matter(value: dict[str, int], random: object) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert encode(dict(items)) == encode(value)


def test_an_enum_is_its_number_or_its_text_and_a_tuple_a_list() -> None:
    assert encode(Colour.RED) == encode(300)
    assert encode(Word.YES) == encode("yes")
    assert encode((1, 2)) == encode([1, 2])
    assert encode(True) != encode(1)


@pytest.mark.parametrize(
    "value",
    [1.0, float("nan"), {1, 2}, object(), {1: 2}, {b"a": 1}, bytearray(b"ab"), memoryview(b"ab")],
    ids=lambda item: type(item).__name__,
)
def test_foreign_types_have_no_encoding(value: object) -> None:
    with pytest.raises(EncodingError):
        encode([value])


def test_half_a_surrogate_pair_has_no_encoding() -> None:
    with pytest.raises(EncodingError):
        encode("\ud800")
    with pytest.raises(EncodingError):
        encode({"\ud800": 1})


@pytest.mark.parametrize("shell", [lambda inner: [inner], lambda inner: {"k": inner}])
def test_nesting_has_a_limit(shell: object) -> None:
    value: object = 7
    for _ in range(DEPTH_MAX):
        value = shell(value)
    assert encode(value)
    with pytest.raises(EncodingError):
        encode(shell(value))
