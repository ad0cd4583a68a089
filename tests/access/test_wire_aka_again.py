"""Pseudonyms and fast re-authentication of EAP-AKA and EAP-AKA', over several attempts."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import pytest
from tests.access.aka import AUTHORISE, DAY_US, PROFILES, World
from tests.access.fakes import NOW_US, FakeReason

from opencarrier.access.wire import eap
from opencarrier.access.wire.aka_attributes import (
    At,
    Subtype,
    attribute,
    encrypted,
    opened,
    parse_message,
    signed_message,
)
from opencarrier.access.wire.aka_keys import Keys
from opencarrier.access.wire.aka_profile import AKA, AKA_PRIME, Profile
from opencarrier.access.wire.aka_reauthentication import (
    TIMES_MAX,
    TTL_S,
    Reauthentication,
    Reauthentications,
)
from opencarrier.kernel.refusals import PeerError, Refusal

both = pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.kind.name)
FULL = ["NeedVector", "Ask", "Authorise", "Succeed"]
AGAIN = ["Ask", "Authorise", "Succeed"]


@both
def test_who_comes_back_is_authorised_anew_without_a_vector(profile: Profile) -> None:
    world = World(profile)
    first = world.attach()
    seen = {first.effect.msk}  # type: ignore[union-attr]
    for times in range(1, 4):
        it = world.attach()
        assert it.kinds() == AGAIN
        assert it.effects[1] == AUTHORISE
        assert it.phone.keys is not None
        assert it.effect.msk == it.phone.keys.msk  # type: ignore[union-attr]
        assert it.effects[1].emsk == it.phone.keys.emsk  # type: ignore[union-attr]
        seen.add(it.phone.keys.msk)
        assert len(seen) == times + 1
        assert len(world.policy.granted) == times + 1
        assert len(world.remembered) == 1
    assert world.vectors.made == 1


@both
def test_an_identity_of_reauthentication_serves_once(profile: Profile) -> None:
    world = World(profile)
    world.attach()
    kept = world.memory.rejoining
    assert world.attach().kinds() == AGAIN
    world.memory.rejoining = kept
    it = world.attach()
    assert isinstance(it.effect, eap.Succeed)
    assert not it.effect.resumed
    assert it.machine.asked == (At.FULLAUTH_ID_REQ,)
    assert it.kinds() == ["Ask", *FULL]


@both
def test_behind_an_anonymous_identity_too(profile: Profile) -> None:
    world = World(profile)
    world.attach()
    it = world.attach(outer="anonymous@realm.example")
    assert it.machine.asked == (At.ANY_ID_REQ,)
    assert it.kinds() == ["Ask", *AGAIN]
    assert isinstance(it.effect, eap.Succeed)
    assert it.effect.resumed


@both
def test_a_counter_that_is_too_small_ends_in_a_full_authentication(profile: Profile) -> None:
    world = World(profile)
    world.attach()
    assert world.memory.rejoining is not None
    world.memory.rejoining = replace(world.memory.rejoining, counter=7)
    it = world.attach()
    assert it.kinds() == ["Ask", *FULL]
    assert it.effect.msk == it.phone.keys.msk  # type: ignore[union-attr]
    assert world.attach().kinds() == AGAIN


@both
def test_after_so_many_times_a_full_authentication_follows(profile: Profile) -> None:
    world = World(profile)
    world.attach()
    rejoining = world.memory.rejoining
    assert rejoining is not None
    name = rejoining.identity[1:].split("@")[0]
    entry = world.remembered.take(name, now_us=NOW_US)
    assert entry is not None
    world.remembered.keep(name, replace(entry, counter=TIMES_MAX))
    assert world.attach().kinds() == AGAIN
    assert world.memory.rejoining is None
    assert world.attach().kinds() == FULL
    assert world.vectors.made == 2


@both
def test_time_counts_from_the_full_authentication(profile: Profile) -> None:
    world = World(profile)
    world.attach()
    for later_s, kinds in ((TTL_S - 1, AGAIN), (1, ["Ask", *FULL]), (TTL_S - 1, AGAIN)):
        world.clock.set(world.clock.now_us() + later_s * 1_000_000)
        assert world.attach().kinds() == kinds


@both
def test_after_a_restart_the_pseudonym_still_does(profile: Profile) -> None:
    world = World(profile)
    world.attach()
    world.remembered = Reauthentications()
    it = world.attach()
    assert it.kinds() == ["Ask", *FULL]
    assert it.machine.asked == (At.FULLAUTH_ID_REQ,)
    assert it.machine.identity == world_pseudonym(it.phone._told)
    assert isinstance(it.effect, eap.Succeed)


def world_pseudonym(told: str) -> bytes:
    assert told[0] in "27"
    return told.encode()


@both
def test_a_pseudonym_is_an_outer_identity_like_any(profile: Profile) -> None:
    world = World(profile)
    world.attach()
    for days, kinds in ((0, FULL), (89, FULL), (119, ["Ask", *FULL])):
        world.memory.rejoining = None
        world.clock.set(world.clock.now_us() + days * DAY_US)
        it = world.attach()
        assert it.kinds() == kinds
        assert isinstance(it.effect, eap.Succeed)


def test_a_pseudonym_goes_along_to_the_other_method() -> None:
    world = World(AKA_PRIME)
    world.attach()
    world.memory.rejoining = None
    world.profile = AKA
    it = world.attach()
    assert it.kinds() == FULL
    assert it.machine.identity.startswith(b"7")


def test_reauthentication_does_not_change_the_method() -> None:
    world = World(AKA_PRIME)
    world.attach()
    assert world.memory.rejoining is not None
    identity = "4" + world.memory.rejoining.identity[1:]
    world.memory.rejoining = replace(world.memory.rejoining, kind=AKA.kind, identity=identity)
    world.profile = AKA
    it = world.attach()
    assert it.kinds() == ["Ask", *FULL]
    assert isinstance(it.effect, eap.Succeed)


@both
def test_a_refusal_after_reauthentication_names_the_counter(profile: Profile) -> None:
    world = World(profile)
    world.attach()
    world.policy.refusal = Refusal(FakeReason.INSUFFICIENT_CREDIT)
    it = world.attempt()
    it.begin()
    it.step()
    told = it.attend()
    assert isinstance(told, eap.Ask)
    parsed = parse_message(eap.parse_eap(told.octets).data)
    assert parsed.subtype is Subtype.NOTIFICATION
    assert it.machine.keys is not None
    assert opened(parsed, it.machine.keys.k_encr).get(At.COUNTER) == b"\x00\x01"
    assert it.step() == eap.Fail("insufficient_credit")
    assert len(world.remembered) == 0
    world.policy.refusal = None
    assert isinstance(world.attach().effect, eap.Succeed)


@both
def test_every_flipped_bit_of_a_reauthentication_is_refused(profile: Profile) -> None:
    world = World(profile)
    world.attach()
    it = world.attempt()
    it.begin()
    response = it.reply()
    for at in range(8, len(response)):
        flipped = response[:at] + bytes([response[at] ^ 1]) + response[at + 1 :]
        _, effect = copy(it.machine).receive(eap.parse_eap(flipped), 9)
        assert not isinstance(effect, eap.Authorise | eap.NeedVector), at
    assert it.take(response) == AUTHORISE


@both
@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ([], "aka_encrypted_data_missing"),
        ([attribute(At.COUNTER, b"\x00\x02")], "aka_counter"),
        ([attribute(At.NONCE_S, bytes(18))], "aka_counter"),
        (
            [attribute(At.COUNTER, b"\x00\x01"), attribute(At.RAND, bytes(18))],
            "aka_attribute_unknown",
        ),
    ],
)
def test_what_a_peer_may_not_hide(profile: Profile, inside: list[bytes], reason: str) -> None:
    world = World(profile)
    world.attach()
    it = world.attempt()
    it.begin()
    keys = it.machine.keys
    assert keys is not None
    hidden = encrypted(inside, k_encr=keys.k_encr, iv=bytes(16)) if inside else []
    it.take(
        signed_message(
            profile,
            eap.EapCode.RESPONSE,
            1,
            Subtype.REAUTHENTICATION,
            [*hidden, attribute(At.CHECKCODE)],
            k_aut=keys.k_aut,
            nonce_s=it.machine.nonce_s,
        )
    )
    assert it.machine.failure == reason


def test_what_belongs_inside_is_not_taken_outside() -> None:
    for at in (At.COUNTER, At.NONCE_S, At.COUNTER_TOO_SMALL, At.PADDING):
        with pytest.raises(PeerError, match="aka_attribute_unknown"):
            parse_message(bytes((13, 0, 0)) + attribute(at))


def entry(imsi: str, expires_us: int = 10) -> Reauthentication:
    keys = Keys(b"e" * 16, b"a" * 16, b"r" * 20, b"", b"")
    return Reauthentication(23, imsi, "x", keys, 1, expires_us)


def test_what_is_remembered_is_bounded_and_one_for_each_card() -> None:
    table = Reauthentications(entries_max=3)
    for number in range(5):
        table.keep(f"name{number}", entry(f"imsi{number}"))
    assert len(table) == 3
    assert table.take("name1", now_us=0) is None
    table.keep("newer", entry("imsi4"))
    assert len(table) == 3
    assert table.take("name4", now_us=0) is None
    assert table.take("newer", now_us=9) == entry("imsi4")
    assert table.take("newer", now_us=9) is None
    assert table.take("name3", now_us=10) is None
    assert len(table) == 1


def test_no_key_is_shown() -> None:
    assert "e" * 16 not in repr(entry("1"))
