"""A charge carries what it was rated from: rating again needs nothing else, and trusts nothing.

The fuzz invariant: octets are the inputs of one price, or `PeerError`; never anything else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.clock import Window
from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.versions import rerate
from opencarrier.spine.money import Kind

from .worlds import (
    HOST,
    KIB,
    START_US,
    SUBSCRIBER,
    agreement,
    counters,
    plan,
    price,
    tariff,
    usage,
)

DEAL = agreement(tariff(tax_ppm=200_000, minimum_minor=10))
WHOLESALE = v1.WholesaleInputs(
    head=DEAL.head,
    tariff=DEAL.tariffs[0],
    tariff_at_us=START_US,
    host=HOST,
    counters_from=counters(100 * KIB),
    counters_to=counters(250 * KIB, seconds=90),
)
RETAIL = v1.RetailInputs(
    plan=plan(),
    plan_at_us=START_US,
    subscriber=SUBSCRIBER,
    discount_ppm=100_000,
    counters_from=counters(100 * KIB),
    counters_to=counters(250 * KIB, seconds=90),
)
BOTH = pytest.mark.parametrize("inputs", [WHOLESALE, RETAIL], ids=["wholesale", "retail"])
Inputs = v1.WholesaleInputs | v1.RetailInputs


@BOTH
def test_rating_again_from_the_octets_gives_the_same_charge(inputs: Inputs) -> None:
    octets = v1.encode_inputs(inputs)
    assert v1.decode_inputs(octets) == inputs
    again = rerate(v1.VERSION, octets)
    assert again == v1.rate(inputs)
    charge = v1.charge(usage(), again, octets)
    assert charge.amount_minor == {Kind.WHOLESALE: 180, Kind.RETAIL: 270}[charge.kind]
    assert charge.inputs == octets


@BOTH
def test_any_flipped_bit_is_refused_or_is_another_rating(inputs: Inputs) -> None:
    octets = v1.encode_inputs(inputs)
    for place in range(len(octets)):
        for bit in range(8):
            changed = bytearray(octets)
            changed[place] ^= 1 << bit
            try:
                other = v1.decode_inputs(bytes(changed))
            except PeerError:
                continue
            assert other != inputs
            assert v1.encode_inputs(other) == bytes(changed)


def test_an_unknown_rule_version_is_refused() -> None:
    with pytest.raises(PeerError, match="unknown_rule_version"):
        rerate("rating/v0", v1.encode_inputs(WHOLESALE))


@given(st.binary(max_size=80))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        v1.rerate(data)


junk = st.sampled_from(
    [None, True, -1, 0, 1 << 63, b"", b"x" * 32, "", "op_1", [], {}, [0, 0, 0], [1, 2, 1 << 70]]
)


@BOTH
@given(data=st.data())
def test_any_field_changed_to_anything_is_refused_or_rates(inputs: Inputs, data: Any) -> None:
    document: Any = decode(v1.encode_inputs(inputs))
    place = document
    while isinstance(place, (dict, list)) and place:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or data.draw(st.booleans()):
            place[key] = data.draw(junk)
            break
        place = place[key]
    changed = encode(document)
    try:
        v1.rerate(changed)
    except PeerError:
        return
    assert v1.encode_inputs(v1.decode_inputs(changed)) == changed


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"tariff_at_us": START_US - 1}, "was not in force"),
        ({"tariff": tariff(price_nano=1).terms()}, "not the agreement's"),
        ({"counters_to": [0, 0, 0]}, "counters fall"),
        ({"extra": 1}, "unknown key"),
        ({"kind": 3}, "neither"),
        ({"kind": True}, "not the form"),
        ({"tariff_hashes": []}, "empty"),
        ({"tariff_hashes": [b"x"]}, "not hashes"),
        ({"counters_to": [100, 1 << 62, 1]}, "beyond the guards"),
    ],
)
def test_inputs_that_contradict_themselves_are_refused(
    change: dict[str, object], what: str
) -> None:
    document: Any = decode(v1.encode_inputs(WHOLESALE))
    with pytest.raises(PeerError, match=what):
        v1.rerate(encode({**document, **change}))


def test_a_host_that_takes_more_than_there_is_is_refused() -> None:
    greedy = tariff(host_ppm=1_000_000)
    head = replace(WHOLESALE.head, tariff_hashes=(greedy.hash,))
    with pytest.raises(PeerError, match="whole price"):
        v1.rerate(v1.encode_inputs(replace(WHOLESALE, head=head, tariff=greedy)))


def test_a_plan_out_of_force_is_refused() -> None:
    document: Any = decode(v1.encode_inputs(RETAIL))
    document["plan_at_us"] = START_US - 1
    with pytest.raises(PeerError, match="not in force"):
        v1.rerate(encode(document))


def test_our_own_mistake_is_an_assertion() -> None:
    with pytest.raises(AssertionError):
        replace(WHOLESALE, tariff=tariff(price_nano=1))
    with pytest.raises(AssertionError):
        replace(RETAIL, plan_at_us=START_US - 1)
    with pytest.raises(AssertionError):
        price(window=Window(START_US, START_US))
    with pytest.raises(AssertionError):
        price(step=0)
    with pytest.raises(AssertionError):
        agreement(tariff(), tariff())
