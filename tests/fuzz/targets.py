"""What is fuzzed: each target takes any octets and must end in a value or in `PeerError`.

Whatever else it raises is a finding. A target that takes a stream is fed it in pieces too, and must
come to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.access.fakes import HOME, IMSI, KEYS, NAS, NODE, NOW_US, SECRET, VISITED, FakePolicy
from tests.access.fakes import FakeVectors as Vectors
from tests.access.test_server import Driver, Table
from tests.access.tls import Scene
from tests.fuzz.agent_targets import AGENT_TARGETS

from opencarrier.access.accounting import Arrival, observe, realm_of
from opencarrier.access.agent.documents import read_statement, write_statement
from opencarrier.access.agent.statement import statement_of
from opencarrier.access.discovery import answers
from opencarrier.access.discovery.model import Kind, Question
from opencarrier.access.methods import remembered
from opencarrier.access.model import AccessSettings, Listener, Metrics, Origin
from opencarrier.access.offer import offer_of
from opencarrier.access.openroaming.names import read_name
from opencarrier.access.radsec import certificates
from opencarrier.access.radsec.framing import Framer
from opencarrier.access.server import AccessServer, Dropped, Effect, Need, Send, Store
from opencarrier.access.wire import eap
from opencarrier.access.wire.aka import Aka, AkaHome
from opencarrier.access.wire.aka_attributes import parse_message
from opencarrier.access.wire.aka_profile import AKA, AKA_PRIME
from opencarrier.access.wire.authenticators import access_request, accounting_request
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.hidden import Hop, backward, onward
from opencarrier.access.wire.radius import Attribute, eap_message, parse, text
from opencarrier.access.wire.tls_framing import Framing, parse_fragment
from opencarrier.access.wire.tls_messages import first_offer, parse_offer, parse_records
from opencarrier.access.wire.tls_method import EapTls
from opencarrier.access.wire.ttls_avp import encode_avps, parse_avps
from opencarrier.access.wire.ttls_method import EapTtls
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.access import AuthorisationRequest, Grant
from opencarrier.spine.parties import Subscriber

Target = Callable[[bytes], object]

ARRIVAL = Arrival(
    client=Table().client("127.0.0.1"), node=NODE, source="udp:x", now_us=NOW_US, digest=bytes(32)
)
QUESTION = Question("home.example", Kind.NAPTR)
ATTRIBUTES_OCTETS_MAX = 3_700
TLS = Scene()
HOME_OF_SIMS = AkaHome(
    SeededEntropy(3), FixedClock(NOW_US), KEYS.pseudonyms, None, remembered(AccessSettings())
)


def radius(data: bytes) -> object:
    """A packet and all that is ever asked of it."""
    packet = parse(data)
    for kind in range(256):
        packet.get(kind), packet.integer(kind), packet.all(kind), packet.joined(kind)
    statement_of(packet)
    return offer_of(packet), realm_of(packet), observe(packet, ARRIVAL, KEYS, Metrics())


def operator_name(data: bytes) -> object:
    """An Operator-Name, and the same written again."""
    name = read_name(data)
    assert read_name(name.octets) == name
    return name


def meter_statement(data: bytes) -> object:
    """A signed meter statement as a line of JSON, and the same written again."""
    signed = read_statement(data)
    assert read_statement(write_statement(signed)) == signed
    return signed


def certificate(data: bytes) -> object:
    """The certificate a RadSec peer shows."""
    return certificates.read(data).names


def requests(data: bytes) -> object:
    """A server takes requests of a known client whose attributes are anything."""
    server = _server()
    for number, part in enumerate(_parts(data)):
        attributes = _attributes(part)
        acct = accounting_request(number, attributes, SECRET)
        _take(server, server.receive(_origin(Listener.ACCT), acct, now_s=1.0, now_us=NOW_US))
        auth = access_request(number, bytes(16), attributes, SECRET)
        _take(server, server.receive(_origin(Listener.AUTH), auth, now_s=1.0, now_us=NOW_US))
    return None


def conversations(data: bytes) -> object:
    """A server is told EAP messages, one after the other, in the conversation it opened."""
    server, state = _server(), b""
    for number, message in enumerate(_parts(data)):
        attributes = [text(Type.NAS_IDENTIFIER, NAS), *eap_message(message[:3_000])]
        attributes += [(int(Type.STATE), state)] if state else []
        datagram = access_request(number, number.to_bytes(16, "big"), attributes, SECRET)
        origin = _origin(Listener.AUTH)
        effects = server.receive(origin, datagram, now_s=1.0, now_us=NOW_US)
        for reply in _take(server, effects):
            state = parse(reply.datagram).get(Type.STATE) or b""
    return None


def eap_packet(data: bytes) -> object:
    """An EAP packet."""
    return eap.parse_eap(data)


def aka_attributes(data: bytes) -> object:
    """A message of EAP-AKA and EAP-AKA'."""
    return parse_message(data).kdfs()


def aka(data: bytes) -> object:
    """The machine of EAP-AKA takes an identity, then responses."""
    machine = Aka(HOME_OF_SIMS, AKA, network_name=None, prefer_aka_prime=True)
    return _converse(machine, eap.EapType.AKA, data)


def aka_prime(data: bytes) -> object:
    """The machine of EAP-AKA' takes an identity, then responses."""
    machine = Aka(HOME_OF_SIMS, AKA_PRIME, network_name=b"WLAN")
    return _converse(machine, eap.EapType.AKA_PRIME, data)


def tls_framing(data: bytes) -> object:
    """Fragments in their order; what they make is no longer than told."""
    framing, made = Framing(), []
    for part in _parts(data):
        parse_fragment(part)
        made.append(framing.take(part))
    return made


def tls_messages(data: bytes) -> object:
    """What is read of a handshake before OpenSSL has it."""
    return [_outcome(read, data) for read in (parse_records, first_offer, parse_offer)]


def eap_tls(data: bytes) -> object:
    """The machine of EAP-TLS takes an identity, then responses."""
    return _converse(EapTls(TLS.server, eap.Link("client_1")), eap.EapType.TLS, data)


def eap_ttls(data: bytes) -> object:
    """The machine of EAP-TTLS takes an identity, then responses."""
    return _converse(EapTtls(TLS.server, eap.Link("client_1")), eap.EapType.TTLS, data)


def ttls_avps(data: bytes) -> object:
    """What a device says inside the tunnel, and the same written again."""
    pairs = parse_avps(data)
    assert parse_avps(encode_avps(pairs)) == pairs
    return pairs


def dns(data: bytes) -> object:
    """An answer to a question of discovery."""
    return answers.read(data, QUESTION, int.from_bytes(data[:2], "big"))


def class_token(data: bytes) -> object:
    """A Class that an access point shows."""
    return KEYS.ring.open(data, visited=VISITED, node_id=NODE.node_id)


def hidden(data: bytes) -> object:
    """Passwords and link keys are hidden again for the next hop, both ways."""
    before, after = Hop(SECRET, bytes(16)), Hop(b"another", bytes(range(16)))
    attributes = parse(data).attributes
    return onward(attributes, before, after), backward(attributes, before, after)


def radsec(data: bytes) -> object:
    """A stream, at once and an octet at a time."""
    whole = list(_framed([data]))
    assert whole == list(_framed(data[place : place + 1] for place in range(len(data))))
    return whole


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        radius,
        operator_name,
        meter_statement,
        certificate,
        requests,
        conversations,
        eap_packet,
        aka_attributes,
        aka,
        aka_prime,
        tls_framing,
        tls_messages,
        eap_tls,
        eap_ttls,
        ttls_avps,
        dns,
        class_token,
        hidden,
        radsec,
        *AGENT_TARGETS,
    )
}


def try_one(target: Target, data: bytes) -> str:
    """Run a target: "taken", or the reason of the `PeerError` it ends in."""
    try:
        target(data)
    except PeerError as error:
        return error.reason
    return "taken"


def _outcome(read: Callable[[bytes], object], data: bytes) -> object:
    try:
        return read(data)
    except PeerError as error:
        return error.reason


def _framed(pieces: Iterator[bytes] | list[bytes]) -> Iterator[bytes | str]:
    """Yield a stream's packets, at last the reason it ends for."""
    framer = Framer()
    for piece in pieces:
        framer.feed(piece)
        try:
            while (packet := framer.next()) is not None:
                yield packet
        except PeerError as error:
            yield error.reason
            return


def _parts(data: bytes) -> Iterator[bytes]:
    """Cut octets into messages, each behind two octets of its length."""
    place = 0
    while place + 2 <= len(data):
        size = int.from_bytes(data[place : place + 2], "big")
        yield data[place + 2 : place + 2 + size]
        place += 2 + size


def _attributes(data: bytes) -> list[Attribute]:
    """Cut octets into attributes that fit a packet; the server's node is named first."""
    found, place = [text(Type.NAS_IDENTIFIER, NAS)], 0
    while place + 2 <= min(len(data), ATTRIBUTES_OCTETS_MAX):
        size = data[place + 1] % 254
        found.append((data[place], data[place + 2 : place + 2 + size]))
        place += 2 + size
    return found


def _server() -> AccessServer:
    return Driver().server


def _origin(listener: Listener) -> Origin:
    return Origin(listener, ("127.0.0.1", 4000))


def _take(server: AccessServer, effects: list[Effect]) -> list[Send]:
    """Answer what the server asks of the home; return what it sends."""
    found: list[Send] = []
    for effect in effects:
        match effect:
            case Send():
                found.append(effect)
            case Need():
                answered = server.answer(effect.ticket, _home(effect.need), 1.0)
                found += _take(server, answered)
            case Store():
                found += _take(server, server.stored(effect.ticket))
            case Dropped():
                pass
    return found


def _home(need: object) -> eap.Answer:
    match need:
        case eap.NeedVector() | eap.NeedResync():
            return Vectors().vector(None, IMSI, need.network_name)
        case eap.Authorise():
            return _grant()
    return eap.Refused("subscriber_unknown")


def _grant() -> Grant:
    subscriber = Subscriber(party_id="sub_" + "3" * 32, home=HOME, plan_id="plan_1")
    request = AuthorisationRequest(subscriber=subscriber, visited=VISITED, node=NODE, at_us=1)
    return FakePolicy().authorise(None, request)


def _converse(method: eap.Method, kind: eap.EapType, data: bytes) -> object:
    """Tell a machine an identity and then responses until it ends."""
    identifier = 0
    told = _parts(data)
    method, effect = method.start(next(told, b"")[: eap.IDENTITY_OCTETS_MAX], identifier)
    for part in told:
        while isinstance(
            effect, eap.NeedVector | eap.NeedResync | eap.Authorise | eap.NeedPassword
        ):
            method, effect = method.answer(_home(effect), identifier)
        if not isinstance(effect, eap.Ask):
            break
        octets = eap.encode_eap(eap.EapCode.RESPONSE, identifier, kind, part[:3_000])
        method, effect = _received(method, effect, eap.parse_eap(octets), identifier)
        identifier = (identifier + 1) % 256
    return effect


def _received(
    method: eap.Method, effect: eap.Effect, packet: eap.EapPacket, identifier: int
) -> tuple[eap.Method, eap.Effect]:
    """Take a response; one that is refused leaves the conversation as it was."""
    try:
        return method.receive(packet, identifier)
    except PeerError:
        return method, effect
