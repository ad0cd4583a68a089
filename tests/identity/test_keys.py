"""Keys have a history, and a signature is judged by it at the instant it was made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from opencarrier.identity.model import SigningKey, Standing
from opencarrier.identity.rules import standing
from opencarrier.identity.service import Identity
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner, Signature, verify
from opencarrier.spine.parties import Operator, PartyId

DIGEST = bytes(range(32))
SECRET = b"\x01" * 32
INSTANT = st.integers(0, 100)


def key(valid_from: int, valid_to: int | None, compromised: int | None) -> SigningKey:
    return SigningKey(
        kid=Address("0x" + "ab" * 20),
        party=PartyId("op_1"),
        valid_from_us=valid_from,
        valid_to_us=valid_to,
        compromised_from_us=compromised,
        held=False,
    )


@pytest.mark.parametrize(
    ("at_us", "expected"),
    [
        (9, Standing.NOT_YET_VALID),
        (10, Standing.VALID),
        (29, Standing.VALID),
        (30, Standing.COMPROMISED),
        (40, Standing.COMPROMISED),
    ],
)
def test_windows_are_half_open(at_us: int, expected: Standing) -> None:
    assert standing(key(10, 40, 30), at_us) is expected
    assert standing(key(10, 40, None), 40) is Standing.EXPIRED
    assert standing(key(10, None, None), 1 << 62) is Standing.VALID


@given(INSTANT, st.none() | INSTANT, st.none() | INSTANT, INSTANT)
def test_what_was_signed_before_a_compromise_stands(
    start: int, end: int | None, compromised: int | None, at_us: int
) -> None:
    judged = standing(key(start, end, compromised), at_us)
    inside = start <= at_us and (end is None or at_us < end)
    trusted = compromised is None or at_us < compromised
    assert (judged is Standing.VALID) == (inside and trusted)


def test_the_notary_signs_with_a_key_made_here(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    signature = identity.notary.sign(unit, lumen.address, DIGEST)
    assert signature is not None
    assert signature.kid == lumen.address
    assert verify(DIGEST, signature)
    assert identity.notary.sign(unit, Address("0x" + "ab" * 20), DIGEST) is None


def test_a_key_signs_only_while_it_is_valid(
    unit: Connection, world, identity: Identity, lumen: Operator
) -> None:
    now_us = world.clock.now_us()
    added = identity.keyring.add(unit, lumen.party_id, secret=SECRET, valid_from_us=now_us + 10)
    assert isinstance(added, SigningKey)
    assert identity.notary.sign(unit, added.kid, DIGEST) is None
    world.clock.set(now_us + 10)
    assert identity.notary.sign(unit, added.kid, DIGEST) is not None
    identity.keyring.end(unit, added.kid, valid_to_us=now_us + 20)
    world.clock.set(now_us + 20)
    assert identity.notary.sign(unit, added.kid, DIGEST) is None


def test_a_signature_is_judged_at_its_instant(
    unit: Connection, world, identity: Identity, lumen: Operator, baobab: Operator
) -> None:
    start_us = world.clock.now_us()
    signature = identity.notary.sign(unit, lumen.address, DIGEST)
    assert signature is not None
    identity.keyring.compromise(unit, lumen.address, from_us=start_us + 50)

    def judge(
        at_us: int = start_us,
        party: PartyId = lumen.party_id,
        by: Signature = signature,
        digest: bytes = DIGEST,
    ) -> str | None:
        refused = identity.notary.judge(unit, party, digest, by, signed_us=at_us)
        return None if refused is None else refused.code

    assert judge() is None
    assert judge(start_us + 49) is None
    assert judge(start_us + 50) == "key_compromised"
    assert judge(start_us - 1) == "key_not_yet_valid"
    assert judge(party=baobab.party_id) == "foreign_key"
    assert judge(digest=bytes(32)) == "signature_invalid"
    assert judge(by=KeySigner(SECRET).sign(DIGEST)) == "unknown_key"
    assert judge(by=Signature(lumen.address, KeySigner(SECRET).sign(DIGEST).octets)) == (
        "signature_invalid"
    )


def test_history_is_not_rewritten(unit: Connection, identity: Identity, lumen: Operator) -> None:
    (made,) = identity.notary.keys(unit, lumen.party_id)
    start_us = made.valid_from_us
    end, compromise = identity.keyring.end, identity.keyring.compromise
    assert _code(end(unit, made.kid, valid_to_us=start_us - 1)) == "invalid_window"
    ended = end(unit, made.kid, valid_to_us=start_us + 100)
    assert end(unit, made.kid, valid_to_us=start_us + 100) == ended
    assert _code(end(unit, made.kid, valid_to_us=start_us + 101)) == (
        "exists_with_different_window"
    )
    for found_us, kept_us in ((70, 70), (90, 70), (50, 50)):
        noted = compromise(unit, made.kid, from_us=start_us + found_us)
        assert isinstance(noted, SigningKey)
        assert noted.compromised_from_us == start_us + kept_us
    stranger = Address("0x" + "ab" * 20)
    assert _code(end(unit, stranger, valid_to_us=1)) == "unknown_key"
    assert _code(compromise(unit, stranger, from_us=1)) == "unknown_key"


def test_a_key_belongs_to_one_party(
    unit: Connection, identity: Identity, lumen: Operator, baobab: Operator
) -> None:
    address = KeySigner(SECRET).address
    add = identity.keyring.add
    first = add(unit, lumen.party_id, address=address)
    assert isinstance(first, SigningKey)
    assert not first.held
    brought = add(unit, lumen.party_id, secret=SECRET)
    assert isinstance(brought, SigningKey)
    assert brought.held, "the secret was brought later"
    assert _code(add(unit, baobab.party_id, secret=SECRET)) == "foreign_key"
    assert _code(add(unit, baobab.party_id)) == "invalid_secret"
    for wrong in (b"", bytes(32), b"\xff" * 32, b"\x01" * 31):
        assert _code(add(unit, lumen.party_id, secret=wrong)) == "invalid_secret"


def _code(made: object) -> str:
    return made.code if isinstance(made, Refusal) else "done"
