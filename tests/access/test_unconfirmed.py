"""What becomes of a grant that its device confirms by one more round (RFC 9190 section 2.5)."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from tests.access.fakes import NAS, NOW_US, REALM, SECRET, Bench, FakeMonotonic
from tests.access.test_service import source, until
from tests.access.tls import Source, material, pki

from opencarrier.access.model import Listener, Origin, Transport
from opencarrier.access.orders.book import OrderBook
from opencarrier.access.orders.store import ATTACHES, metadata
from opencarrier.access.server import Send
from opencarrier.access.wire.authenticators import access_request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.eap import EapCode, EapType, encode_eap
from opencarrier.access.wire.radius import Attribute, eap_message, parse, text
from opencarrier.access.wire.tls_tunnel import fingerprint
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.tls_peer import TlsDevice, TlsPeer, Trust

ROOM_OCTETS = 4_096
VALUE_OCTETS = 253


class Scene:
    """A device with a certificate, one round at a time, until it has a grant to confirm."""

    def __init__(self) -> None:
        world = pki()
        self.clock = FakeMonotonic()
        book = OrderBook()
        self.bench = Bench(tls=Source(material(world)), monotonic=self.clock, orders=book)
        metadata.create_all(self.bench.units.engine)
        (known,) = self.bench.directory.subscribers.values()
        self.bench.directory.subscribers[fingerprint(world.client.certificate)] = known
        self.service = self.bench.service()
        self.sent: list[Send] = []
        self.service.start(Transport.UDP, self.sent.append)
        trust = Trust(
            anchors=world.anchors,
            chain=world.client.chain_pem,
            key=world.client.key_pem,
            at_us=NOW_US,
        )
        self.device = TlsDevice(trust)
        self.number = 0
        self.begin()

    def begin(self) -> None:
        self.peer = TlsPeer(device=self.device, outer=f"x@{REALM}", entropy=SeededEntropy(3))
        self.state: bytes | None = None
        self.message = self.peer.identity()

    def request(self, message: bytes, more: tuple[Attribute, ...] = ()) -> None:
        self.number += 1
        attributes = [text(Type.NAS_IDENTIFIER, NAS), *eap_message(message), *more]
        if self.state is not None:
            attributes.append((int(Type.STATE), self.state))
        datagram = access_request(self.number, bytes([self.number] * 16), attributes, SECRET)
        self.service.receive(Origin(Listener.AUTH, source(0)), datagram)

    async def ask(self, message: bytes) -> int:
        before = len(self.sent)
        self.request(message)
        await until(lambda: len(self.sent) > before)
        packet = parse(self.sent[before].datagram)
        self.state = packet.get(Type.STATE)
        self.message = packet.joined(Type.EAP_MESSAGE) or b""
        return packet.code

    async def granted(self) -> int:
        """Go on until there is a grant to confirm; return how many rounds that took."""
        before, rounds = len(self.bench.policy.granted), 1
        await self.ask(self.message)
        while len(self.bench.policy.granted) == before:
            assert await self.ask(self.peer.respond(self.message) or b"") == Code.ACCESS_CHALLENGE
            rounds += 1
        return rounds

    @property
    def attached(self) -> int:
        with self.bench.units.read() as unit:
            return len(unit.execute(select(ATTACHES)).all())

    @property
    def keys(self) -> list[bytes]:
        return [grant.authorisation_id for grant in self.bench.policy.granted]


@pytest.mark.parametrize("refusal", [EapType.TLS, EapType.NAK])
async def test_a_grant_that_the_device_refuses_is_given_back(refusal: EapType) -> None:
    scene = Scene()
    await scene.granted()
    assert scene.attached == 1
    answer = encode_eap(EapCode.RESPONSE, scene.message[1], refusal, b"\x00more")
    assert await scene.ask(answer) == Code.ACCESS_REJECT
    await scene.service.stop()
    assert scene.bench.policy.released == scene.keys
    assert (scene.service.metrics.accepts, scene.service.metrics.holds_released) == (0, 1)
    assert scene.attached == 0, "no order may name what never began"


async def test_a_grant_that_is_not_confirmed_in_time_is_given_back_and_lets_nobody_in() -> None:
    scene = Scene()
    await scene.granted()
    confirmation = scene.peer.respond(scene.message) or b""
    scene.clock.now_s += 31
    assert await scene.ask(confirmation) == Code.ACCESS_REJECT
    await until(lambda: scene.bench.policy.released == scene.keys)
    await scene.service.stop()
    assert scene.service.metrics.accepts == 0


async def test_whoever_is_let_in_keeps_its_hold_where_the_question_fitted_no_packet() -> None:
    """An access point that fills a request up cannot have a session served without its hold."""
    scene = Scene()
    for resumes in (False, True):
        await scene.granted()
        assert await scene.ask(scene.peer.respond(scene.message) or b"") == Code.ACCESS_ACCEPT
        scene.peer.respond(scene.message)
        assert scene.peer.resumed is resumes
        scene.begin()
    await scene.ask(scene.message)
    while True:
        answer = scene.peer.respond(scene.message) or b""
        if scene.peer.keys is not None:
            break
        await scene.ask(answer)
    scene.request(answer, _filled(answer))
    await until(lambda: len(scene.keys) == 3 and scene.service.idle)
    await until(lambda: sum(scene.service.metrics.dropped.values()) == 1)
    confirmation = encode_eap(EapCode.RESPONSE, answer[1] + 1, EapType.TLS, b"\x00")
    code = await scene.ask(confirmation)
    await scene.service.stop()
    assert code == Code.ACCESS_ACCEPT
    assert scene.bench.policy.released == []


def _filled(message: bytes) -> tuple[Attribute, ...]:
    """Return as much Proxy-State as a request has room for beside a message."""
    taken = len(
        access_request(
            0,
            bytes(16),
            [text(Type.NAS_IDENTIFIER, NAS), *eap_message(message), (int(Type.STATE), bytes(16))],
            SECRET,
        )
    )
    whole, rest = divmod(ROOM_OCTETS - taken, VALUE_OCTETS + 2)
    sizes = [VALUE_OCTETS] * whole + ([rest - 2] if rest > 2 else [])
    return tuple((int(Type.PROXY_STATE), bytes(size)) for size in sizes)
