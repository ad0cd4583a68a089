"""The server core, no socket and no clock: every datagram ends in a counted outcome."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.access import fakes
from tests.access.fakes import (
    KEYS,
    NAS,
    NOW_US,
    REALM,
    SECRET,
    VISITED,
    Bench,
    FakeDirectory,
    FakeVectors,
    usim,
)

from opencarrier.access.cui import chargeable_user_identity
from opencarrier.access.directory import DirectoryCache
from opencarrier.access.methods import offered_methods, remembered
from opencarrier.access.model import AccessSettings, Listener, Origin, Transport
from opencarrier.access.server import AccessServer, Dropped, Effect, Need, Send, Store
from opencarrier.access.wire import eap
from opencarrier.access.wire.aka import AkaHome
from opencarrier.access.wire.authenticators import (
    access_request,
    accounting_request,
    check_response,
)
from opencarrier.access.wire.dictionary import (
    WBA,
    WBA_CUSTOM_SLA,
    WBA_FINANCIAL_CLEARING_PROVIDER,
    WFA,
    Code,
    Type,
)
from opencarrier.access.wire.radius import (
    Attribute,
    Packet,
    eap_message,
    encode,
    integer,
    parse,
    text,
    vendor,
)
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.spine.access import WIFI, Offered
from opencarrier.spine.parties import RadiusClient, Route, RouteKind
from opencarrier.spine.records import Qos, RcoiClass
from opencarrier.spine.usage import Observation, Status

SOURCE = ("127.0.0.1", 40_000)
AUTH, ACCT = Listener.AUTH, Listener.ACCT


class Table(DirectoryCache):
    """The directory, asked each time."""

    def __init__(self) -> None:
        self.directory = FakeDirectory()
        super().__init__(
            self.directory,
            lambda: nullcontext(None),  # type: ignore[arg-type,return-value]
            monotonic=lambda: 0.0,
            ttl_s=0,
            entries_max=100,
        )


class Driver:
    """An access point and a home around one server core."""

    def __init__(self, **limits: object) -> None:
        self.settings = AccessSettings(**limits)  # type: ignore[arg-type]
        home = AkaHome(
            SeededEntropy(3), FixedClock(NOW_US), KEYS.pseudonyms, None, remembered(self.settings)
        )
        self.lookup = Table()
        self.server = AccessServer(
            lookup=self.lookup,
            keys=KEYS,
            entropy=SeededEntropy(3),
            methods=offered_methods(self.settings, home),
            settings=self.settings,
        )
        self.now_s = 100.0
        self.identifier = 0
        self.entropy = SeededEntropy(4)
        self.vectors = FakeVectors()
        self.policy = Bench().policy
        self.more: tuple[Attribute, ...] = ()

    def receive(self, listener: Listener, datagram: bytes) -> list[Effect]:
        return self.server.receive(
            Origin(listener, SOURCE), datagram, now_s=self.now_s, now_us=NOW_US
        )

    def eap_request(self, message: bytes, state: bytes | None = None, nas: str = NAS) -> bytes:
        attributes = [text(Type.NAS_IDENTIFIER, nas), *eap_message(message), *self.more]
        if state is not None:
            attributes.append((int(Type.STATE), state))
        self.identifier = (self.identifier + 1) % 256
        authenticator = self.entropy.octets("authenticator", 16)
        return access_request(self.identifier, authenticator, attributes, SECRET)

    def accounting(self, *attributes: Attribute) -> bytes:
        self.identifier = (self.identifier + 1) % 256
        return accounting_request(self.identifier, attributes, SECRET)

    def attend(self, need: Need) -> list[Effect]:
        wanted = need.need
        answer: eap.Answer
        if isinstance(wanted, eap.Authorise):
            from opencarrier.spine.access import AuthorisationRequest

            subscriber = FakeDirectory().subscribers[wanted.credential.value]
            answer = self.policy.authorise(  # type: ignore[assignment]
                None,  # type: ignore[arg-type]
                AuthorisationRequest(
                    subscriber=subscriber, visited=need.node.operator, node=need.node, at_us=1
                ),
            )
        else:
            answer = self.vectors.vector(None, wanted.imsi, wanted.network_name)  # type: ignore
        return self.server.answer(need.ticket, answer, self.now_s)


def only(effects: list[Effect]) -> Effect:
    assert len(effects) == 1, effects
    return effects[0]


def reply(effects: list[Effect], request: bytes) -> Packet:
    sent = only(effects)
    assert isinstance(sent, Send), sent
    packet = parse(sent.datagram)
    check_response(sent.datagram, packet, SECRET, request[4:20])
    return packet


def phone() -> AkaPrimePeer:
    return AkaPrimePeer(usim(), REALM)


def challenge(driver: Driver, peer: AkaPrimePeer) -> tuple[bytes, bytes]:
    """Bring an attempt to its challenge; return the peer's answer and the State."""
    request = driver.eap_request(peer.identity())
    need = only(driver.receive(AUTH, request))
    assert isinstance(need, Need)
    packet = reply(driver.attend(need), request)
    assert packet.code == Code.ACCESS_CHALLENGE
    message, state = packet.joined(Type.EAP_MESSAGE), packet.get(Type.STATE)
    assert message is not None
    assert state is not None
    answer = peer.respond(message)
    assert answer is not None
    return answer, state


def test_a_repeated_request_gets_the_same_octets_and_authorises_once() -> None:
    driver = Driver()
    answer, state = challenge(driver, phone())
    request = driver.eap_request(answer, state)
    need = only(driver.receive(AUTH, request))
    assert isinstance(need, Need)
    assert only(driver.receive(AUTH, request)) == Dropped("duplicate_pending")
    accepted = driver.attend(need)
    assert reply(accepted, request).code == Code.ACCESS_ACCEPT
    assert driver.receive(AUTH, request) == accepted
    # The same answer in a new request finds no session any more.
    again = driver.eap_request(answer, state)
    assert reply(driver.receive(AUTH, again), again).code == Code.ACCESS_REJECT
    assert len(driver.policy.granted) == driver.server.metrics.accepts == 1
    assert driver.server.metrics.duplicates == 2


def test_the_same_answer_in_two_requests_authorises_once() -> None:
    driver = Driver()
    answer, state = challenge(driver, phone())
    need = only(driver.receive(AUTH, driver.eap_request(answer, state)))
    assert isinstance(need, Need)
    other = only(driver.receive(AUTH, driver.eap_request(answer, state)))
    assert other == Dropped("eap_unexpected_method")


def test_an_accept_carries_what_accounting_needs() -> None:
    driver = Driver()
    answer, state = challenge(driver, phone())
    request = driver.eap_request(answer, state)
    need = only(driver.receive(AUTH, request))
    assert isinstance(need, Need)
    packet = reply(driver.attend(need), request)
    assert packet.attributes[0][0] == Type.MESSAGE_AUTHENTICATOR
    message = packet.joined(Type.EAP_MESSAGE)
    assert message is not None
    assert message[:2] == bytes((eap.EapCode.SUCCESS, answer[1]))
    assert packet.integer(Type.SESSION_TIMEOUT) == 3600
    assert packet.integer(Type.TERMINATION_ACTION) == 1
    assert packet.integer(Type.ACCT_INTERIM_INTERVAL) == 60
    assert len(packet.all(Type.CLASS)) == 3
    name, cui = packet.text(Type.USER_NAME), packet.text(Type.CHARGEABLE_USER_IDENTITY)
    assert name == f"{cui}@{REALM}"


@pytest.mark.parametrize("told", [b"\0", b"of another home", b"a" * 253])
def test_whatever_a_request_says_the_accept_has_our_own_pseudonym(told: bytes) -> None:
    """A value that is not ours decides nothing: who it is was proven (RFC 4372 section 2)."""
    driver = Driver()
    answer, state = challenge(driver, phone())
    driver.more = ((int(Type.CHARGEABLE_USER_IDENTITY), told),)
    request = driver.eap_request(answer, state)
    need = only(driver.receive(AUTH, request))
    assert isinstance(need, Need)
    packet = reply(driver.attend(need), request)
    assert packet.code == Code.ACCESS_ACCEPT
    own = chargeable_user_identity(KEYS.cui_key, fakes.SUBSCRIBER, VISITED)
    assert packet.all(Type.CHARGEABLE_USER_IDENTITY) == (own.encode(),)


def test_eap_start_is_answered_with_a_question() -> None:
    driver = Driver()
    start = access_request(
        1, bytes(16), [text(Type.NAS_IDENTIFIER, NAS), (int(Type.EAP_MESSAGE), b"")], SECRET
    )
    packet = reply(driver.receive(AUTH, start), start)
    message, state = packet.joined(Type.EAP_MESSAGE), packet.get(Type.STATE)
    assert message is not None
    answer = phone().respond(message)
    assert answer is not None
    request = driver.eap_request(answer, state)
    assert isinstance(only(driver.receive(AUTH, request)), Need)


@pytest.mark.parametrize("listener", [AUTH, ACCT])
def test_every_flipped_bit_is_dropped(listener: Listener) -> None:
    driver = Driver()
    if listener is AUTH:
        good = driver.eap_request(phone().identity())
    else:
        good = driver.accounting(
            integer(Type.ACCT_STATUS_TYPE, 1),
            text(Type.ACCT_SESSION_ID, "a"),
            text(Type.NAS_IDENTIFIER, NAS),
        )
    for at in range(len(good)):
        for bit in range(8):
            flipped = good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
            assert isinstance(only(driver.receive(listener, flipped)), Dropped)
    assert not isinstance(only(driver.receive(listener, good)), Dropped)
    assert len(driver.server.sessions) == (1 if listener is AUTH else 0)


def test_half_open_sessions_are_bounded_and_forgotten() -> None:
    driver = Driver(sessions_per_client_max=5, session_ttl_s=10)
    for _ in range(20):
        request = driver.eap_request(AkaPrimePeer(usim(), REALM, outer="a@b").identity())
        packet = reply(driver.receive(AUTH, request), request)
        assert packet.code == Code.ACCESS_CHALLENGE
        assert len(driver.server.sessions) <= 5
    assert driver.server.sessions.displaced == 15
    driver.now_s += 10
    challenge(driver, phone())
    assert len(driver.server.sessions) == 1


@pytest.mark.parametrize(
    ("mtu", "octets"),
    [(None, 4000), (0, 252), (256, 252), (257, 253), (1400, 1396), (4003, 3999), (2**32 - 1, 4000)],
)
def test_an_access_point_says_how_long_eap_may_be_behind_it(mtu: int | None, octets: int) -> None:
    driver = Driver()
    driver.more = () if mtu is None else (integer(Type.FRAMED_MTU, mtu),)
    driver.receive(AUTH, driver.eap_request(AkaPrimePeer(usim(), REALM, outer="a@b").identity()))
    assert [session.octets_max for session in driver.server.sessions] == [octets]


def test_an_answer_that_comes_too_late_is_dropped() -> None:
    driver = Driver(session_ttl_s=10)
    answer, state = challenge(driver, phone())
    need = only(driver.receive(AUTH, driver.eap_request(answer, state)))
    assert isinstance(need, Need)
    driver.now_s += 10
    assert driver.attend(need) == [Dropped("session_expired")]


@pytest.mark.parametrize(
    ("listener", "datagram", "reason"),
    [
        (AUTH, b"", "packet_short"),
        (AUTH, encode(Code.ACCOUNTING_REQUEST, 1, bytes(16), []), "code"),
        (ACCT, encode(Code.ACCESS_REQUEST, 1, bytes(16), []), "code"),
        (AUTH, encode(99, 1, bytes(16), []), "code"),
        (AUTH, encode(Code.ACCESS_ACCEPT, 1, bytes(16), []), "code"),
        (AUTH, encode(Code.ACCESS_REQUEST, 1, bytes(16), []), "message_authenticator_missing"),
        (AUTH, encode(Code.STATUS_SERVER, 1, bytes(16), []), "message_authenticator_missing"),
        (ACCT, encode(Code.ACCOUNTING_REQUEST, 1, bytes(16), []), "request_authenticator"),
    ],
)
def test_garbage_is_dropped_by_reason(listener: Listener, datagram: bytes, reason: str) -> None:
    driver = Driver()
    assert driver.receive(listener, datagram) == [Dropped(reason, unsound=True)]
    assert driver.server.metrics.dropped == {reason: 1}


def test_a_connection_takes_all_and_its_client_repeats_over_another() -> None:
    driver = Driver()
    client = RadiusClient(client_id="peer", prefix="", secret=b"radsec", operator=VISITED)
    one, two = (Origin(Listener.ANY, ("192.0.2.9", p), Transport.TLS, client) for p in (1, 2))
    access = access_request(1, bytes(range(16)), [], b"radsec")
    accounting = accounting_request(
        2,
        [
            integer(Type.ACCT_STATUS_TYPE, 1),
            text(Type.ACCT_SESSION_ID, "s"),
            text(Type.NAS_IDENTIFIER, NAS),
        ],
        b"radsec",
    )
    sent = only(driver.server.receive(one, access, now_s=1, now_us=1))
    assert isinstance(sent, Send)
    assert (sent.origin, sent.datagram[0]) == (one, Code.ACCESS_REJECT)
    store = only(driver.server.receive(one, accounting, now_s=1, now_us=1))
    assert isinstance(store, Store)
    assert store.observation.source == "tls:192.0.2.9:1"
    (done,) = driver.server.stored(store.ticket)
    again = driver.server.receive(two, accounting, now_s=2, now_us=1)
    assert isinstance(done, Send)
    assert again == [Send(two, done.datagram)]
    assert driver.server.metrics.duplicates == 1


def test_a_report_is_acknowledged_though_what_came_of_it_has_no_room() -> None:
    driver = Driver()
    attributes = [
        integer(Type.ACCT_STATUS_TYPE, 1),
        text(Type.ACCT_SESSION_ID, "s"),
        text(Type.NAS_IDENTIFIER, NAS),
        *[(int(Type.PROXY_STATE), bytes(253))] * 15,
    ]
    store = only(driver.receive(ACCT, accounting_request(1, attributes, SECRET)))
    assert isinstance(store, Store)
    done = only(driver.server.stored(store.ticket, [(int(Type.VENDOR_SPECIFIC), bytes(253))]))
    assert isinstance(done, Send)
    assert parse(done.datagram).all(Type.PROXY_STATE) == (bytes(253),) * 15


@pytest.mark.parametrize("setting", [True, False])
@pytest.mark.parametrize("own", [True, False, None])
@pytest.mark.parametrize("limited", [True, False])
def test_each_client_says_what_its_bare_requests_are_worth(
    setting: bool, own: bool | None, limited: bool
) -> None:
    driver = Driver(require_message_authenticator=setting)
    client = RadiusClient(
        client_id="old",
        prefix="",
        secret=SECRET,
        operator=VISITED,
        require_message_authenticator=own,
        limit_proxy_state=limited,
    )
    required = setting if own is None else own
    for number, attributes in enumerate(([], [(int(Type.PROXY_STATE), b"x")])):
        bare = encode(Code.ACCESS_REQUEST, number, bytes(16), attributes)
        origin = Origin(AUTH, SOURCE, Transport.UDP, client)
        effect = only(driver.server.receive(origin, bare, now_s=1, now_us=1))
        refused = required or (limited and number == 1)
        assert isinstance(effect, Dropped) is refused
        tls = origin._replace(transport=Transport.TLS, listener=Listener.ANY)
        assert isinstance(only(driver.server.receive(tls, bare, now_s=1, now_us=1)), Send)


def test_a_stranger_is_dropped() -> None:
    driver = Driver()
    request = driver.eap_request(phone().identity())
    effects = driver.server.receive(Origin(AUTH, ("192.0.2.1", 1)), request, now_s=1, now_us=1)
    assert effects == [Dropped("client_unknown")]


def test_a_request_without_eap_is_rejected() -> None:
    driver = Driver()
    request = access_request(1, bytes(16), [text(Type.NAS_IDENTIFIER, NAS)], SECRET)
    said = reply(driver.receive(AUTH, request), request).get(Type.REPLY_MESSAGE)
    assert said == b"eap_required\0Reject-Reason=30"


@pytest.mark.parametrize("name", [b"a@b\0c", b"a\0@b", b"\xff@b"])
def test_a_user_name_that_is_no_text_is_rejected(name: bytes) -> None:
    """A device chooses it: silence would make us look dead to its access point."""
    driver = Driver()
    driver.more = ((int(Type.USER_NAME), name),)
    request = driver.eap_request(phone().identity())
    packet = reply(driver.receive(AUTH, request), request)
    assert packet.code == Code.ACCESS_REJECT
    assert packet.get(Type.REPLY_MESSAGE) == b"attribute_text\0Reject-Reason=11"


def test_no_name_with_a_nul_is_looked_up() -> None:
    """PostgreSQL takes no NUL: one would end in an error where a name is unknown."""
    driver = Driver()
    directory = driver.lookup.directory
    directory.clients = [replace(directory.clients[0], carries=("*",))]
    asked: list[str] = []
    directory.node = lambda _, name: asked.append(name)  # type: ignore[assignment]
    directory.operator_named_by_wba = lambda _, name: asked.append(name)  # type: ignore[assignment]
    driver.receive(AUTH, driver.eap_request(phone().identity(), nas="cafe\0"))
    driver.more = (text(Type.OPERATOR_NAME, "4A\0:FR"),)
    driver.receive(AUTH, driver.eap_request(phone().identity(), nas="cafe\0"))
    assert asked == ["cafe\ufffd", "A\ufffd:FR"]


@pytest.mark.parametrize("nas", ["other-1", "nobody", ""])
def test_a_foreign_nas_identifier_is_rejected(nas: str) -> None:
    driver = Driver()
    request = driver.eap_request(phone().identity(), nas=nas)
    packet = reply(driver.receive(AUTH, request), request)
    assert packet.code == Code.ACCESS_REJECT
    accounting = driver.accounting(
        integer(Type.ACCT_STATUS_TYPE, 7), text(Type.NAS_IDENTIFIER, nas)
    )
    assert driver.receive(ACCT, accounting) == [Dropped("nas_identifier_refused")]


def observed(driver: Driver, *attributes: Attribute) -> Observation | str:
    effect = only(driver.receive(ACCT, driver.accounting(*attributes)))
    if isinstance(effect, Dropped):
        return effect.reason
    assert isinstance(effect, Store)
    return effect.observation


WHO = text(Type.NAS_IDENTIFIER, NAS)
SESSION = text(Type.ACCT_SESSION_ID, "s")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ((WHO, SESSION), "acct_status_type_missing"),
        ((WHO, SESSION, integer(Type.ACCT_STATUS_TYPE, 15)), "acct_status_type"),
        ((WHO, integer(Type.ACCT_STATUS_TYPE, 2)), "acct_session_id_missing"),
        ((WHO, integer(Type.ACCT_STATUS_TYPE, 2), (int(Type.ACCT_SESSION_ID), b"\xff")),
         "attribute_text"),
        ((WHO, integer(Type.ACCT_STATUS_TYPE, 2), text(Type.ACCT_SESSION_ID, "s\0")),
         "attribute_text"),
    ],
)  # fmt: skip
def test_accounting_that_says_too_little(attributes: tuple[Attribute, ...], reason: str) -> None:
    assert observed(Driver(), *attributes) == reason


@pytest.mark.parametrize(
    ("attributes", "event_us"),
    [
        ((), NOW_US),
        ((integer(Type.EVENT_TIMESTAMP, NOW_US // 1_000_000 - 5),), NOW_US - 5_000_000),
        ((integer(Type.ACCT_DELAY_TIME, 7),), NOW_US - 7_000_000),
        ((integer(Type.ACCT_DELAY_TIME, 86_401),), NOW_US),
        ((integer(Type.EVENT_TIMESTAMP, 0xFFFFFFFF),), NOW_US),
        ((integer(Type.EVENT_TIMESTAMP, 0),), NOW_US),
    ],
)
def test_when_it_happened(attributes: tuple[Attribute, ...], event_us: int) -> None:
    fact = observed(Driver(), WHO, SESSION, integer(Type.ACCT_STATUS_TYPE, 3), *attributes)
    assert isinstance(fact, Observation)
    assert fact.event_us == event_us
    assert fact.status is Status.INTERIM


def test_a_forged_class_leaves_the_session_weak_and_is_counted() -> None:
    driver = Driver()
    forged = (int(Type.CLASS), b"\x01" + bytes(120))
    fact = observed(driver, WHO, SESSION, integer(Type.ACCT_STATUS_TYPE, 3), forged)
    assert isinstance(fact, Observation)
    assert (fact.authorisation_id, fact.home) == (None, None)
    assert driver.server.metrics.class_refused == {"unknown_key": 1}


def test_no_permanent_identity_is_kept_in_clear() -> None:
    name = text(Type.USER_NAME, f"6001010000000001@{REALM}")
    fact = observed(Driver(), WHO, SESSION, integer(Type.ACCT_STATUS_TYPE, 3), name)
    assert isinstance(fact, Observation)
    assert "001010000000001" not in repr(fact)


@given(st.lists(st.binary(max_size=120), min_size=1, max_size=5), st.sampled_from(list(Listener)))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_datagram_is_dropped(datagrams: list[bytes], listener: Listener) -> None:
    driver = Driver()
    for datagram in datagrams:
        assert isinstance(only(driver.receive(listener, datagram)), Dropped)


signed = st.lists(
    st.tuples(st.integers(1, 255), st.binary(max_size=60)).filter(
        lambda a: a[0] not in (Type.MESSAGE_AUTHENTICATOR,)
    ),
    max_size=8,
)


@given(signed, st.sampled_from(list(Listener)))
@settings(max_examples=300)
def test_any_signed_attributes_end_in_an_outcome(
    attributes: list[Attribute], listener: Listener
) -> None:
    driver = Driver()
    attributes = [text(Type.NAS_IDENTIFIER, NAS), *attributes]
    if listener is AUTH:
        datagram = access_request(1, bytes(16), attributes, SECRET)
    else:
        datagram = accounting_request(1, attributes, SECRET)
    assert isinstance(only(driver.receive(listener, datagram)), (Dropped, Send, Need, Store))


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
@settings(max_examples=200)
def test_any_eap_in_a_signed_request_ends_in_an_outcome(messages: list[bytes]) -> None:
    driver = Driver()
    peer = phone()
    answer, state = challenge(driver, peer)
    for message in messages:
        body = answer[:1] + answer[1:2] + (5 + len(message)).to_bytes(2, "big") + b"\x32" + message
        effects = driver.receive(AUTH, driver.eap_request(body, state))
        assert isinstance(only(effects), (Dropped, Send))
    assert not driver.policy.granted


def test_status_server_is_answered_on_both_ports() -> None:
    driver = Driver()
    for listener, code in ((AUTH, Code.ACCESS_ACCEPT), (ACCT, Code.ACCOUNTING_RESPONSE)):
        request = access_request(9, bytes(16), [], SECRET)
        status = _as_status(request)
        assert reply(driver.receive(listener, status), status).code == code


def _as_status(request: bytes) -> bytes:
    import hmac

    unsigned = bytes((Code.STATUS_SERVER,)) + request[1:22] + bytes(16)
    return unsigned[:22] + hmac.digest(SECRET, unsigned, "md5")


OWN = bytes.fromhex("a1b2c3")


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ((), WIFI),
        ((vendor(WBA, 12, b"OpenRoaming Gold"),), Offered(qos=Qos.GOLD)),
        ((vendor(WBA, 12, b"OpenRoaming Tin"),), WIFI),
        ((vendor(WFA, 6, bytes.fromhex("5a03ba0000")),), Offered(rcoi=RcoiClass.SETTLEMENT_FREE)),
        ((vendor(WFA, 6, bytes.fromhex("baa2d00000")),), Offered(rcoi=RcoiClass.SETTLED)),
        ((vendor(WFA, 6, bytes.fromhex("004096")),), WIFI),
        ((vendor(WFA, 6, b"\x5a\x03"),), WIFI),
        ((vendor(WFA, 6, OWN + bytes(2)),), Offered(rcoi=RcoiClass.OWN)),
        (
            (
                vendor(WBA, 12, b"OpenRoaming Silver"),
                vendor(WFA, 6, bytes.fromhex("baa2d00000")),
                vendor(WBA, 12, b"OpenRoaming Gold"),
            ),
            Offered(qos=Qos.SILVER, rcoi=RcoiClass.SETTLED),
        ),
    ],
)
def test_what_an_access_point_offers_reaches_the_home(
    attributes: tuple[Attribute, ...], told: Offered
) -> None:
    """Of two words for one thing the first counts; what is not known says nothing."""
    driver = Driver(own_bases=(OWN,))
    answer, state = challenge(driver, phone())
    driver.more = attributes
    need = only(driver.receive(AUTH, driver.eap_request(answer, state)))
    assert isinstance(need, Need)
    assert need.offer.offered == told


MALFORMED = {
    "attribute_length": (int(Type.VENDOR_SPECIFIC), WBA.to_bytes(4, "big") + b"\x0c\x09"),
    "custom_sla": vendor(WBA, WBA_CUSTOM_SLA, b"\x65" + bytes(3)),
    "operator_name": vendor(WBA, WBA_FINANCIAL_CLEARING_PROVIDER, b"?"),
    "location_short": (int(Type.LOCATION_INFORMATION), bytes(3)),
}


@pytest.mark.parametrize("reason", MALFORMED)
def test_what_cannot_be_read_of_a_request_is_rejected_and_counted(reason: str) -> None:
    """Here and where it is passed on; silence would have it repeated, at another server too."""
    driver = Driver()
    driver.lookup.directory.routing = [
        Route(pattern="else.test", kind=RouteKind.UPSTREAM, upstream="home")
    ]
    driver.more = (MALFORMED[reason],)
    for identity in (
        phone().identity(),
        eap.encode_eap(eap.EapCode.RESPONSE, 1, 1, b"somebody@else.test"),
    ):
        more = (text(Type.USER_NAME, "somebody@else.test"),) if b"else" in identity else ()
        driver.more = (MALFORMED[reason], *more)
        request = driver.eap_request(identity)
        answer = reply(driver.receive(AUTH, request), request)
        assert answer.code == Code.ACCESS_REJECT
        assert (answer.get(Type.REPLY_MESSAGE) or b"").endswith(b"malformed\0Reject-Reason=30")
    assert driver.server.metrics.rejects == {reason: 2}
    assert len(driver.server.sessions) == 0


def test_a_request_whose_reply_does_not_fit_is_dropped() -> None:
    """Proxy-State comes back whole, behind a challenge or a reject longer than what was asked."""
    driver = Driver()
    driver.more = ((int(Type.PROXY_STATE), bytes(253)),) * 15
    need = only(driver.receive(AUTH, driver.eap_request(phone().identity())))
    assert isinstance(need, Need)
    assert driver.attend(need) == [Dropped("packet_full")]
    attributes = [text(Type.NAS_IDENTIFIER, NAS), *driver.more, (int(Type.PROXY_STATE), bytes(200))]
    request = access_request(200, bytes(16), attributes, SECRET)
    for _ in range(2):
        assert driver.receive(AUTH, request) == [Dropped("packet_full")]
    assert driver.server.metrics.dropped["packet_full"] == 3
    whole = access_request(201, bytes(16), attributes[:-1], SECRET)
    assert reply(driver.receive(AUTH, whole), whole).code == Code.ACCESS_REJECT
