"""The Class token: small, opaque, bound, and closed to everything but its own key and node."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.access.fakes import HOME, NODE, SUBSCRIBER, VISITED

from opencarrier.access.class_token import (
    TOKEN_OCTETS_MAX,
    ClassClaims,
    ClassReason,
    ClassRing,
    tariffs_digest,
)
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.money import AssetId, Money
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import Grant
from opencarrier.spine.parties import PartyId

RING = ClassRing.of(b"1" * 32)
CUI = "c" * 32
GRANT = Grant(
    authorisation_id=bytes(range(16)),
    home=HOME,
    visited=VISITED,
    node_id=NODE.node_id,
    subscriber=SUBSCRIBER,
    wholesale_tariff_hash=b"w" * 32,
    retail_tariff_hash=b"r" * 32,
    hold=Money(AssetId("test/EUR"), 1),
    session_timeout_s=60,
    interim_interval_s=60,
    granted_us=1,
    expires_us=2,
)
TOKEN = RING.seal(GRANT, CUI, SeededEntropy(1))
BEFORE = bytes.fromhex(
    "015abf4dbb872f03c02f63cc84984f0049ee4c627504e4803b5cd7e0ad68a2d3"
    "082309c7ef1760078e0eef0771ddbe82c4268bd57fa83aab2140242678331121"
    "850d1d68e5dc0bfe17c588d246a0400adf5f23e8192c313f6d8e12ad9c62fa9f"
    "376b0e387b09b4159039853c694794789a004699fca68dbdce113157dd07c826"
    "0d056d0ce932cfb17d01c34a033096506eec19394e"
)
"""The same, as it was sealed before AES-256-GCM."""


def opened(
    token: bytes, ring: ClassRing = RING, visited: PartyId = VISITED, node: str = NODE.node_id
) -> ClassClaims | Refusal:
    return ring.open(token, visited=visited, node_id=node)


@pytest.mark.parametrize("token", [TOKEN, BEFORE])
def test_it_brings_back_what_was_sealed(token: bytes) -> None:
    assert opened(token) == ClassClaims(
        authorisation_id=GRANT.authorisation_id,
        home=HOME,
        cui=CUI,
        tariffs_digest=tariffs_digest(GRANT),
    )
    assert len(TOKEN) <= TOKEN_OCTETS_MAX
    for secret in (GRANT.authorisation_id, HOME.encode(), CUI.encode()):
        assert secret not in TOKEN


def test_two_tokens_of_one_grant_do_not_look_alike() -> None:
    entropy = SeededEntropy(1)
    assert RING.seal(GRANT, CUI, entropy) != RING.seal(GRANT, CUI, entropy)


def test_both_tariffs_are_bound() -> None:
    digests = {
        tariffs_digest(GRANT),
        tariffs_digest(replace(GRANT, wholesale_tariff_hash=b"x" * 32)),
        tariffs_digest(replace(GRANT, retail_tariff_hash=b"x" * 32)),
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (opened(TOKEN, visited=HOME), ClassReason.NOT_GENUINE),
        (opened(TOKEN, node="node_other"), ClassReason.NOT_GENUINE),
        (opened(TOKEN, ClassRing.of(b"2" * 32)), ClassReason.UNKNOWN_KEY),
        (opened(TOKEN, ClassRing(RING.current, {RING.current: b"2" * 32})),
         ClassReason.NOT_GENUINE),
        (opened(b""), ClassReason.NOT_OURS),
        (opened(b"\x02" + TOKEN[1:]), ClassReason.NOT_OURS),
        (opened(b"sharedclass"), ClassReason.NOT_OURS),
    ],
)  # fmt: skip
def test_what_does_not_open(answer: ClassClaims | Refusal, reason: ClassReason) -> None:
    assert answer == Refusal(reason)


def test_every_flipped_bit_closes_it() -> None:
    for at in range(len(TOKEN)):
        for bit in range(8):
            flipped = TOKEN[:at] + bytes([TOKEN[at] ^ 1 << bit]) + TOKEN[at + 1 :]
            assert isinstance(opened(flipped), Refusal)


@given(st.binary(max_size=253))
def test_anything_else_is_a_refusal(token: bytes) -> None:
    assert isinstance(opened(token), Refusal)
    assert isinstance(opened(TOKEN[:5] + token), Refusal)


def test_keys_rotate_while_old_tokens_open() -> None:
    rotated = ClassRing.of(b"2" * 32, b"1" * 32)
    assert isinstance(opened(TOKEN, rotated), ClassClaims)
    fresh = rotated.seal(GRANT, CUI, SeededEntropy(1))
    assert isinstance(opened(fresh, rotated), ClassClaims)
    assert opened(fresh) == Refusal(ClassReason.UNKNOWN_KEY)


def test_no_key_in_a_repr() -> None:
    assert "1111" not in repr(RING)
