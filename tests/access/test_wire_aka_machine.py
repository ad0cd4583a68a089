"""A hostile peer against both methods: any message in any phase ends in a value or `PeerError`."""

from __future__ import annotations

from copy import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.access.aka import PROFILES, Attempt, World, network_name
from tests.access.fakes import REALM, peer_error

from opencarrier.access.wire import eap
from opencarrier.access.wire.aka import Aka
from opencarrier.access.wire.aka_attributes import (
    At,
    Subtype,
    attribute,
    counted,
    message,
    parse_message,
)
from opencarrier.access.wire.aka_profile import AKA, AKA_PRIME, Profile
from opencarrier.kernel.refusals import PeerError

attributes = st.one_of(
    st.builds(attribute, st.sampled_from(list(At)), st.binary(max_size=40)),
    st.builds(
        lambda at, value: counted(at, value, bits=at is At.RES),
        st.sampled_from([At.IDENTITY, At.RES, At.KDF_INPUT]),
        st.one_of(st.binary(max_size=40), st.sampled_from([b"\x00QQ==", b"7x@y", b"8x@y"])),
    ),
)
aka_data = st.one_of(
    st.binary(max_size=120),
    st.builds(
        lambda subtype, parts: bytes((subtype, 0, 0)) + b"".join(parts),
        st.sampled_from(list(Subtype)),
        st.lists(attributes, max_size=5),
    ),
)


@given(aka_data)
def test_any_message_parses_or_is_a_peer_error(data: bytes) -> None:
    assert peer_error(parse_message, data).startswith(("aka_", "parsed"))


@given(st.binary(max_size=60))
def test_our_phone_takes_any_request(octets: bytes) -> None:
    world = World()
    for profile in PROFILES:
        world.profile = profile
        asked = eap.encode_eap(eap.EapCode.REQUEST, 1, profile.kind, octets)
        assert peer_error(world.phone().respond, octets)
        assert peer_error(world.phone().respond, asked)


def waiting(profile: Profile) -> list[Attempt]:
    """An attempt in every phase in which the peer is asked something."""
    identity = World(profile).attempt(outer=f"anonymous@{REALM}")
    identity.begin()
    challenge = World(profile).attempt()
    challenge.begin()
    challenge.attend()
    again = World(profile)
    again.attach()
    reauthentication = again.attempt()
    reauthentication.begin()
    notification = World(profile).attempt()
    notification.begin()
    notification.attend()
    notification.step()
    notification.answer(eap.Refused("no"))
    return [identity, challenge, reauthentication, notification]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.kind.name)
def test_an_answer_that_breaks_off_anywhere_proves_nothing(profile: Profile) -> None:
    for it in waiting(profile):
        response = it.reply()
        for size in range(5, len(response)):
            cut = response[:2] + size.to_bytes(2, "big") + response[4:size]
            _, effect = copy(it.machine).receive(eap.parse_eap(cut), 9)
            assert not isinstance(effect, eap.Authorise | eap.Succeed), size


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.kind.name)
@given(data=st.lists(aka_data, min_size=1, max_size=3))
@settings(max_examples=40)
def test_junk_in_any_phase_is_a_value(profile: Profile, data: list[bytes]) -> None:
    for it in waiting(profile):
        for junk in data:
            packet = eap.parse_eap(eap.encode_eap(eap.EapCode.RESPONSE, 1, profile.kind, junk))
            it.machine, effect = it.machine.receive(packet, 2)
            assert not isinstance(effect, eap.Authorise | eap.Succeed)
            if not isinstance(effect, eap.Ask):
                break


class Hostile(RuleBasedStateMachine):
    """A peer that answers as it should, or anything else, over many attempts at one server.

    The model is one sentence: a grant is asked for only after the genuine answer to what was last
    asked, octet by octet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.heard: list[bytes] = [b"\x02\x00\x00\x05\x01"]
        self.effect: eap.Effect | None = None

    @initialize(profile=st.sampled_from(PROFILES))
    def begin(self, profile: Profile) -> None:
        self.world.profile = profile
        self.open("")

    def open(self, outer: str) -> None:
        def made(profile: Profile) -> Aka:
            machine = self.world.machine()
            machine.profile, machine.network_name = profile, network_name(profile)
            return machine

        methods = {23: lambda _: made(AKA), 50: lambda _: made(AKA_PRIME)}
        self.phone = self.world.phone(**({"outer": outer} if outer else {}))
        self.session = eap.Session(b"s" * 16, "c", eap.Methods(methods), 0, 0)
        self.deliver(self.phone.identity(self.session.identifier), genuine=True)

    def deliver(self, octets: bytes, *, genuine: bool = False) -> None:
        if self.session.phase is eap.Phase.HOME:
            return
        self.heard = [*self.heard[-7:], octets]
        try:
            effect = self.session.receive(eap.parse_eap(octets))
        except PeerError:
            assert not genuine
            return
        assert genuine or not isinstance(effect, eap.Authorise)
        assert not isinstance(effect, eap.Succeed)
        self.effect = effect

    @property
    def asked(self) -> bool:
        return isinstance(self.effect, eap.Ask)

    @rule()
    def answer_as_asked(self) -> None:
        if isinstance(self.effect, eap.Ask):
            response = self.phone.respond(self.effect.octets)
            assert response is not None
            self.deliver(response, genuine=True)

    @rule(grant=st.booleans())
    def the_home_answers(self, grant: bool) -> None:
        if self.session.phase is not eap.Phase.HOME:
            return
        it = Attempt(self.world, self.phone, self.world.machine(), effect=self.effect)
        answer: eap.Answer = eap.Refused("no")
        if grant and isinstance(self.effect, eap.Authorise):
            answer = it._grant(self.effect.credential)
        elif grant and isinstance(self.effect, eap.NeedVector | eap.NeedResync):
            answer = it._vector(self.effect.network_name)
        self.effect = self.session.answer(answer)
        if isinstance(self.effect, eap.Succeed):
            assert self.phone.keys is not None
            assert self.effect.msk == self.phone.keys.msk
            self.phone.respond(eap.encode_eap(eap.EapCode.SUCCESS, self.session.identifier))

    @precondition(lambda self: self.asked)
    @rule(data=aka_data, kind=st.sampled_from([23, 50, 3, 1, 13]))
    def say_anything(self, data: bytes, kind: int) -> None:
        response = eap.EapCode.RESPONSE
        self.deliver(eap.encode_eap(response, self.session.identifier, kind, data))

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 7))
    def repeat_what_was_said_before(self, which: int) -> None:
        old = self.heard[which % len(self.heard)]
        self.deliver(old[:1] + bytes((self.session.identifier,)) + old[2:])

    @rule(outer=st.sampled_from(["", f"anonymous@{REALM}", "0", "7x@y", f"8x@{REALM}", "\x00Q"]))
    def begin_anew(self, outer: str) -> None:
        self.open(outer)

    @rule()
    def forget(self) -> None:
        """The server starts anew, with nothing of what it remembered."""
        self.world.remembered = World().remembered


TestHostile = Hostile.TestCase
TestHostile.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_a_message_of_the_other_method_is_not_this_ones() -> None:
    session = eap.Session(b"s" * 16, "c", eap.Methods({50: lambda _: World().machine()}), 0, 0)
    identity = eap.encode_eap(eap.EapCode.RESPONSE, 0, 1, f"anonymous@{REALM}".encode())
    session.receive(eap.parse_eap(identity))
    other = message(AKA, eap.EapCode.RESPONSE, session.identifier, Subtype.CLIENT_ERROR)
    with pytest.raises(PeerError, match="eap_unexpected"):
        session.receive(eap.parse_eap(other))
