"""Conversations that begin and go silent: memory keeps to its cap, honest phones still get on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from opencarrier.access.methods import offered_methods, remembered
from opencarrier.access.model import AccessSettings, Listener, Origin
from opencarrier.access.server import AccessServer, Need, Send
from opencarrier.access.wire import eap
from opencarrier.access.wire.aka import AkaHome
from opencarrier.access.wire.authenticators import access_request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import eap_message, parse, text
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.spine.access import AuthorisationRequest
from opencarrier.spine.parties import RadiusClient

from .fakes import (
    IMSI,
    KEYS,
    NAS,
    NODE,
    NOW_US,
    REALM,
    SECRET,
    VISITED,
    FakeDirectory,
    FakePolicy,
    FakeVectors,
    usim,
)
from .test_server import Table

CAP_OCTETS = 128 << 20
"""What 50,000 half-open conversations may add to a server with the limits it comes with."""

HALF_OPEN = 50_000
CLIENTS = 8
SPREAD_S = 10.0


class Clients(Table):
    """Every address of 127.0.0.0/16 is a client of its own."""

    def client(self, source: str) -> RadiusClient | None:
        return RadiusClient(client_id=source, prefix=source, secret=SECRET, operator=VISITED)


class Network:
    """Access points of many clients around one server."""

    def __init__(self, settings: AccessSettings) -> None:
        home = AkaHome(
            SeededEntropy(3), FixedClock(NOW_US), KEYS.pseudonyms, None, remembered(settings)
        )
        self.server = AccessServer(
            lookup=Clients(),
            keys=KEYS,
            entropy=SeededEntropy(3),
            methods=offered_methods(settings, home),
            settings=settings,
        )
        self.now_s = 100.0
        self.numbers = count()
        self.vectors, self.policy = FakeVectors(), FakePolicy()

    def ask(self, client: int, message: bytes, state: bytes | None = None) -> tuple[int, ...]:
        """Send a message; return the reply's code, its EAP message and its State."""
        number = next(self.numbers)
        attributes = [text(Type.NAS_IDENTIFIER, NAS), *eap_message(message)]
        attributes += [] if state is None else [(int(Type.STATE), state)]
        datagram = access_request(number % 256, number.to_bytes(16, "big"), attributes, SECRET)
        origin = Origin(Listener.AUTH, (f"127.0.0.{client}", 1_024 + number % 60_000))
        effects = self.server.receive(origin, datagram, now_s=self.now_s, now_us=NOW_US)
        while isinstance(effects[0], Need):
            answer = self._home(effects[0].need)
            effects = self.server.answer(effects[0].ticket, answer, self.now_s)
        assert isinstance(effects[0], Send), effects
        packet = parse(effects[0].datagram)
        return packet.code, packet.joined(Type.EAP_MESSAGE), packet.get(Type.STATE)  # type: ignore

    def attach(self, client: int, meanwhile: Iterator[None]) -> int:
        """Attach an honest phone while others come; return the last reply's code."""
        peer = AkaPrimePeer(usim(highest_sqn=self.vectors.sqn), REALM)
        message, state = peer.identity(), None
        while True:
            code, request, state = self.ask(client, message, state)  # type: ignore[assignment]
            if code != Code.ACCESS_CHALLENGE:
                return code
            next(meanwhile)
            message = peer.respond(request)  # type: ignore[arg-type,assignment]
            assert message is not None

    def _home(self, need: object) -> eap.Answer:
        if isinstance(need, eap.Authorise):
            subscriber = FakeDirectory().subscribers[IMSI]
            request = AuthorisationRequest(
                subscriber=subscriber, visited=VISITED, node=NODE, at_us=1
            )
            return self.policy.authorise(None, request)  # type: ignore[arg-type,return-value]
        return self.vectors.vector(None, IMSI, need.network_name)  # type: ignore


def flood(network: Network, number: int, step: int = 1) -> Iterator[None]:
    """Begin conversations of many clients, those of the honest phone too, `step` at a time."""
    peer = AkaPrimePeer(usim(), REALM)
    for begun in range(number):
        network.now_s += SPREAD_S / number
        code, _, _ = network.ask(1 + begun % CLIENTS, peer.identity())
        assert code == Code.ACCESS_CHALLENGE
        if begun % step == step - 1:
            yield


def test_honest_phones_get_on_in_a_flood_beyond_every_bound() -> None:
    settings = AccessSettings(sessions_max=60, sessions_per_client_max=20)
    network = Network(settings)
    meanwhile = flood(network, 600, step=10)
    for _ in range(8):
        next(meanwhile)
    assert len(network.server.sessions) == 60
    for client in (1, 2, CLIENTS + 1):
        assert network.attach(client, meanwhile) == Code.ACCESS_ACCEPT
    for _ in meanwhile:
        pass
    assert len(network.server.sessions) == 60
    assert network.server.sessions.displaced == 600 + 3 - 60 - 3


@pytest.mark.deep
def test_fifty_thousand_half_open_conversations_keep_to_the_cap() -> None:
    network = Network(AccessSettings())
    before_octets = _resident_octets()
    meanwhile = flood(network, HALF_OPEN, step=500)
    honest = [network.attach(1 + number % CLIENTS, meanwhile) for number in range(40)]
    for _ in meanwhile:
        pass
    assert set(honest) == {Code.ACCESS_ACCEPT}
    used_octets = _resident_octets() - before_octets
    print(f"{HALF_OPEN} half-open conversations: {used_octets >> 20} MiB")
    assert used_octets < CAP_OCTETS
    assert len(network.server.sessions) == AccessSettings().sessions_max


def _resident_octets() -> int:
    """What this process holds, by the kernel (proc(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096
