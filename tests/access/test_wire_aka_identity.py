"""Identities: permanent ones, sealed pseudonyms, encrypted ones, and what is none of them."""

from __future__ import annotations

from base64 import b64encode
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.aka import PROFILES, World
from tests.access.fakes import IMSI, NOW_US, REALM

from opencarrier.access.wire import eap
from opencarrier.access.wire.aka_attributes import At, Subtype, counted, message
from opencarrier.access.wire.aka_identity import (
    PERIOD_S,
    PERIODS_KEPT,
    PrivacyRing,
    PseudonymRing,
    permanent_identity,
    temporary_identity,
)
from opencarrier.access.wire.aka_profile import AKA_PRIME, Profile
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.eap_peer import PrivacyKey

both = pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.kind.name)
RING = PseudonymRing(b"p" * 32)
PERIOD_US = PERIOD_S * 1_000_000
imsis = st.text("0123456789", min_size=6, max_size=15)


@pytest.mark.parametrize(
    "identity",
    [b"", b"6@x", b"612345@x", b"6" + b"1" * 16 + b"@x", b"6123456", b"6123456@", b"\xff\xfe",
     b"6123456@a b", b"6123456@.x", b"6123456@x\x00", "6١٢٣٤٥٦@x".encode(), b"7123456@x"],
)  # fmt: skip
def test_what_is_no_permanent_identity(identity: bytes) -> None:
    assert permanent_identity(identity) is None


def test_a_realm_is_lower_case() -> None:
    known = ("001010000000001", "wlan.example.org")
    assert permanent_identity(b"6001010000000001@WLAN.Example.ORG") == known
    assert permanent_identity(b"0001010000000001@WLAN.Example.ORG") == known


@given(imsis, st.integers(0, 10**9))
def test_a_pseudonym_opens_for_its_realm_through_a_few_periods(imsi: str, seed: int) -> None:
    entropy = SeededEntropy(seed)
    name = RING.seal(imsi, REALM, now_us=NOW_US, entropy=entropy)
    assert imsi not in name
    assert name != RING.seal(imsi, REALM, now_us=NOW_US, entropy=entropy)
    assert temporary_identity(f"7{name}@{REALM}".encode()) == (name, REALM)
    for later, opens in ((0, True), (PERIODS_KEPT, True), (PERIODS_KEPT + 1, False), (-1, False)):
        found = RING.open(name, REALM, now_us=NOW_US + later * PERIOD_US)
        assert found == (imsi if opens else None)
    assert RING.open(name, "other.example", now_us=NOW_US) is None
    assert PseudonymRing(b"q" * 32).open(name, REALM, now_us=NOW_US) is None


@given(st.text(max_size=80) | st.text("abcXYZ019-_=", max_size=80))
def test_what_is_no_pseudonym_of_ours_is_nobodys(name: str) -> None:
    assert RING.open(name, REALM, now_us=NOW_US) is None


def test_a_changed_pseudonym_is_nobodys() -> None:
    name = RING.seal(IMSI, REALM, now_us=NOW_US, entropy=SeededEntropy(1))
    for at in range(len(name) - 1):
        other = name[:at] + ("A" if name[at] != "A" else "B") + name[at + 1 :]
        assert RING.open(other, REALM, now_us=NOW_US) is None


@cache
def key(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def ring() -> PrivacyRing:
    return PrivacyRing({"key=1": key(1), "key=2": key(2)})


@both
@pytest.mark.parametrize("identifier", ["", "key=1", "key=2"])
def test_a_first_attach_shows_no_imsi(profile: Profile, identifier: str) -> None:
    held = key(2 if identifier != "key=1" else 1)
    privacy = PrivacyKey(held.public_key(), identifier)
    it = World(profile, privacy=ring()).attach(privacy=privacy)
    assert isinstance(it.effect, eap.Succeed)
    assert it.phone.keys is not None
    assert it.effect.msk == it.phone.keys.msk
    assert IMSI.encode() not in it.machine.transcript
    assert it.machine.identity == it.phone.permanent.encode()
    assert it.phone.identity()[5:].startswith(profile.reauthentication)


@pytest.mark.parametrize("identifier", ["key=3", "key=1"])
def test_a_key_that_is_not_here_opens_nothing(identifier: str) -> None:
    privacy = PrivacyKey(key(2).public_key(), identifier)
    it = World(privacy=ring()).attach(privacy=privacy)
    assert it.effect == eap.Fail("aka_identity_unusable")


def test_without_any_key_an_encrypted_identity_is_of_no_use() -> None:
    privacy = PrivacyKey(key(2).public_key())
    assert World().attach(privacy=privacy).effect == eap.Fail("aka_identity_unusable")


def shown(clear: bytes, tail: bytes = b"") -> bytes:
    whole = PrivacyKey(key(1).public_key()).encrypt(clear.decode())
    return whole + tail


def test_the_realm_may_stand_outside() -> None:
    opened = ring().open(shown(f"6{IMSI}".encode(), f"@{REALM},key=1".encode()))
    assert opened == f"6{IMSI}@{REALM}".encode()


@pytest.mark.parametrize("clear", [b"nobody@x", f"7{IMSI}@x".encode(), b"", f"6{IMSI}".encode()])
def test_whatever_else_was_encrypted_ends_like_junk(clear: bytes) -> None:
    junk = b"\x00" + b64encode(bytes(256))
    failures = set()
    for identity in (shown(clear), junk):
        it = World(privacy=ring()).attempt(outer="anonymous@x")
        it.begin()
        at = [counted(At.IDENTITY, identity)]
        it.take(message(AKA_PRIME, eap.EapCode.RESPONSE, 1, Subtype.IDENTITY, at))
        failures.add(it.machine.failure)
    assert failures == {"aka_identity_unusable"}


def test_an_encrypted_outer_identity_does_too() -> None:
    world = World(privacy=ring())
    for identity, effect in (
        (shown(f"6{IMSI}@{REALM}".encode()), eap.NeedVector(IMSI, REALM, b"WLAN")),
        (b"\x00junk", eap.Fail("aka_identity_unusable")),
    ):
        assert world.machine().start(identity, 1)[1] == effect


@given(st.binary(max_size=60) | st.from_regex(rb"\x00[A-Za-z0-9+/=]{0,90}(@x)?(,[ -~]*)?"))
@settings(max_examples=60)
def test_any_identity_is_read_or_nobodys(identity: bytes) -> None:
    assert ring().open(identity) is None
    permanent_identity(identity)
    temporary_identity(identity)
