"""Derived ids: content decides, tags separate, one spelling in hex."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.ids import derive, from_hex, to_hex


def test_the_tag_and_every_field_decide() -> None:
    identifiers = [
        derive("a", 1, "x"),
        derive("b", 1, "x"),
        derive("a", 1, "y"),
        derive("a", 1),
        derive("a", [1, "x"]),
        derive("a", "x", 1),
        derive("a/1", "x"),
        derive("a", 1, b"x"),
    ]
    assert len(set(identifiers)) == len(identifiers)
    assert derive("a", 1, "x") == identifiers[0]


@given(st.binary(min_size=32, max_size=32))
def test_hex_goes_there_and_back(octets: bytes) -> None:
    assert from_hex(to_hex(octets)) == octets


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "00" * 32,
        "0x" + "00" * 31,
        "0x" + "00" * 33,
        "0x" + "AB" * 32,
        "0X" + "ab" * 32,
        "0x" + "ab" * 31 + "a ",
        "0x" + "ab " * 32,
        "0x" + " " * 64,
        "0x" + "zz" * 32,
        "0x" + "\u0661" * 64,
    ],
)
def test_no_second_spelling_is_read(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_hex(text)
