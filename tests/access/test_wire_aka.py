"""EAP-AKA and EAP-AKA' as one machine, against our phone: full authentication and its detours."""

from __future__ import annotations

from copy import copy

import pytest
from tests.access.aka import AUTHORISE, PROFILES, Attempt, World, network_name
from tests.access.fakes import IMSI, OPC, REALM, FakeReason, FakeVectors, K, usim

from opencarrier.access.wire import eap
from opencarrier.access.wire.aka_attributes import (
    At,
    Notification,
    Subtype,
    attribute,
    counted,
    mac_is_right,
    message,
    parse_message,
)
from opencarrier.access.wire.aka_profile import AKA, AKA_PRIME, Profile
from opencarrier.identity.milenage import Milenage
from opencarrier.kernel.refusals import PeerError, Refusal

both = pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.kind.name)


def challenged(profile: Profile = AKA_PRIME) -> Attempt:
    it = World(profile).attempt()
    it.begin()
    it.attend()
    return it


@both
def test_a_permanent_identity_needs_one_challenge(profile: Profile) -> None:
    it = World(profile).attach()
    assert it.effects[0] == eap.NeedVector(IMSI, REALM, network_name(profile))
    assert it.kinds() == ["NeedVector", "Ask", "Authorise", "Succeed"]
    assert it.effects[2] == AUTHORISE
    assert isinstance(it.effect, eap.Succeed)
    assert it.phone.keys is not None
    assert it.effect.msk == it.phone.keys.msk
    assert it.effects[2].emsk == it.phone.keys.emsk  # type: ignore[union-attr]
    assert len(it.effect.msk) == len(it.phone.keys.emsk) == 64
    assert it.phone.finished == "success"


@both
@pytest.mark.parametrize(
    ("outer", "asked"),
    [
        (f"anonymous@{REALM}", [At.ANY_ID_REQ]),
        ("0", [At.ANY_ID_REQ]),
        ("6x@y", [At.ANY_ID_REQ]),
        ("", [At.ANY_ID_REQ]),
        (f"2pseudonym@{REALM}", [At.PERMANENT_ID_REQ]),
        (f"7pseudonym@{REALM}", [At.PERMANENT_ID_REQ]),
    ],
)
def test_an_identity_that_tells_nobody_costs_a_round(
    profile: Profile, outer: str, asked: list[At]
) -> None:
    it = World(profile).attempt(outer=outer or " ")
    assert isinstance(it.run(), eap.Succeed)
    assert list(it.machine.asked) == asked


@both
def test_an_unknown_reauthentication_asks_for_more(profile: Profile) -> None:
    outer = f"{profile.reauthentication.decode()}gone@{REALM}"
    it = World(profile).attach(outer=outer)
    assert isinstance(it.effect, eap.Succeed)
    assert it.machine.asked == (At.FULLAUTH_ID_REQ,)


def test_the_digit_of_the_other_method_does() -> None:
    for profile, outer in ((AKA, f"6{IMSI}@{REALM}"), (AKA_PRIME, f"0{IMSI}@{REALM}")):
        it = World(profile).attach(outer=outer)
        assert isinstance(it.effect, eap.Succeed)
        assert it.machine.asked == ()


@both
def test_the_identity_round_is_covered_by_the_checkcode(profile: Profile) -> None:
    it = World(profile).attempt(outer=f"anonymous@{REALM}")
    it.begin()
    it.step()
    it.machine.transcript += b"tampered"
    it.attend()
    assert it.step() == eap.Fail("client_error")


def test_useless_identities_end_it_after_three_rounds() -> None:
    it = World().attempt(outer="anonymous@x")
    it.begin()
    useless = [counted(At.IDENTITY, b"somebody@x")]
    again = message(AKA_PRIME, eap.EapCode.RESPONSE, 1, Subtype.IDENTITY, useless)
    for _ in range(2):
        assert isinstance(it.take(again), eap.Ask)
    assert it.machine.asked == (At.ANY_ID_REQ, At.FULLAUTH_ID_REQ, At.PERMANENT_ID_REQ)
    it.take(again)
    assert it.machine.failure == "aka_identity_unusable"
    assert it.step() == eap.Fail("aka_identity_unusable")


@both
def test_a_wrong_key_is_the_phones_reject(profile: Profile) -> None:
    it = World(profile, vectors=FakeVectors(k=bytes(16))).attach()
    assert it.effect == eap.Fail("authentication_rejected")
    assert it.phone.finished == "failure"


@both
def test_a_stale_number_resynchronises_once(profile: Profile) -> None:
    it = World(profile, card=usim(highest_sqn=100 << 5)).attempt()
    it.begin()
    it.attend()
    need = it.step()
    assert isinstance(need, eap.NeedResync)
    assert need.network_name == network_name(profile)
    assert Milenage(K, OPC).open_auts(need.rand, need.auts) == 100 << 5
    it.world.vectors.sqn = 0
    it.answer(it._vector(need.network_name))
    assert isinstance(it.step(), eap.Ask)
    assert it.machine.failure == "aka_resynchronised_twice"


@both
def test_a_resynchronised_card_is_let_in(profile: Profile) -> None:
    it = World(profile, card=usim(highest_sqn=100 << 5)).attach()
    assert it.kinds() == ["NeedVector", "Ask", "NeedResync", "Ask", "Authorise", "Succeed"]


@both
def test_every_flipped_bit_of_the_answer_is_refused(profile: Profile) -> None:
    it = challenged(profile)
    response = it.reply()
    for at in range(len(response)):
        for bit in range(8):
            flipped = response[:at] + bytes([response[at] ^ 1 << bit]) + response[at + 1 :]
            try:
                packet = eap.parse_eap(flipped)
            except PeerError:
                continue
            if packet.code is not eap.EapCode.RESPONSE or packet.type != profile.kind:
                continue
            _, effect = copy(it.machine).receive(packet, 9)
            assert not isinstance(effect, eap.Authorise), (at, bit)
    assert it.take(response) == AUTHORISE


def test_the_peer_may_pick_another_function_of_the_offer_once() -> None:
    it = World().attempt({"kdfs": (65535, 1)})
    it.begin()
    it.attend()
    again = it.step()
    assert isinstance(again, eap.Ask)
    assert parse_message(eap.parse_eap(again.octets).data).kdfs() == (1, 65535, 1)
    twice = message(
        AKA_PRIME, eap.EapCode.RESPONSE, 2, Subtype.CHALLENGE, [attribute(At.KDF, b"\xff\xff")]
    )
    assert copy(it.machine).receive(eap.parse_eap(twice), 3)[0].failure == "aka_kdf"
    assert it.step() == AUTHORISE


@both
def test_a_function_that_was_not_offered_is_refused(profile: Profile) -> None:
    it = challenged(profile)
    wish = [attribute(At.KDF, b"\x00\x09")]
    it.take(message(profile, eap.EapCode.RESPONSE, 1, Subtype.CHALLENGE, wish))
    assert it.machine.failure == "aka_kdf"


@pytest.mark.parametrize(("permanent", "code"), [(False, 1026), (True, 1031)])
@both
def test_a_refused_authorisation_is_told_under_the_session_key(
    profile: Profile, permanent: bool, code: int
) -> None:
    it = challenged(profile)
    it.step()
    told = it.answer(eap.Refused("insufficient_credit", permanent=permanent))
    assert isinstance(told, eap.Ask)
    packet = eap.parse_eap(told.octets)
    value = parse_message(packet.data).get(At.NOTIFICATION)
    assert value == int(Notification(code)).to_bytes(2, "big")
    assert it.machine.keys is not None
    assert mac_is_right(profile, packet.octets, it.machine.keys.k_aut)
    assert it.step() == eap.Fail("insufficient_credit")
    assert len(it.world.remembered) == 0


def test_an_unknown_subscriber_fails_at_once() -> None:
    it = World().attempt()
    it.begin()
    assert it.answer(eap.Refused("subscriber_unknown")) == eap.Fail("subscriber_unknown")


def test_nothing_is_kept_before_success() -> None:
    it = World().attempt()
    it.begin()
    it.attend()
    it.step()
    assert len(it.world.remembered) == 0
    assert it.world.memory.rejoining is None
    it.run()
    assert len(it.world.remembered) == 1
    assert it.world.memory.pseudonym.startswith("7")


# Bidding down (RFC 9048 section 4): a server that would rather speak EAP-AKA' says so in EAP-AKA.


def bid(methods: tuple[Profile, ...], *, told: bool) -> eap.Effect | None:
    return World(AKA).attempt({"prefer_aka_prime": told}, methods=methods).run()


def test_a_phone_that_knows_both_does_not_let_itself_be_bidden_down() -> None:
    assert bid((AKA_PRIME, AKA), told=True) == eap.Fail("authentication_rejected")
    assert isinstance(bid((AKA,), told=True), eap.Succeed)
    assert isinstance(bid((AKA_PRIME, AKA), told=False), eap.Succeed)


def test_the_bid_is_covered_by_the_mac() -> None:
    it = World(AKA).attempt({"prefer_aka_prime": True}, methods=(AKA_PRIME, AKA))
    it.begin()
    asked = it.attend()
    assert isinstance(asked, eap.Ask)
    bidding = attribute(At.BIDDING, b"\x80\x00")
    hidden = asked.octets.replace(bidding, attribute(At.BIDDING, bytes(2)))
    assert hidden != asked.octets
    it.effect = eap.Ask(hidden)
    assert it.step() == eap.Fail("client_error")


def test_a_refusal_by_the_policy_is_in_no_way_a_success() -> None:
    world = World()
    world.policy.refusal = Refusal(FakeReason.INSUFFICIENT_CREDIT)
    assert world.attach().effect == eap.Fail("insufficient_credit")
    assert world.memory.pseudonym == ""


@pytest.mark.parametrize("octets", [4, 13, 127, 253, 1016])
def test_an_attribute_keeps_its_value_through_padding(octets: int) -> None:
    value = bytes(octets)
    parsed = parse_message(bytes((5, 0, 0)) + counted(At.IDENTITY, value))
    assert parsed.get(At.IDENTITY) is not None
