"""EAP framing, the session table and the EAP-AKA' machine, against our phone and junk."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.fakes import HOME, IMSI, NODE, OPC, REALM, Bench, K, peer_error, usim

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
from opencarrier.access.wire.aka_prime import AkaPrime, Phase, permanent_identity
from opencarrier.identity.milenage import AMF_SEPARATION_BIT, Milenage
from opencarrier.identity.sequence import prime_keys
from opencarrier.kernel.refusals import PeerError
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.spine.access import AkaVector, Credential, CredentialKind

PERMANENT = f"6{IMSI}@{REALM}"
RAND = bytes(range(16))
AUTHORISE = eap.Authorise(Credential(CredentialKind.SIM, IMSI), REALM)


def vector(*, sqn: int = 64, name: bytes = b"WLAN", k: bytes = K) -> AkaVector:
    made = Milenage(k, OPC).vector(RAND, sqn, AMF_SEPARATION_BIT)
    ck, ik = prime_keys(made.ck, made.ik, network_name=name, autn=made.autn)
    return AkaVector(rand=RAND, autn=made.autn, xres=made.xres, ck=ck, ik=ik)


@dataclass
class Attempt:
    """A phone and the machine, with no network between them."""

    phone: AkaPrimePeer
    machine: AkaPrime = field(default_factory=AkaPrime)
    identifier: int = 1
    effect: eap.Effect | None = None

    def begin(self) -> eap.Effect:
        identity = eap.parse_eap(self.phone.identity()).data
        self.machine, self.effect = self.machine.start(identity, self.identifier)
        return self.effect

    def answer(self, answer: eap.Answer) -> eap.Effect:
        self.machine, self.effect = self.machine.answer(answer, self.identifier)
        return self.effect

    def reply(self) -> bytes:
        assert isinstance(self.effect, eap.Ask), self.effect
        response = self.phone.respond(self.effect.octets)
        assert response is not None
        return response

    def take(self, response: bytes) -> eap.Effect:
        self.identifier += 1
        packet = eap.parse_eap(response)
        self.machine, self.effect = self.machine.receive(packet, self.identifier)
        return self.effect

    def step(self) -> eap.Effect:
        return self.take(self.reply())


def attempt(**phone: object) -> Attempt:
    return Attempt(AkaPrimePeer(usim(), REALM, **phone))  # type: ignore[arg-type]


def challenged() -> Attempt:
    it = attempt()
    it.begin()
    it.answer(vector())
    return it


def test_a_permanent_identity_needs_one_challenge() -> None:
    it = attempt()
    assert it.begin() == eap.NeedVector(IMSI, REALM, b"WLAN")
    assert isinstance(it.answer(vector()), eap.Ask)
    assert it.step() == AUTHORISE
    grant = Bench().policy.authorise(None, _request())  # type: ignore[arg-type]
    done = it.answer(grant)  # type: ignore[arg-type]
    assert isinstance(done, eap.Succeed)
    assert it.phone.keys is not None
    assert done.msk == it.phone.keys.msk


def _request() -> object:
    from opencarrier.spine.access import AuthorisationRequest
    from opencarrier.spine.parties import Subscriber

    subscriber = Subscriber(party_id=HOME, home=HOME, plan_id="p")
    return AuthorisationRequest(subscriber=subscriber, visited=HOME, node=NODE, at_us=1)


@pytest.mark.parametrize(
    ("outer", "asked"),
    [
        (f"anonymous@{REALM}", [At.FULLAUTH_ID_REQ]),
        (f"0{IMSI}@{REALM}", [At.FULLAUTH_ID_REQ]),
        (f"7pseudonym@{REALM}", [At.PERMANENT_ID_REQ]),
        (f"8reauthentication@{REALM}", [At.FULLAUTH_ID_REQ]),
    ],
)
def test_any_other_identity_costs_a_round(outer: str, asked: list[At]) -> None:
    it = attempt(outer=outer)
    it.begin()
    assert it.step() == eap.NeedVector(IMSI, REALM, b"WLAN")
    assert list(it.machine.asked) == asked
    it.answer(vector())
    assert it.step() == AUTHORISE


def test_the_identity_round_is_covered_by_the_checkcode() -> None:
    it = attempt(outer=f"anonymous@{REALM}")
    it.begin()
    it.step()
    it.machine = replace(it.machine, transcript=it.machine.transcript + b"tampered")
    it.answer(vector())
    assert it.step() == eap.Fail("client_error")


def test_a_second_useless_identity_ends_it() -> None:
    it = attempt(outer="anonymous@x")
    it.begin()
    useless = [counted(At.IDENTITY, b"7pseudonym@x")]
    again = message(eap.EapCode.RESPONSE, 1, Subtype.IDENTITY, useless)
    assert isinstance(it.take(again), eap.Ask)
    assert list(it.machine.asked) == [At.FULLAUTH_ID_REQ, At.PERMANENT_ID_REQ]
    it.take(again)
    assert it.machine.failure == "aka_identity_unusable"
    assert it.step() == eap.Fail("aka_identity_unusable")


@pytest.mark.parametrize(
    "identity",
    [b"", b"6@x", b"612345@x", b"6" + b"1" * 16 + b"@x", b"6123456", b"6123456@", b"\xff\xfe",
     b"6123456@a b", b"6123456@.x", b"6123456@x\x00", "6١٢٣٤٥٦@x".encode()],
)  # fmt: skip
def test_what_is_no_permanent_identity(identity: bytes) -> None:
    assert permanent_identity(identity) is None


def test_a_realm_is_lower_case() -> None:
    assert permanent_identity(b"6001010000000001@WLAN.Example.ORG") == (
        "001010000000001",
        "wlan.example.org",
    )


def test_a_wrong_key_is_the_phones_reject() -> None:
    it = attempt()
    it.begin()
    it.answer(vector(k=bytes(16)))
    assert it.step() == eap.Fail("authentication_rejected")


def test_a_stale_number_resynchronises_once() -> None:
    it = Attempt(AkaPrimePeer(usim(highest_sqn=100 << 5), REALM))
    it.begin()
    it.answer(vector(sqn=1 << 5))
    need = it.step()
    assert isinstance(need, eap.NeedResync)
    assert Milenage(K, OPC).open_auts(need.rand, need.auts) == 100 << 5
    it.answer(vector(sqn=2 << 5))
    assert isinstance(it.step(), eap.Ask)
    assert it.machine.failure == "aka_resynchronised_twice"


def test_a_resynchronised_card_is_let_in() -> None:
    it = Attempt(AkaPrimePeer(usim(highest_sqn=100 << 5), REALM))
    it.begin()
    it.answer(vector(sqn=1 << 5))
    it.step()
    it.answer(vector(sqn=101 << 5))
    assert it.step() == AUTHORISE


def test_every_flipped_bit_of_the_answer_is_refused() -> None:
    it = challenged()
    response = it.reply()
    for at in range(len(response)):
        for bit in range(8):
            flipped = response[:at] + bytes([response[at] ^ 1 << bit]) + response[at + 1 :]
            try:
                packet = eap.parse_eap(flipped)
            except PeerError:
                continue
            if packet.code is not eap.EapCode.RESPONSE or packet.type != eap.EapType.AKA_PRIME:
                continue
            _, effect = it.machine.receive(packet, 9)
            assert not isinstance(effect, eap.Authorise), (at, bit)
    assert it.take(response) == AUTHORISE


def test_the_peer_may_pick_another_function_of_the_offer_once() -> None:
    it = Attempt(AkaPrimePeer(usim(), REALM), AkaPrime(kdfs=(65535, 1)))
    it.begin()
    it.answer(vector())
    again = it.step()
    assert isinstance(again, eap.Ask)
    assert parse_message(eap.parse_eap(again.octets).data).kdfs() == (1, 65535, 1)
    twice = message(eap.EapCode.RESPONSE, 2, Subtype.CHALLENGE, [attribute(At.KDF, b"\xff\xff")])
    assert it.machine.receive(eap.parse_eap(twice), 3)[0].failure == "aka_kdf"
    assert it.step() == AUTHORISE


def test_a_function_that_was_not_offered_is_refused() -> None:
    it = challenged()
    wish = message(eap.EapCode.RESPONSE, 1, Subtype.CHALLENGE, [attribute(At.KDF, b"\x00\x09")])
    it.take(wish)
    assert it.machine.failure == "aka_kdf"


def test_a_refused_authorisation_is_told_under_the_session_key() -> None:
    it = challenged()
    it.step()
    told = it.answer(eap.Refused("insufficient_credit"))
    assert isinstance(told, eap.Ask)
    packet = eap.parse_eap(told.octets)
    code = parse_message(packet.data).get(At.NOTIFICATION)
    assert code == int(Notification.TEMPORARILY_DENIED).to_bytes(2, "big")
    assert it.machine.keys is not None
    assert mac_is_right(packet.octets, it.machine.keys.k_aut)
    assert it.step() == eap.Fail("insufficient_credit")


def test_an_unknown_subscriber_fails_at_once() -> None:
    it = attempt()
    it.begin()
    assert it.answer(eap.Refused("subscriber_unknown")) == eap.Fail("subscriber_unknown")


aka_data = st.one_of(
    st.binary(max_size=120),
    st.builds(
        lambda subtype, parts: bytes((subtype, 0, 0)) + b"".join(parts),
        st.sampled_from(list(Subtype)),
        st.lists(
            st.one_of(
                st.builds(
                    lambda at, value: attribute(at, value),
                    st.sampled_from(list(At)),
                    st.binary(max_size=40),
                ),
                st.builds(
                    lambda at, value: counted(at, value, bits=at is At.RES),
                    st.sampled_from([At.IDENTITY, At.RES, At.KDF_INPUT]),
                    st.binary(max_size=40),
                ),
            ),
            max_size=5,
        ),
    ),
)


@given(aka_data)
def test_any_message_parses_or_is_a_peer_error(data: bytes) -> None:
    assert peer_error(parse_message, data).startswith(("aka_", "parsed"))


@given(st.binary(max_size=80))
def test_any_eap_parses_or_is_a_peer_error(octets: bytes) -> None:
    assert peer_error(eap.parse_eap, octets).startswith(("eap_", "parsed"))


@given(st.lists(aka_data, min_size=1, max_size=4), st.sampled_from(list(Phase)))
@settings(max_examples=300)
def test_junk_never_breaks_the_machine_nor_authorises(junk: list[bytes], phase: Phase) -> None:
    it = challenged() if phase is Phase.CHALLENGE else attempt(outer="anonymous@x")
    if phase is not Phase.CHALLENGE:
        it.begin()
    for data in junk:
        packet = eap.parse_eap(eap.encode_eap(eap.EapCode.RESPONSE, 1, 50, data))
        if it.machine.phase in (Phase.VECTOR, Phase.ENDED):
            return
        it.machine, effect = it.machine.receive(packet, 2)
        assert isinstance(effect, (eap.Ask, eap.Fail, eap.NeedVector, eap.NeedResync))


@given(st.binary(max_size=60))
def test_our_phone_takes_any_request(octets: bytes) -> None:
    phone = AkaPrimePeer(usim(), REALM)
    assert peer_error(phone.respond, octets)
    assert peer_error(phone.respond, eap.encode_eap(eap.EapCode.REQUEST, 1, 50, octets))


@dataclass(frozen=True)
class Chatty:
    """A method that asks for ever."""

    rounds_max: int = 3

    def start(self, identity: bytes, identifier: int) -> tuple[Chatty, eap.Effect]:
        return self, eap.Ask(eap.encode_eap(eap.EapCode.REQUEST, identifier, 13))

    def receive(self, response: eap.EapPacket, identifier: int) -> tuple[Chatty, eap.Effect]:
        return self.start(b"", identifier)

    def answer(self, answer: eap.Answer, identifier: int) -> tuple[Chatty, eap.Effect]:
        raise AssertionError


def chatty(client_id: str) -> Chatty:
    assert client_id == "c"
    return Chatty()


METHODS = eap.Methods(
    {
        eap.EapType.TLS: chatty,
        eap.EapType.TTLS: chatty,
        eap.EapType.AKA_PRIME: lambda _: AkaPrime(),
    }
)


def session(number: int, client: str = "c") -> eap.Session:
    return eap.Session(
        state=sha256(str(number).encode()).digest()[:16],
        client_id=client,
        methods=METHODS,
        identifier=0,
        expires_s=0,
    )


def test_open_sessions_are_bounded_per_client_and_in_time() -> None:
    table = eap.SessionTable(ttl_s=10, sessions_max=5, per_client_max=3)

    def open_of(client: str, at_s: float, *numbers: int) -> list[int]:
        """Open some, and say which of all are open then, the oldest first."""
        for number in numbers:
            table.open(session(number, client), at_s)
        return [states.index(one.state) for one in table]

    states = [session(number).state for number in range(10)]
    assert open_of("c", 0, 0, 1, 2) == [0, 1, 2]
    assert open_of("c", 0, 3) == [1, 2, 3]
    assert open_of("other", 5, 4, 5) == [1, 2, 3, 4, 5]
    assert open_of("third", 5, 6) == [2, 3, 4, 5, 6]
    assert table.displaced == 2
    assert table.find(states[2], "other", 5) is None
    assert table.find(states[2], "c", 5) is not None
    assert open_of("c", 10, 7) == [4, 5, 6, 7]
    table.close(states[7])
    table.close(states[7])
    assert open_of("c", 14) == [4, 5, 6]
    table.expire(15)
    assert len(table) == 0


def told(it: eap.Session, kind: int, data: bytes) -> eap.Effect:
    return it.receive(
        eap.parse_eap(eap.encode_eap(eap.EapCode.RESPONSE, it.identifier, kind, data))
    )


def test_a_method_costs_a_bounded_number_of_rounds() -> None:
    it = session(1)
    told(it, 1, b"anonymous@x")
    assert [isinstance(told(it, 13, b""), eap.Ask) for _ in range(2)] == [True, True]
    assert told(it, 13, b"") == eap.Fail("rounds_exceeded")


def test_a_response_out_of_place_changes_nothing() -> None:
    it = session(1)
    before = (it.phase, it.tried, it.identifier)
    for code, identifier, kind in ((2, 0, 50), (2, 0, 3), (1, 0, 1), (2, 9, 1)):
        packet = eap.parse_eap(eap.encode_eap(eap.EapCode(code), identifier, kind, b"x"))
        with pytest.raises(PeerError, match="eap_"):
            it.receive(packet)
    assert (it.phase, it.tried, it.identifier) == before


@pytest.mark.parametrize(
    ("identity", "kind"),
    [
        (b"anonymous@x", 13), (b"", 13), (b"user@x", 13), (PERMANENT.encode(), 50), (b"7p@x", 50),
        (b"8r@x", 50), (b"0" + IMSI.encode() + b"@x", 13), (b"5@x", 13),
    ],
)  # fmt: skip
def test_the_outer_identity_tells_the_first_method(identity: bytes, kind: int) -> None:
    assert METHODS.first(identity) == kind
    assert eap.Methods({21: chatty, 23: chatty}).first(b"0" + IMSI.encode()) == 23


def test_a_nak_that_names_another_method_switches_to_it_once() -> None:
    it = session(1)
    told(it, 1, PERMANENT.encode())
    assert isinstance(it.answer(vector()), eap.Ask)
    assert isinstance(told(it, 3, b"\x04\x15\x0d"), eap.Ask)
    assert it.tried == (50, 21)
    assert isinstance(told(it, 3, b"\x32\x15\x0d"), eap.Ask)
    assert it.tried == (50, 21, 13)
    assert told(it, 3, b"\x32\x15\x0d") == eap.Fail("method_refused")


@pytest.mark.parametrize("wanted", [b"", b"\x00", b"\x04\x06", b"\x0d"])
def test_a_nak_that_names_no_other_method_fails(wanted: bytes) -> None:
    it = session(1)
    told(it, 1, b"anonymous@x")
    assert told(it, 3, wanted) == eap.Fail("method_refused")


def test_a_method_under_way_is_not_left_by_a_nak() -> None:
    it = session(1)
    told(it, 1, b"anonymous@x")
    told(it, 13, b"")
    assert told(it, 3, b"\x15") == eap.Fail("method_refused")


@pytest.mark.parametrize("octets", [4, 13, 127, 253])
def test_an_attribute_keeps_its_value_through_padding(octets: int) -> None:
    value = bytes(octets)
    parsed = parse_message(bytes((5, 0, 0)) + counted(At.IDENTITY, value))
    assert parsed.get(At.IDENTITY) is not None
