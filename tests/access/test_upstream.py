"""Asking other servers over UDP and TLS: identifiers, repeats, watchdog, reconnection, rotation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.fakes import NAS, VISITED, Bench, peer_error
from tests.access.radsec import Pki, known_as, raising_nothing, until

from opencarrier.access.dynamic import ErrorCause, ack, nak, sound
from opencarrier.access.radsec.certificates import Expected
from opencarrier.access.radsec.client import RadsecServerAt, RadsecUpstream, Tuning
from opencarrier.access.radsec.server import RadsecBind, RadsecServer
from opencarrier.access.radsec.trust import Trust, TrustFiles
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.upstream.asking import AskLimits
from opencarrier.access.upstream.identifiers import Identifiers, Question
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.upstream.timers import Backoff, Health, Probe, Watchdog
from opencarrier.access.upstream.udp import UdpUpstream
from opencarrier.access.wire.authenticators import request, response
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import Attribute, integer, parse, text
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.spine.parties import RadiusClient

SECRET = b"between hops"
ENTROPY = SystemEntropy()
FAST = Backoff(first_s=0.1, most_s=0.4)


def question(code: int, outcomes: list[Reply | Lost], *attributes: Attribute) -> Question:
    return Question.of(code, attributes, None, SeededEntropy(1), outcomes.append)


def answered(octets: bytes, code: int, *attributes: Attribute, secret: bytes = SECRET) -> bytes:
    return response(code, parse(octets), attributes, secret)


@settings(max_examples=30)
@given(steps=st.lists(st.sampled_from(["begin", "reply", "lose"]), max_size=600))
def test_identifiers_are_never_given_twice_and_none_is_lost(steps: list[str]) -> None:
    table, under_way, outcomes = Identifiers(SECRET, required=True), [], []
    begun = 0
    for step in steps:
        if step == "begin" and not table.is_full:
            under_way.append(table.begin(question(Code.ACCESS_REQUEST, outcomes)))
            begun += 1
        elif step == "reply" and under_way:
            one = under_way.pop(0)
            assert table.reply(answered(one.octets, Code.ACCESS_REJECT)) is one
            assert table.reply(answered(one.octets, Code.ACCESS_REJECT)) is None
        elif step == "lose" and under_way:
            one = under_way.pop()
            assert table.lose(one, Lost.TIMEOUT)
            assert not table.lose(one, Lost.TIMEOUT)
        assert len({one.identifier for one in under_way}) == len(under_way) == len(table)
        assert table.is_full is (len(under_way) == 256)
    table.lose_all(Lost.CLOSED)
    assert len(outcomes) == begun


def test_an_identifier_rests_the_longest_it_can() -> None:
    table, outcomes = Identifiers(SECRET, required=True), []
    first = table.begin(question(Code.ACCESS_REQUEST, outcomes))
    table.lose(first, Lost.TIMEOUT)
    given_next = [table.begin(question(Code.ACCESS_REQUEST, outcomes)) for _ in range(255)]
    assert first.identifier not in {one.identifier for one in given_next}
    assert table.begin(question(Code.ACCESS_REQUEST, outcomes)).identifier == first.identifier


@pytest.mark.parametrize("code", [Code.ACCESS_REQUEST, Code.ACCOUNTING_REQUEST])
def test_a_late_reply_is_passed_over_when_its_identifier_is_another_s(code: Code) -> None:
    table, outcomes = Identifiers(SECRET, required=True), list[Reply | Lost]()
    slow = Question.of(Code.ACCESS_REQUEST, [], b"s" * 16, ENTROPY, outcomes.append)
    given_up = table.begin(slow)
    table.lose(given_up, Lost.TIMEOUT)
    [*_, now] = [table.begin(question(code, outcomes, (1, b"quick"))) for _ in range(256)]
    assert now.identifier == given_up.identifier
    assert table.reply(answered(given_up.octets, Code.ACCESS_ACCEPT)) is None
    assert table.is_under_way(now)
    stranger = answered(given_up.octets, Code.ACCESS_ACCEPT, secret=b"other")
    assert peer_error(table.reply, stranger) in ("response_authenticator", "reply_code")
    assert outcomes == [Lost.TIMEOUT]


def test_a_sign_of_life_counts_without_message_authenticator() -> None:
    """Its authenticator has to hold: FreeRADIUS before 3.2.5 signs no more than that."""
    outcomes: list[Reply | Lost] = []
    table = Identifiers(SECRET, required=True)
    one = table.begin(question(Code.STATUS_SERVER, outcomes))
    bare = _without_message_authenticator(one.octets)
    assert peer_error(table.reply, bare[:-1] + bytes((bare[-1] ^ 1,))) == "response_authenticator"
    assert table.reply(bare) is one


def test_a_reply_is_believed_only_if_the_server_signed_it() -> None:
    outcomes: list[Reply | Lost] = []
    strict, lenient = (Identifiers(SECRET, required=required) for required in (True, False))
    for table in (strict, lenient):
        one = table.begin(question(Code.ACCESS_REQUEST, outcomes, (1, b"someone@home.example")))
        assert one.octets[20] == Type.MESSAGE_AUTHENTICATOR
        good = answered(one.octets, Code.ACCESS_ACCEPT, text(Type.REPLY_MESSAGE, "hello"))
        for octets, reason in (
            (good[:-1] + bytes((good[-1] ^ 1,)), "response_authenticator"),
            (answered(one.octets, Code.ACCESS_ACCEPT, secret=b"other"), "response_authenticator"),
            (answered(one.octets, Code.ACCOUNTING_RESPONSE), "reply_code"),
            (good[:21], "packet_short"),
        ):
            assert peer_error(table.reply, octets) == reason
            assert table.is_under_way(one)
        bare = _without_message_authenticator(one.octets)
        assert peer_error(table.reply, bare) == (
            "message_authenticator_missing" if table is strict else "parsed"
        )
        if table is strict:
            assert table.reply(good) is one
    (strictly, leniently) = outcomes
    assert isinstance(strictly, Reply)
    assert isinstance(leniently, Reply)
    assert strictly.packet.text(Type.REPLY_MESSAGE) == "hello"
    assert SECRET.decode() not in repr(strictly)


def _without_message_authenticator(octets: bytes) -> bytes:
    from hashlib import md5

    head = bytes((Code.ACCESS_ACCEPT, octets[1])) + (20).to_bytes(2, "big")
    return head + md5(head + octets[4:20] + SECRET).digest()


@pytest.mark.parametrize("code", [Code.DISCONNECT_REQUEST, Code.COA_REQUEST])
def test_dynamic_requests_are_signed_as_their_code_asks(code: Code) -> None:
    client = RadiusClient(client_id="home", prefix="", secret=SECRET, operator=VISITED)
    octets = request(code, 5, [(int(Type.PROXY_STATE), b"1"), (int(Type.CLASS), b"c")], SECRET)
    packet = sound(octets, client)
    assert packet.attributes[0][0] == Type.MESSAGE_AUTHENTICATOR
    for end in range(20, len(octets)):
        changed = octets[:end] + bytes((octets[end] ^ 1,)) + octets[end + 1 :]
        assert peer_error(sound, changed, client) != "parsed"
    outcomes: list[Reply | Lost] = []
    table = Identifiers(SECRET, required=True)
    for _ in range(2):
        one = table.begin(question(code, outcomes, (int(Type.PROXY_STATE), b"1")))
        asked = parse(one.octets)
        refused = nak(asked, ErrorCause.INVALID_REQUEST, SECRET)
        assert table.reply(ack(asked, [], SECRET) if outcomes else refused) is one
    declined, done = outcomes
    assert isinstance(declined, Reply)
    assert isinstance(done, Reply)
    assert (declined.packet.code, done.packet.code) == (code + 2, code + 1)
    assert declined.packet.integer(Type.ERROR_CAUSE) == 404
    assert done.packet.all(Type.PROXY_STATE) == (b"1",)


def test_waits_double_up_to_the_most_and_are_a_tenth_off() -> None:
    waits = Backoff(first_s=2, most_s=16).waits(SeededEntropy(3))
    for expected in (2, 4, 8, 16, 16, 16):
        assert 0.9 * expected <= next(waits) <= 1.1 * expected


def test_a_silent_server_is_probed_then_suspect_then_left() -> None:
    dog = Watchdog(0, silence_s=30)
    assert [dog.tick(at) for at in (29, 30, 59, 60)] == [
        Probe.NOTHING,
        Probe.ASK,
        Probe.NOTHING,
        Probe.ASK,
    ]
    assert dog.health is Health.SUSPECT
    dog.heard(61)
    assert dog.health is Health.OKAY
    assert [dog.tick(at) for at in (91, 121, 151)] == [Probe.ASK, Probe.ASK, Probe.CLOSE]
    assert dog.health is Health.DOWN
    dog.opened(200)
    for turn in range(3):
        assert dog.tick(200 + turn) is Probe.ASK
        assert dog.health is not Health.OKAY
        dog.heard(200 + turn)
    assert dog.health is Health.OKAY
    assert dog.tick(203) is Probe.NOTHING


class Home(asyncio.DatagramProtocol):
    """A UDP server that answers as a test says: None is silence."""

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.answer = answer
        self.heard: list[bytes] = []
        self.ports: set[int] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)
        self.ports.add(addr[1])
        reply = self.answer(data)
        if reply is not None:
            self.transport.sendto(reply, addr)


@asynccontextmanager
async def udp_home(
    answer: Callable[[bytes], bytes | None], **limits: Any
) -> AsyncIterator[tuple[Home, UdpUpstream]]:
    loop = asyncio.get_running_loop()
    transport, home = await loop.create_datagram_endpoint(
        lambda: Home(answer), local_addr=("127.0.0.1", 0)
    )
    upstream = UdpUpstream(
        "home",
        transport.get_extra_info("sockname"),
        SECRET,
        entropy=ENTROPY,
        limits=AskLimits(**limits),
        again=FAST,
    )
    with raising_nothing():
        await upstream.start()
        try:
            yield home, upstream
        finally:
            await upstream.stop()
            transport.close()


async def test_over_udp_a_request_is_repeated_octet_by_octet_until_it_is_answered() -> None:
    def third(octets: bytes) -> bytes | None:
        return answered(octets, Code.ACCESS_REJECT) if len(home.heard) == 3 else None

    async with udp_home(third) as (home, upstream):
        outcome = await upstream.request(Code.ACCESS_REQUEST, [(1, b"a@b.example")])
        assert isinstance(outcome, Reply)
        assert len(set(home.heard)) == 1
        assert len(home.heard) == 3
        assert upstream.repeats == 2
        assert (upstream.replies, upstream.waiting) == (1, 0)


async def test_over_udp_more_than_256_at_once_take_another_port_and_the_rest_wait() -> None:
    async with udp_home(lambda octets: None, channels_max=2, queue_max=10) as (home, upstream):
        asked = [
            asyncio.create_task(upstream.request(Code.ACCOUNTING_REQUEST, [])) for _ in range(266)
        ]
        await until(lambda: len(home.ports) == 2)
        asked += [
            asyncio.create_task(upstream.request(Code.ACCOUNTING_REQUEST, []))
            for _ in range(2 * 256 + 10 - 266)
        ]
        await until(lambda: upstream.waiting == 2 * 256 + 10)
        assert await upstream.request(Code.ACCOUNTING_REQUEST, []) is Lost.QUEUE_FULL
        home.answer = lambda octets: answered(octets, Code.ACCOUNTING_RESPONSE)
        outcomes = await asyncio.gather(*asked)
        assert all(isinstance(outcome, Reply) for outcome in outcomes)
        assert len(home.ports) == 2
        assert upstream.lost == {"queue_full": 1}


async def test_over_udp_a_dead_server_costs_its_time_and_is_known_to_be_dead() -> None:
    async with udp_home(lambda octets: None, request_s=0.5, silence_s=0.15) as (home, upstream):
        assert upstream.alive
        assert await upstream.request(Code.ACCESS_REQUEST, []) is Lost.TIMEOUT
        assert not upstream.alive
        assert {octets[0] for octets in home.heard} == {Code.ACCESS_REQUEST, Code.STATUS_SERVER}
        home.answer = lambda octets: answered(octets, Code.ACCESS_ACCEPT)
        await until(lambda: upstream.alive)
        assert isinstance(await upstream.request(Code.STATUS_SERVER, []), Reply)


async def test_over_udp_a_server_that_could_not_be_asked_at_first_is_watched_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    transport, home = await loop.create_datagram_endpoint(
        lambda: Home(lambda octets: None), local_addr=("127.0.0.1", 0)
    )
    address, limits = transport.get_extra_info("sockname"), AskLimits(silence_s=0.05)
    upstream = UdpUpstream("home", address, SECRET, entropy=ENTROPY, limits=limits)

    async def unresolved(*_: Any, **__: Any) -> None:
        raise OSError("no such host")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "create_datagram_endpoint", unresolved)
        assert await upstream.request(Code.ACCESS_REQUEST, []) is Lost.UNREACHABLE
    await upstream.start()
    await until(lambda: bool(home.heard))
    assert home.heard[0][0] == Code.STATUS_SERVER
    await upstream.stop()
    transport.close()


async def test_over_udp_our_server_answers_our_client() -> None:
    bench = Bench()
    server = UdpServer(bench.service(), Bind(auth_port=0, acct_port=0))
    await server.start()
    secret = bench.directory.clients[0].secret
    auth, acct = (
        UdpUpstream("home", address, secret, entropy=ENTROPY)
        for address in (server.auth_address, server.acct_address)
    )
    await auth.start()
    await acct.start()
    status = await auth.request(Code.STATUS_SERVER, [(int(Type.PROXY_STATE), b"p")])
    assert isinstance(status, Reply)
    assert status.packet.code == Code.ACCESS_ACCEPT
    assert status.packet.attributes[0][0] == Type.MESSAGE_AUTHENTICATOR
    assert status.packet.all(Type.PROXY_STATE) == (b"p",)
    assert isinstance(await acct.request(Code.ACCOUNTING_REQUEST, interim(1)), Reply)
    assert isinstance(await acct.request(Code.STATUS_SERVER, []), Reply)
    for one in (auth, acct):
        await one.stop()
    assert await acct.request(Code.ACCOUNTING_REQUEST, interim(2)) is Lost.CLOSED
    await server.stop()


def interim(number: int) -> list[Attribute]:
    return [
        integer(Type.ACCT_STATUS_TYPE, 3),
        text(Type.ACCT_SESSION_ID, f"s{number}"),
        text(Type.NAS_IDENTIFIER, NAS),
    ]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def ours(pki: Pki) -> TrustFiles:
    return pki.files(
        pki.end("aaa", dns_names=("aaa.home.example",), nai_realms=("home.example",)), "server"
    )


@pytest.fixture(scope="module")
def theirs(pki: Pki) -> TrustFiles:
    return pki.files(pki.end("hub", branch=1, dns_names=("hub.example",)), "peer")


def tls_server(files: TrustFiles, bench: Bench, port: int = 0) -> RadsecServer:
    bench.directory.clients = [known_as("dns:hub.example", VISITED)]
    return RadsecServer(
        bench.service(),
        Trust(files),
        RadsecBind(port=port, tick_s=0.1),
        clock=SystemClock(),
        entropy=ENTROPY,
    )


def tls_client(
    files: TrustFiles, port: int, *, expected: Expected | None = None, **rest: Any
) -> RadsecUpstream:
    limits = AskLimits(**{k: rest.pop(k) for k in list(rest) if hasattr(AskLimits(), k)})
    at = RadsecServerAt(host="127.0.0.1", port=port, expected=expected or Expected())
    return RadsecUpstream(
        "home",
        at,
        Trust(files),
        clock=SystemClock(),
        entropy=ENTROPY,
        limits=limits,
        tuning=Tuning(again=FAST, tick_s=0.05),
        **rest,
    )


async def test_over_tls_both_ends_are_ours_and_ask_each_other(
    ours: TrustFiles, theirs: TrustFiles
) -> None:
    async def obey(octets: bytes, client: RadiusClient) -> bytes:
        packet = sound(octets, client)
        if packet.code == Code.COA_REQUEST:
            return nak(packet, ErrorCause.UNSUPPORTED_ATTRIBUTE, client.secret)
        return ack(packet, [], client.secret)

    bench = Bench()
    server = tls_server(ours, bench)
    await server.start()
    upstream = tls_client(theirs, server.address[1], channels_max=3, dynamic=obey)
    with raising_nothing():
        await upstream.start()
        outcomes = await asyncio.gather(
            *(upstream.request(Code.ACCOUNTING_REQUEST, interim(n)) for n in range(600))
        )
        assert all(isinstance(outcome, Reply) for outcome in outcomes)
        assert len(bench.sink.observations) == 600
        assert 1 <= upstream.counters.opened <= 3
        back = server.to("peer")
        assert back is not None
        for code, reply in (
            (Code.DISCONNECT_REQUEST, Code.DISCONNECT_ACK),
            (Code.COA_REQUEST, Code.COA_NAK),
        ):
            outcome = await back.request(code, [text(Type.ACCT_SESSION_ID, "s1")])
            assert isinstance(outcome, Reply)
            assert outcome.packet.code == reply
        assert server.to("somebody else") is None
        await upstream.stop()
        await until(lambda: not server.lines())
        assert await back.request(Code.DISCONNECT_REQUEST, []) is Lost.CLOSED
        assert upstream.lost == {}
        await server.stop()


async def test_over_tls_a_server_whose_network_swallows_all_is_not_hoped_for_long(
    theirs: TrustFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled: list[str] = []

    async def swallowed(*_: Any, **__: Any) -> None:
        dialled.append("again")
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", swallowed)
    monkeypatch.setattr("opencarrier.access.radsec.client.CONNECT_S", 0.0)
    upstream = tls_client(theirs, 1)
    upstream.connection_limits = replace(upstream.connection_limits, handshake_s=0.05)
    assert upstream.alive
    assert await upstream.request(Code.ACCESS_REQUEST, []) is Lost.UNREACHABLE
    assert upstream.counters.refused == {"connect_timeout": 1}
    await until(lambda: len(dialled) == 2)
    assert not upstream.alive  # while it is dialled again, others are asked first
    await upstream.stop()


async def test_over_tls_whoever_no_longer_waits_for_an_order_holds_nothing(
    ours: TrustFiles, theirs: TrustFiles
) -> None:
    orders: list[bytes] = []
    go_on = asyncio.Event()

    async def obey(octets: bytes, client: RadiusClient) -> bytes:
        orders.append(octets)
        await go_on.wait()
        return ack(sound(octets, client), [], client.secret)

    server = tls_server(ours, Bench())
    await server.start()
    upstream = tls_client(theirs, server.address[1], dynamic=obey)
    with raising_nothing():
        await upstream.start()
        await until(lambda: server.to("peer") is not None)
        back = server.to("peer")
        assert back is not None
        asking = asyncio.create_task(back.request(Code.DISCONNECT_REQUEST, []))
        await until(lambda: len(orders) == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert len(back.asked) == 0
        go_on.set()  # the reply nobody waits for comes before the next one's
        assert isinstance(await back.request(Code.DISCONNECT_REQUEST, []), Reply)
        assert back.alive
        await upstream.stop()
        await until(lambda: not server.lines())
        await server.stop()


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        (Expected(host="aaa.home.example"), ""),
        (Expected(realm="home.example", host="elsewhere.example"), ""),
        (Expected(host="127.0.0.1"), "host"),
        (Expected(realm="other.example"), "realm"),
        (Expected(fingerprint="0" * 64), "fingerprint"),
    ],
)
async def test_over_tls_the_server_has_to_be_the_expected_one(
    ours: TrustFiles, theirs: TrustFiles, expected: Expected, reason: str
) -> None:
    server = tls_server(ours, Bench())
    await server.start()
    upstream = tls_client(theirs, server.address[1], expected=expected)
    await upstream.start()
    outcome = await upstream.request(Code.STATUS_SERVER, [])
    if reason:
        assert outcome is Lost.UNREACHABLE
        assert upstream.counters.refused[reason] >= 1
        assert not upstream.alive
    else:
        assert isinstance(outcome, Reply)
    await upstream.stop()
    await server.stop()


async def test_over_tls_what_was_under_way_is_sent_again_after_reconnection_and_not_before(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles
) -> None:
    """The server takes a request and breaks; the next connection gets the same octets."""
    taken: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(4)
        octets = head + await reader.readexactly(int.from_bytes(head[2:], "big") - 4)
        taken.append(octets)
        if len(taken) == 1:
            writer.write(answered(octets, Code.ACCOUNTING_RESPONSE, secret=b"radsec"))
            head = await reader.readexactly(4)
            taken.append(head + await reader.readexactly(int.from_bytes(head[2:], "big") - 4))
            await asyncio.sleep(0.3)  # no repeat comes while the connection stands
            writer.transport.abort()
        else:
            writer.write(answered(octets, Code.ACCOUNTING_RESPONSE, secret=b"radsec"))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=Trust(ours).server)
    upstream = tls_client(theirs, server.sockets[0].getsockname()[1])
    await upstream.start()
    assert isinstance(await upstream.request(Code.ACCOUNTING_REQUEST, interim(1)), Reply)
    assert isinstance(await upstream.request(Code.ACCOUNTING_REQUEST, interim(2)), Reply)
    assert len(taken) == 3
    assert taken[1] == taken[2] != taken[0]
    await upstream.stop()
    server.close()


async def test_over_tls_a_vanished_server_is_noticed_and_its_return_too(
    ours: TrustFiles, theirs: TrustFiles
) -> None:
    bench = Bench()
    server = tls_server(ours, bench)
    await server.start()
    port = server.address[1]
    upstream = tls_client(theirs, port, request_s=5.0)
    await upstream.start()
    assert isinstance(await upstream.request(Code.STATUS_SERVER, []), Reply)
    await server.stop()
    await until(lambda: not upstream.alive)
    assert await upstream.request(Code.STATUS_SERVER, []) is Lost.UNREACHABLE
    again = tls_server(ours, bench, port)
    await again.start()
    await until(lambda: upstream.alive)
    assert isinstance(await upstream.request(Code.STATUS_SERVER, []), Reply)
    await upstream.stop()
    await again.stop()


async def test_over_tls_a_server_that_keeps_silent_is_left(
    ours: TrustFiles, theirs: TrustFiles
) -> None:
    made = 0

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        while await reader.read(4096):
            pass

    server = await asyncio.start_server(mute, "127.0.0.1", 0, ssl=Trust(ours).server)
    port = server.sockets[0].getsockname()[1]
    upstream = tls_client(theirs, port, silence_s=0.1, request_s=0.3)
    await upstream.start()
    assert await upstream.request(Code.ACCESS_REQUEST, []) in (Lost.TIMEOUT, Lost.CLOSED)
    await until(lambda: upstream.counters.closed["watchdog"] >= 1)
    assert not upstream.alive
    await until(lambda: made >= 2)
    await upstream.stop()
    server.close()


async def test_over_tls_our_certificates_rotate_under_load_and_no_request_is_lost(
    pki: Pki, ours: TrustFiles
) -> None:
    bench = Bench()
    server = tls_server(ours, bench)
    await server.start()
    names = {"dns_names": ("hub.example",)}
    files = pki.files(pki.end("hub-1", branch=1, **names), "rotating-hub")
    upstream = tls_client(files, server.address[1])
    await upstream.start()
    answers = 0

    async def load(first: int) -> None:
        nonlocal answers
        for number in range(100):
            outcome = await upstream.request(Code.ACCOUNTING_REQUEST, interim(first + number))
            assert isinstance(outcome, Reply), outcome
            answers += 1
            await asyncio.sleep(0.01)

    async def rotate() -> None:
        for number in (2, 3):
            await asyncio.sleep(0.3)
            renewed = pki.end(f"hub-{number}", branch=number % 2, **names)
            files.chain.write_bytes(renewed.chain_pem)
            await asyncio.sleep(0.1)
            files.key.write_bytes(renewed.key_pem)

    await asyncio.gather(*(load(n * 1_000) for n in range(3)), rotate())
    assert answers == 300
    assert len({o.acct_session_id for o in bench.sink.observations}) == 300
    assert upstream.trust.reloads == 2
    assert upstream.counters.opened == 3
    await until(lambda: upstream.counters.closed["retired"] == 2)
    await upstream.stop()
    await server.stop()
