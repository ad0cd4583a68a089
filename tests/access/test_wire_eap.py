"""EAP framing, the choice of the method and the bounded table of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.access.aka import World
from tests.access.fakes import IMSI, REALM, FakeVectors, peer_error

from opencarrier.access.wire import eap
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.access import AkaVector

PERMANENT = f"6{IMSI}@{REALM}"


@given(st.binary(max_size=80))
def test_any_eap_parses_or_is_a_peer_error(octets: bytes) -> None:
    assert peer_error(eap.parse_eap, octets).startswith(("eap_", "parsed"))


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


def chatty(link: eap.Link) -> Chatty:
    assert link == ("c", eap.EAP_OCTETS_MAX)
    return Chatty()


METHODS = eap.Methods(
    {
        eap.EapType.TLS: chatty,
        eap.EapType.TTLS: chatty,
        eap.EapType.AKA_PRIME: lambda _: World().machine(),
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
        (b"8r@x", 50), (b"\x00QQ==", 50), (b"0" + IMSI.encode() + b"@x", 13), (b"5@x", 13),
    ],
)  # fmt: skip
def test_the_outer_identity_tells_the_first_method(identity: bytes, kind: int) -> None:
    assert METHODS.first(identity) == kind
    assert eap.Methods({21: chatty, 23: chatty}).first(b"0" + IMSI.encode()) == 23


def test_a_nak_that_names_another_method_switches_to_it_once() -> None:
    it = session(1)
    told(it, 1, PERMANENT.encode())
    vector = FakeVectors().vector(None, IMSI, b"WLAN")  # type: ignore[arg-type]
    assert isinstance(vector, AkaVector)
    assert isinstance(it.answer(vector), eap.Ask)
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
