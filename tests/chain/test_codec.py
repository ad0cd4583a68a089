"""Words from outside: what is a quantity, what is data, what a revert says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.chain import codec
from opencarrier.chain.errors import revert_reason
from opencarrier.chain.model import Call, Finality, FinalityKind, LogFilter
from opencarrier.kernel.signatures import Address

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=70) | st.floats(),
    lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=8), c, max_size=3),
    max_leaves=6,
)


@given(st.integers(0, (1 << 256) - 1), st.binary(max_size=64))
def test_what_we_write_we_read(number: int, octets: bytes) -> None:
    assert codec.read_quantity(codec.quantity(number)) == number
    assert codec.read_data(codec.data(octets)) == octets


@given(junk)
def test_junk_is_a_value_error(value: Any) -> None:
    for read in (codec.read_quantity, codec.read_data, codec.read_address):
        try:
            read(value)
        except ValueError:
            continue
        assert isinstance(value, str)


@pytest.mark.parametrize("value", ["0x", "12", "0x-1", "0x" + "f" * 65, 5, None])
def test_not_a_quantity(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        codec.read_quantity(value)


@pytest.mark.parametrize("value", ["0x1", "0x 1 1", "11", 5, None])
def test_not_data(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        codec.read_data(value)


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_reasons_of_reverts() -> None:
    head = bytes.fromhex("08c379a0")
    text = b"short of collateral"
    whole = head + word(32) + word(len(text)) + text.ljust(32, b"\0")
    assert revert_reason(whole) == "short of collateral"
    assert revert_reason(bytes.fromhex("4e487b71") + word(0x11)) == "panic 0x11"
    assert revert_reason(b"") is None
    assert revert_reason(head + word(32) + word(10**9)) is None
    assert revert_reason(head + word(64) + word(1) + b"x" * 32) is None
    assert revert_reason(bytes.fromhex("deadbeef")) is None


@given(st.binary(max_size=120))
def test_no_data_breaks_the_reading_of_a_reason(data: bytes) -> None:
    for told in (bytes.fromhex("08c379a0") + data, data):
        reason = revert_reason(told)
        assert reason is None or isinstance(reason, str)


@pytest.mark.parametrize("text", ["depth:12", "safe", "finalized", "single_operator"])
def test_finality_reads_what_it_writes(text: str) -> None:
    assert str(Finality.parse(text)) == text


@pytest.mark.parametrize("text", ["", "depth", "depth:0", "depth:x", "safe:2", "soon"])
def test_finality_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Finality.parse(text)


def test_models_hold_their_bounds() -> None:
    with pytest.raises(AssertionError):
        Call(to=None)
    with pytest.raises(AssertionError):
        Call(to=Address("0x"), value_wei=1 << 256)
    with pytest.raises(AssertionError):
        LogFilter(from_block=2, to_block=1)
    with pytest.raises(AssertionError):
        Finality(kind=FinalityKind.DEPTH, depth_blocks=0)
