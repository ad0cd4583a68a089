"""EAP-TLS and EAP-TTLS in process: every way in, every way out, and hostile octets.

That a foreign program agrees is tried in `tests/peers/test_access_eapol_tls.py`.
"""

from __future__ import annotations

import gc
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.access.fakes import NOW_US, peer_error
from tests.access.tls import (
    ENTROPY,
    OUTER,
    PASSWORD,
    USER,
    Scene,
    carry,
    material,
    pki,
)

from opencarrier.access.wire import eap, tls_tunnel
from opencarrier.access.wire.tls_framing import Flag, Framing
from opencarrier.access.wire.tls_material import TlsLimits
from opencarrier.access.wire.tls_messages import (
    RECORDS_MAX,
    Offer,
    first_offer,
    given_session_id,
    given_ticket,
    parse_offer,
    parse_records,
)
from opencarrier.access.wire.tls_method import HEAD_OCTETS, ROUNDS_MAX
from opencarrier.access.wire.tls_resumption import Earned, Resumptions
from opencarrier.identity.pki.model import DAY_S, Algorithm, Holder
from opencarrier.kernel.refusals import PeerError
from opencarrier.sim.tls_peer import Login, TlsDevice, TlsPeer, Trust
from opencarrier.spine.access import Credential, CredentialKind

PAP = Login(user_name=USER, password=PASSWORD)
MSCHAPV2 = replace(PAP, mschapv2=True)
WAYS = [None, PAP, MSCHAPV2]


def device(scene: Scene, login: Login | None, version: str) -> Any:
    return scene.plain_device(version) if login else scene.device(version)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("login", WAYS, ids=["tls", "pap", "mschapv2"])
def test_a_device_gets_on_and_then_resumes(version: str, login: Login | None) -> None:
    scene = Scene()
    known = device(scene, login, version)
    full = scene.attempt(known, login)
    assert full.keys_match
    assert not full.peer.resumed
    for _ in range(2):
        again = scene.attempt(known, login)
        assert again.keys_match
        assert again.peer.resumed
        assert again.requests == (2 if version == "1.2" else 3)
        assert again.effect.msk != full.effect.msk
    assert len(set(scene.home.granted)) == 1
    assert len(scene.home.granted) == 3
    asked = [need.proven for need in scene.home.asked if isinstance(need, eap.NeedPassword)]
    assert asked == ([False, True, True] if login else [])
    assert scene.server.conversations == 0


def test_an_rsa_chain_takes_more_fragments_and_serves_as_well() -> None:
    scene = Scene(world=pki(Algorithm.RSA))
    for login in WAYS:
        for version in ("1.2", "1.3"):
            attempt = scene.attempt(device(scene, login, version), login)
            assert attempt.keys_match
            assert attempt.requests >= 5


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("login", [PAP, MSCHAPV2], ids=["pap", "mschapv2"])
def test_a_wrong_password_and_a_stranger_end_alike(version: str, login: Login) -> None:
    scene = Scene()
    wrong = scene.attempt(scene.plain_device(version), replace(login, password="guess"))
    nobody = scene.attempt(scene.plain_device(version), replace(login, user_name="nobody"))
    assert wrong.reason == nobody.reason == "password_wrong"
    assert wrong.requests == nobody.requests
    assert not scene.home.granted
    assert len(scene.server.resumptions) == 0


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_certificates_that_do_not_count(version: str) -> None:
    """Another anchor's, an expired one, one not valid yet, a server's, a revoked one, none."""
    scene = Scene()
    world, stranger = scene.world, pki(Algorithm.RSA)
    short, gone = world.subscriber("short", valid_s=60), world.subscriber("gone")
    scene.source.material = material(world, revocations=world.revocations(gone))
    assert scene.attempt(scene.device(version)).keys_match
    assert scene.attempt(scene.device(version, short)).keys_match
    assert scene.attempt(scene.device(version, gone)).reason == "certificate_revoked"
    assert scene.attempt(scene.device(version, stranger.client)).reason == "certificate_untrusted"
    assert scene.attempt(scene.device(version, world.server)).reason == "certificate_purpose"
    assert scene.attempt(scene.plain_device(version)).reason == "certificate_missing"
    scene.later(61)
    assert scene.attempt(scene.device(version, short)).reason == "certificate_expired"
    scene.later(DAY_S)
    assert scene.attempt(scene.device(version)).reason == "revocations_expired"
    assert scene.server.conversations == 0


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_device_may_show_its_certificate_alone_where_we_know_its_authorities(
    version: str,
) -> None:
    """The lists of what is above it are asked for all the same, up to the root."""
    scene = Scene()
    world, gone = scene.world, scene.world.subscriber("gone")
    known = b"".join(one.certificate_pem for one in world.branch.authorities)
    lists = world.revocations(gone)

    def shown(holder: Holder) -> TlsDevice:
        return TlsDevice(
            Trust(
                anchors=world.anchors,
                chain=holder.certificate_pem,
                key=holder.key_pem,
                version=version,
                at_us=scene.clock.now_us(),
            )
        )

    assert scene.attempt(shown(world.client)).reason == "certificate_untrusted"
    scene.source.material = material(world, anchors=known, revocations=lists)
    assert scene.attempt(shown(world.client)).keys_match
    assert scene.attempt(scene.device(version)).keys_match
    assert scene.attempt(shown(gone)).reason == "certificate_revoked"


def test_a_device_that_does_not_trust_us_goes() -> None:
    scene = Scene()
    for version in ("1.2", "1.3"):
        other = Scene(world=pki(Algorithm.RSA)).device(version)
        assert scene.attempt(other).reason == "tls_alert"


def test_a_version_below_the_least_is_turned_away() -> None:
    world = pki()
    scene = Scene()
    scene.source.material = material(world, version_min="1.3")
    assert scene.attempt(scene.device("1.2")).reason == "tls_version"
    assert scene.attempt(scene.device("1.3")).keys_match


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_home_is_asked_at_each_resumption(version: str) -> None:
    """Revoked, out of money, gone: the home says so, whatever the session was worth before."""
    for login in (None, MSCHAPV2):
        scene = Scene()
        known = device(scene, login, version)
        scene.attempt(known, login)
        scene.home.barred.update(scene.home.granted)
        refused = scene.attempt(known, login)
        assert refused.peer.resumed
        assert refused.reason == "subscriber_unknown"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_another_password_ends_what_the_old_one_earned(version: str) -> None:
    scene = Scene()
    known = scene.plain_device(version)
    scene.attempt(known, MSCHAPV2)
    scene.home.passwords[USER] = "another password"
    refused = scene.attempt(known, MSCHAPV2)
    assert refused.peer.resumed
    assert refused.reason == "password_wrong"
    assert len(scene.home.granted) == 1
    again = scene.attempt(scene.plain_device(version), replace(PAP, password="another password"))
    assert again.keys_match


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_nothing_can_be_resumed_before_the_password_was_right(version: str) -> None:
    """The session of a handshake that led nowhere: the next attempt is a full one."""
    scene = Scene()
    known = scene.plain_device(version)
    machine = scene.machine(eap.EapType.TTLS)
    peer = TlsPeer(device=known, outer=OUTER, entropy=ENTROPY, login=replace(PAP, password="x"))
    assert carry(peer, machine, scene.home).reason == "password_wrong"
    # A hostile device keeps the session all the same, and claims its password was right.
    hostile = TlsPeer(device=known, outer=OUTER, entropy=ENTROPY, login=replace(PAP, password="x"))
    hostile.keep_session = True
    carry(hostile, scene.machine(eap.EapType.TTLS), scene.home)
    assert known.session is not None
    again = scene.attempt(known, replace(PAP, password="x"))
    assert not again.peer.resumed
    assert again.reason == "password_wrong"
    assert not scene.home.granted


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_what_a_session_is_bound_to(version: str) -> None:
    """Another realm, another method, new certificates, its end: each means a full handshake."""
    scene = Scene()
    known = scene.device(version)
    assert scene.attempt(known).keys_match
    elsewhere = scene.attempt(known, outer="anonymous@other.example")
    assert not elsewhere.peer.resumed
    assert elsewhere.reason == "subscriber_unknown"
    assert scene.attempt(known).keys_match
    assert not scene.attempt(known, PAP).peer.resumed
    assert scene.attempt(known).keys_match
    scene.source.material = replace(scene.source.material)
    renewed = scene.attempt(known)
    assert renewed.keys_match
    assert not renewed.peer.resumed
    assert scene.attempt(known).peer.resumed
    scene.later(scene.limits.resumption_ttl_s)
    late = scene.attempt(scene.device(version))
    assert late.keys_match
    assert not late.peer.resumed


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_that_cannot_be_told_for_sure_is_worth_nothing(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two offers, or one beside what was really resumed: whose session it is decides, not whose
    name stands beside it."""
    scene = Scene()
    known, other = scene.device(version), scene.device(version, scene.world.subscriber("other"))
    scene.attempt(known)
    scene.attempt(other)
    ours = _offer_of(scene, known)
    theirs = _offer_of(scene, other)
    for offer in (
        Offer(session_id=ours.session_id + theirs.session_id, keys=theirs.keys + ours.keys),
        Offer(),
        Offer(session_id=b"x" * 32, keys=(b"x",)),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(tls_tunnel, "parse_offer", lambda _, offer=offer: offer)
            attempt = scene.attempt(known)
            assert attempt.peer.resumed
            assert attempt.reason == "resumption_unknown"
        assert scene.attempt(known).keys_match
    assert len(set(scene.home.granted)) == 2


def _offer_of(scene: Scene, known: TlsDevice) -> Offer:
    peer = TlsPeer(device=known, outer=OUTER, entropy=ENTROPY)
    start = eap.encode_eap(eap.EapCode.REQUEST, 1, eap.EapType.TLS, bytes((Flag.START,)))
    framing, data = Framing(), eap.parse_eap(peer.respond(start) or b"").data
    while (message := framing.take(data)) is None:
        request = eap.encode_eap(eap.EapCode.REQUEST, 1, eap.EapType.TLS, framing.request())
        data = eap.parse_eap(peer.respond(request) or b"").data
    return first_offer(message)


def test_resuming_does_not_move_the_end_and_a_short_certificate_ends_sooner() -> None:
    scene = Scene(limits=TlsLimits(resumption_ttl_s=1_000))
    known = scene.device()
    scene.attempt(known)
    scene.later(999)
    assert scene.attempt(known).peer.resumed
    scene.later(1)
    assert not scene.attempt(known).peer.resumed
    short = scene.device(holder=scene.world.subscriber("short", valid_s=1_100))
    scene.attempt(short)
    scene.later(101)
    assert scene.attempt(short).reason == "certificate_expired"


def test_sessions_are_bounded_and_a_context_is_renewed() -> None:
    earned = Earned(
        method=13,
        outer="a",
        credential=Credential(CredentialKind.PASSWORD, "u"),
        realm="a",
        expires_us=NOW_US + 1,
    )
    table = Resumptions(entries_max=3)
    table.enter([b"1", b"2", b"3", b"4"], earned)
    assert len(table) == 3
    asked = {"method": 13, "outer": "a", "now_us": NOW_US}
    assert table.find(b"1", **asked) is None
    assert table.find(b"4", **asked) == earned
    assert table.find(b"", **asked) is None
    assert table.find(b"4", method=21, outer="a", now_us=NOW_US) is None
    assert table.find(b"4", method=13, outer="a", now_us=NOW_US + 1) is None
    assert len(table) == 2
    scene = Scene(limits=TlsLimits(handshakes_per_context_max=2))
    first, second, third = scene.device(), scene.device(), scene.device()
    for one in (first, second, third):
        assert scene.attempt(one).keys_match
    assert not scene.attempt(first).peer.resumed
    assert scene.attempt(third).keys_match


def test_open_conversations_are_bounded_and_the_oldest_gives_way() -> None:
    """Of the client at its bound its own oldest, of all the oldest of all."""
    scene = Scene(limits=TlsLimits(conversations_max=3, conversations_per_client_max=2))
    hello = _first_flight(scene)
    held = [_opened(scene, hello, client)[0] for client in ("a", "b", "a")]
    assert scene.server.conversations == 3
    held.append(_opened(scene, hello, "a")[0])
    assert _goes_on(held) == [False, True, True, True]
    held.append(_opened(scene, hello, "c")[0])
    assert _goes_on(held) == [False, False, True, True, True]
    assert scene.server.displaced == 2
    gone = eap.parse_eap(hello)
    assert held[0].receive(gone, 3)[1] == eap.Fail("tls_displaced")
    assert scene.server.conversations == 3
    held[-1].close()
    held[-1].close()
    assert scene.server.conversations == 2
    del held
    gc.collect()
    assert scene.server.conversations == 0


@pytest.mark.deep
def test_memory_keeps_to_its_cap_in_a_flood_of_client_hellos() -> None:
    """About 56 KiB each, and no more than the limits that a server comes with."""
    scene, held = Scene(), []
    hello = _first_flight(scene)
    held.append(_opened(scene, hello, "first")[0])
    before = _resident_octets()
    for number in range(8_000):
        held.append(_opened(scene, hello, f"client_{number % 8}")[0])
    used = _resident_octets() - before
    print(f"{scene.server.conversations} conversations: {used >> 20} MiB")
    assert scene.server.conversations == TlsLimits().conversations_max
    assert used < 160 << 20


def _resident_octets() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


def test_who_answers_at_once_gets_on_in_a_flood() -> None:
    scene = Scene(limits=TlsLimits(conversations_max=8, conversations_per_client_max=4))
    hello, held = _first_flight(scene), []

    def home(need: eap.Effect) -> eap.Answer:
        held.extend(_opened(scene, hello, f"client_{n % 3}")[0] for n in range(3))
        return scene.home(need)

    for _ in range(20):
        held.append(_opened(scene, hello, "client_1")[0])
    peer = TlsPeer(device=scene.plain_device(), outer=OUTER, entropy=ENTROPY, login=MSCHAPV2)
    assert carry(peer, scene.machine(peer.type), home).keys_match
    assert scene.server.conversations <= 8


def test_one_displaced_while_the_home_is_asked_is_not_let_in() -> None:
    scene = Scene(limits=TlsLimits(conversations_max=1))
    hello, held = _first_flight(scene), []

    def home(need: eap.Effect) -> eap.Answer:
        held.append(_opened(scene, hello, "b")[0])
        return scene.home(need)

    for login in WAYS:
        peer = TlsPeer(
            device=device(scene, login, "1.3"), outer=OUTER, entropy=ENTROPY, login=login
        )
        assert carry(peer, scene.machine(peer.type), home).reason == "tls_displaced"
    assert len(scene.server.resumptions) == 0


@dataclass(slots=True)
class Measuring(TlsPeer):
    """A device that notes how long the longest request was."""

    longest: int = 0

    def respond(self, octets: bytes) -> bytes | None:
        self.longest = max(self.longest, len(octets))
        return TlsPeer.respond(self, octets)


@pytest.mark.parametrize("octets_max", [252, 1020, 1396, eap.EAP_OCTETS_MAX])
def test_no_request_is_longer_than_the_link_behind_the_access_point(octets_max: int) -> None:
    scene = Scene()
    peer = Measuring(device=scene.plain_device(), outer=OUTER, entropy=ENTROPY, login=PAP)
    machine = scene.machine(eap.EapType.TTLS, octets_max=octets_max)
    assert carry(peer, machine, scene.home).keys_match
    assert peer.longest == min(octets_max, TlsLimits().fragment_octets + HEAD_OCTETS)


def _goes_on(machines: list[Any]) -> list[bool]:
    return [not machine._displaced for machine in machines]


def _first_flight(scene: Scene) -> bytes:
    peer = TlsPeer(device=scene.plain_device(), outer=OUTER, entropy=ENTROPY, login=PAP)
    start = eap.encode_eap(eap.EapCode.REQUEST, 1, eap.EapType.TTLS, bytes((Flag.START,)))
    response = peer.respond(start)
    assert response is not None
    return response


def _opened(scene: Scene, hello: bytes, client: str) -> tuple[Any, eap.Effect]:
    machine, _ = scene.machine(eap.EapType.TTLS, client).start(OUTER.encode(), 1)
    return machine.receive(eap.parse_eap(hello), 2)


def _ends(scene: Scene, login: Login | None, change: Any, version: str = "1.3") -> str:
    """Carry an attempt whose responses a function changes; how it ended, never an exception."""
    peer = TlsPeer(device=device(scene, login, version), outer=OUTER, entropy=ENTROPY, login=login)
    machine: Any = scene.machine(peer.type)
    machine, effect = machine.start(OUTER.encode(), 1)
    for number in range(ROUNDS_MAX):
        while isinstance(effect, eap.NeedPassword | eap.Authorise):
            machine, effect = machine.answer(scene.home(effect), number % 256)
        if not isinstance(effect, eap.Ask):
            return type(effect).__name__
        try:
            response = peer.respond(effect.octets)
        except PeerError:
            return "peer gave up"
        assert response is not None
        packet = eap.parse_eap(response)
        try:
            for data in change(number, packet.data):
                machine, effect = machine.receive(packet._replace(data=data), number % 256)
        except PeerError as error:
            return error.reason
    return "rounds"


@dataclass
class Flip:
    """Flips one bit of one response, behind the header of its first record."""

    where: int
    bit: int
    done: int = 0

    def __call__(self, number: int, data: bytes) -> list[bytes]:
        if number != self.where or len(data) <= 12:
            return [data]
        octets = bytearray(data)
        at = 80 + self.bit % (8 * (len(octets) - 10))
        octets[at // 8] ^= 1 << at % 8
        self.done = 1
        return [bytes(octets)]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("login", [None, MSCHAPV2], ids=["tls", "mschapv2"])
def test_a_flipped_bit_lets_nobody_in(login: Login | None, version: str) -> None:
    """Rejected, whichever response it was in, and nothing stays open."""
    chance = random.Random(20261126)
    scene = Scene()
    outcomes: Counter[str] = Counter()
    while outcomes.total() < 25:
        flip = Flip(chance.randrange(5), chance.randrange(10_000))
        outcome = _ends(scene, login, flip, version)
        outcomes[outcome] += flip.done
    assert {outcome for outcome, times in outcomes.items() if times} <= {"Fail", "peer gave up"}
    gc.collect()
    assert scene.server.conversations == 0


@pytest.mark.parametrize("login", [None, PAP], ids=["tls", "pap"])
def test_octets_of_any_kind_in_any_phase(login: Login | None) -> None:
    chance = random.Random(5)
    scene = Scene()
    seen = set()
    for _ in range(60):
        where = chance.randrange(4)
        noise = bytes((chance.choice((0, 0, 0x80, 0x40, 0xC0)),)) + chance.randbytes(
            chance.randrange(200)
        )
        if chance.random() < 0.5:
            kind, body = chance.choice((20, 21, 22, 23)), chance.randbytes(chance.randrange(1, 90))
            noise = b"\x00" + bytes((kind, 3, 3)) + len(body).to_bytes(2, "big") + body
        seen.add(_ends(scene, login, lambda n, d, w=where, x=noise: [x] if n == w else [d]))
    assert "Fail" in seen
    gc.collect()
    assert scene.server.conversations == 0


def _instead(where: int, noise: bytes) -> Any:
    return lambda number, data: [noise] if number == where else [data]


def test_a_flight_octet_by_octet() -> None:
    """Each octet is acknowledged, and nothing of OpenSSL is made before the last one came."""
    scene = Scene()
    hello = eap.parse_eap(_first_flight(scene))
    machine, effect = scene.machine(eap.EapType.TTLS).start(OUTER.encode(), 1)
    for octet in hello.data[1:-1]:
        data = bytes((Flag.MORE, octet))
        machine, effect = machine.receive(hello._replace(data=data), 2)
        assert isinstance(effect, eap.Ask)
        assert scene.server.conversations == 0
    machine, effect = machine.receive(hello._replace(data=b"\x00" + hello.data[-1:]), 2)
    assert isinstance(effect, eap.Ask)
    assert scene.server.conversations == 1


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x16\x03\x01\x00", "tls_records"),
        (b"\x18\x03\x01\x00\x01a", "tls_record_header"),
        (b"\x16\x02\x01\x00\x01a", "tls_record_header"),
        (b"\x16\x03\x01\x00\x00", "tls_record_length"),
        (b"\x16\x03\x01\x00\x02a", "tls_record_length"),
        (b"\x16\x03\x01\x41\x01" + bytes(0x4101), "tls_record_length"),
        (b"\x14\x03\x03\x00\x01\x01" * (RECORDS_MAX + 1), "tls_records"),
    ],
)
def test_records_that_are_none(message: bytes, reason: str) -> None:
    assert peer_error(parse_records, message) == reason


def test_handshake_parsers_take_any_octets() -> None:
    chance = random.Random(7)
    scene = Scene()
    hello = eap.parse_eap(_first_flight(scene)).data[1:]
    offer = first_offer(hello)
    assert len(offer.session_id) == 32
    for parser in (first_offer, parse_offer, given_session_id, given_ticket):
        for _ in range(200):
            octets = bytearray(hello if parser is first_offer else hello[5:])
            for _ in range(chance.randrange(1, 4)):
                octets[chance.randrange(len(octets))] = chance.randrange(256)
            peer_error(parser, bytes(octets[: chance.randrange(len(octets))]))


def test_an_identity_that_is_no_text_and_silence_after_start() -> None:
    scene = Scene()
    _, effect = scene.machine(eap.EapType.TLS).start(b"\xff@home.example", 1)
    assert effect == eap.Fail("identity_text")
    machine, _ = scene.machine(eap.EapType.TLS).start(OUTER.encode(), 1)
    empty = eap.EapPacket(eap.EapCode.RESPONSE, 1, 13, b"\x00", b"")
    assert machine.receive(empty, 2)[1] == eap.Fail("tls_client_hello")


def test_the_last_confirmation_must_be_empty() -> None:
    scene = Scene()
    attempt = scene.attempt(scene.device())
    assert attempt.flights[-1][5:] == b"\x00"
    last = attempt.requests - 1
    assert _ends(scene, None, lambda _, d: [d]) == "Succeed"
    assert _ends(scene, None, lambda n, d: [d] if n < last else [d + b"x"]) == "Fail"
