"""What the main thread does for an authentication, in one process: datagrams in, replies out.

Measured is the server's core: RADIUS both ways, duplicates, EAP and its method with TLS, link keys,
Class and CUI. Not measured are sockets, the device, and the home: vector, password and policy are
answered by what was made before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opencarrier.access.class_token import ClassRing
from opencarrier.access.hub.routes import Local, Target
from opencarrier.access.methods import offered_methods, remembered, tls_server
from opencarrier.access.model import AccessKeys, AccessSettings, Listener, Origin
from opencarrier.access.server import AccessServer, Need, Send
from opencarrier.access.wire import eap
from opencarrier.access.wire.aka import NETWORK_NAME_WLAN, AkaHome
from opencarrier.access.wire.aka_identity import PseudonymRing
from opencarrier.access.wire.authenticators import access_request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import (
    AUTHENTICATOR_OCTETS,
    Attribute,
    Packet,
    eap_message,
    integer,
    parse,
    text,
)
from opencarrier.access.wire.tls_material import TlsMaterial
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.bench import authentication
from opencarrier.bench.serving import NODE, OPC, PASSWORD, REALM, SECRET, K, imsi_of, station_of
from opencarrier.identity.milenage import AMF_SEPARATION_BIT, Milenage
from opencarrier.identity.sequence import prime_keys
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import AssetId, Money
from opencarrier.kernel.passwords import nt_hash
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import WIRELESS_802_11, Phone
from opencarrier.sim.usim import Usim
from opencarrier.spine.access import AUTHORISATION_OCTETS, AkaVector, Grant
from opencarrier.spine.parties import Node, PartyId, RadiusClient

TOGETHER = 32
"""How many devices take each step one after another, as on a busy server."""

AKA_PRIME = "eap_aka_prime"
METHODS = (AKA_PRIME, *(f"{method}_{version}" for method, version in authentication.METHODS))

_HOME, _VISITED = PartyId("op_" + "1" * 32), PartyId("op_" + "2" * 32)
_ADDRESS = ("127.0.0.1", 40_000)
_ORIGIN = Origin(Listener.AUTH, _ADDRESS)
_ENTROPY, _CLOCK = SystemEntropy(), SystemClock()


def run(attaches: int = 1_000) -> dict[str, Any]:
    """Return microseconds of one thread for each authentication, by method."""
    core = Core(authentication.federation())
    spent = {}
    for method in METHODS:
        for _ in range(2):  # the first warms up
            spent[method] = _method(core, method, attaches)
    return {"authentications": attaches, "us": spent}


def _method(core: Core, method: str, attaches: int) -> float:
    together = min(attaches, TOGETHER)
    batches = -(-attaches // together)
    used_ns = sum(core.authenticate(method, together) for _ in range(batches))
    return round(used_ns / 1_000 / (batches * together), 1)


class Core:
    """The server's core, its home canned, and devices that take steps together."""

    def __init__(self, certificates: authentication.Certificates) -> None:
        self._certificates = certificates
        self._lookup = _Lookup()
        self._sequence = 0
        settings, source = AccessSettings(), _source(certificates)
        home = AkaHome(
            _ENTROPY, _CLOCK, PseudonymRing(b"p" * 32), reauthentications=remembered(settings)
        )
        self.server = AccessServer(
            lookup=self._lookup,
            keys=AccessKeys(ring=ClassRing.of(b"r" * 32), cui_key=b"c" * 32),
            entropy=_ENTROPY,
            methods=offered_methods(settings, home, tls_server(source, _CLOCK, settings)),
            settings=settings,
        )

    def authenticate(self, method: str, devices: int = TOGETHER) -> int:
        """Let devices in that go together; return nanoseconds of the server's thread."""
        attempts = [self._attempt(method, number) for number in range(devices)]
        used_ns = 0
        while waiting := [attempt for attempt in attempts if attempt.response is not None]:
            datagrams = [(attempt, attempt.request()) for attempt in waiting]
            before_ns = time.thread_time_ns()
            replies = [self._turn(attempt, datagram) for attempt, datagram in datagrams]
            used_ns += time.thread_time_ns() - before_ns
            for attempt, reply in zip(waiting, replies, strict=True):
                attempt.take(parse(reply))
        assert all(attempt.accepted for attempt in attempts)
        return used_ns

    def _turn(self, attempt: Attempt, datagram: bytes) -> bytes:
        now_us = _CLOCK.now_us()
        now_s = now_us / SECOND_US
        (effect,) = self.server.receive(_ORIGIN, datagram, now_s=now_s, now_us=now_us)
        while isinstance(effect, Need):
            answer = attempt.answers[type(effect.need)]
            (effect,) = self.server.answer(effect.ticket, answer, now_s)
        assert isinstance(effect, Send), effect
        return effect.datagram

    def _attempt(self, method: str, number: int) -> Attempt:
        self._sequence += 32
        answers: dict[type, eap.Answer] = {
            eap.NeedVector: _vector(self._sequence),
            eap.NeedPassword: eap.Secret(nt_hash(PASSWORD)),
            eap.Authorise: _grant(),
        }
        if method == AKA_PRIME:
            phone = AkaPrimePeer(Usim(imsi=imsi_of(number), k=K, opc=OPC), REALM)
            return Attempt(phone, station_of(number), answers)
        name, _, version = method.rpartition("_")
        device = authentication.peer(number, name, version, self._certificates)
        return Attempt(device, station_of(number), answers)


class Attempt:
    """One device's attempt, by way of its access point."""

    def __init__(self, phone: Phone, station: str, answers: dict[type, eap.Answer]) -> None:
        self.answers = answers
        self.accepted = False
        self._phone = phone
        self._state: list[Attribute] = []
        identity = phone.identity()
        self._station = text(Type.CALLING_STATION_ID, station)
        self._user = (int(Type.USER_NAME), eap.parse_eap(identity).data)
        self.response: bytes | None = identity

    def request(self) -> bytes:
        """Return the access point's next datagram."""
        assert self.response is not None
        attributes = [
            self._user,
            self._station,
            text(Type.NAS_IDENTIFIER, NODE),
            integer(Type.NAS_PORT_TYPE, WIRELESS_802_11),
            *eap_message(self.response),
            (int(Type.CHARGEABLE_USER_IDENTITY), b"\x00"),
            *self._state,
        ]
        authenticator = _ENTROPY.octets("bench/authenticator", AUTHENTICATOR_OCTETS)
        return access_request(0, authenticator, attributes, SECRET)

    def take(self, reply: Packet) -> None:
        """Take the server's reply to the device."""
        request = reply.joined(Type.EAP_MESSAGE)
        assert request is not None
        self.response = self._phone.respond(request)
        self.accepted = reply.code == Code.ACCESS_ACCEPT
        self._state = [(int(Type.STATE), value) for value in reply.all(Type.STATE)]


class _Lookup:
    """One client with one node, in the one realm that is answered here."""

    def __init__(self) -> None:
        self._client = RadiusClient(
            client_id="client_bench", prefix="127.0.0.0/8", secret=SECRET, operator=_VISITED
        )
        self._node = Node(
            node_id="node_bench", nas_identifier=NODE, operator=_VISITED, host=PartyId("host_1")
        )

    def client(self, source: str) -> RadiusClient | None:
        return self._client

    def peer(self, names: Sequence[str]) -> RadiusClient | None:
        return None

    def node(self, nas_identifier: str) -> Node | None:
        return self._node

    def operator_named_by_wba(self, wba_id: str) -> PartyId | None:
        return None

    def wba_id(self, operator: PartyId) -> str | None:
        return None

    def target(self, realm: str, client: RadiusClient) -> Target:
        return Local()


@dataclass(frozen=True, slots=True)
class _Source:
    """Certificates that stay as they are."""

    material: TlsMaterial

    def current(self) -> TlsMaterial:
        return self.material


def _source(certificates: authentication.Certificates) -> _Source:
    held = certificates.server
    return _Source(
        TlsMaterial(chain=held.chain_pem, key=held.key_pem, anchors=certificates.anchors)
    )


def _vector(sequence: int) -> AkaVector:
    made = Milenage(K, OPC).vector(_ENTROPY.octets("bench/rand", 16), sequence, AMF_SEPARATION_BIT)
    ck, ik = prime_keys(made.ck, made.ik, network_name=NETWORK_NAME_WLAN, autn=made.autn)
    return AkaVector(rand=made.rand, autn=made.autn, xres=made.xres, ck=ck, ik=ik)


def _grant() -> Grant:
    now_us = _CLOCK.now_us()
    return Grant(
        authorisation_id=_ENTROPY.octets("bench/authorisation", AUTHORISATION_OCTETS),
        home=_HOME,
        visited=_VISITED,
        node_id="node_bench",
        subscriber=PartyId("sub_" + "3" * 32),
        wholesale_tariff_hash=b"w" * 32,
        retail_tariff_hash=b"t" * 32,
        hold=Money(AssetId("bench/EUR"), 1_000_000),
        session_timeout_s=3_600,
        interim_interval_s=300,
        granted_us=now_us,
        expires_us=now_us + 3_600 * SECOND_US,
    )
