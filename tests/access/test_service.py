"""The service: a transaction per step, group commit before any response, bounded queues."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, event
from tests.access.fakes import (
    NAS,
    REALM,
    SECRET,
    VISITED,
    Bench,
    FakeMonotonic,
    FakePolicy,
    FakeVectors,
    ListSink,
    TableSink,
    usim,
)

from opencarrier.access.directory import DirectoryCache
from opencarrier.access.model import AccessSettings, Listener, Origin, Transport
from opencarrier.access.server import Send
from opencarrier.access.service import AccessService
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.wire.authenticators import access_request, accounting_request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import Attribute, eap_message, integer, parse, text
from opencarrier.kernel.refusals import Refusal
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.spine.access import AkaVector, AuthorisationRequest, Grant
from opencarrier.spine.parties import RadiusClient
from opencarrier.spine.usage import Observation


def source(number: int) -> tuple[str, int]:
    return ("127.0.0.1", 20_000 + number // 256)


def interim(number: int) -> bytes:
    attributes: list[Attribute] = [
        integer(Type.ACCT_STATUS_TYPE, 3),
        text(Type.ACCT_SESSION_ID, f"s{number}"),
        text(Type.NAS_IDENTIFIER, NAS),
        integer(Type.ACCT_SESSION_TIME, number),
    ]
    return accounting_request(number % 256, attributes, SECRET)


class GatedSink(ListSink):
    """Holds its first batch until told to go on, so that others gather behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.entered = threading.Event()
        self.go = threading.Event()

    def record(self, unit: Connection, observations: Sequence[Observation]) -> int:
        self.batches.append(len(observations))
        self.entered.set()
        assert self.go.wait(10)
        return super().record(unit, observations)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came to that")


async def test_what_gathers_behind_a_busy_writer_is_one_transaction() -> None:
    sink = GatedSink()
    bench = Bench(sink=sink)
    service, sent = bench.service(), []
    service.start(Transport.UDP, sent.append)
    service.receive(Origin(Listener.ACCT, source(0)), interim(0))
    await until(sink.entered.is_set)
    for number in range(1, 301):
        service.receive(Origin(Listener.ACCT, source(number)), interim(number))
    assert not sent
    sink.go.set()
    await until(lambda: len(sent) == 301)
    await service.stop()
    assert sink.batches == [1, 256, 44]
    assert bench.units.opened == 3
    assert service.metrics.accounting_responses == service.metrics.observations_new == 301


async def test_a_response_leaves_after_its_commit() -> None:
    bench, order = Bench(sink=TableSink()), []

    @event.listens_for(bench.units.engine, "commit")
    def committed(_: Any) -> None:
        order.append("commit")

    service = bench.service()
    service.start(Transport.UDP, lambda send: order.append("send"))
    service.receive(Origin(Listener.ACCT, source(1)), interim(1))
    await until(lambda: "send" in order)
    await service.stop()
    assert order == ["commit", "send"]


async def test_beyond_the_queue_packets_are_dropped_and_counted() -> None:
    sink = GatedSink()
    bench = Bench(sink=sink, settings=AccessSettings(accounting_queue_max=10))
    service, sent = bench.service(), []
    service.start(Transport.UDP, sent.append)
    service.receive(Origin(Listener.ACCT, source(0)), interim(0))
    await until(sink.entered.is_set)
    for number in range(1, 16):
        service.receive(Origin(Listener.ACCT, source(number)), interim(number))
    assert service.metrics.dropped == {"accounting_queue_full": 5}
    sink.go.set()
    await until(lambda: len(sent) == 11)
    # What was dropped was also forgotten: its repeat is taken.
    service.receive(Origin(Listener.ACCT, source(15)), interim(15))
    await until(lambda: len(sent) == 12)
    await service.stop()


async def test_one_bad_row_does_not_stop_the_others() -> None:
    sink = TableSink()
    sink.poison = "s3"
    bench = Bench(sink=sink)
    service, sent = bench.service(), []
    for number in range(1, 6):
        service.receive(Origin(Listener.ACCT, source(number)), interim(number))
    service.start(Transport.UDP, sent.append)
    await until(lambda: len(sent) == 4)
    await service.stop()
    assert {parse(s.datagram).identifier for s in sent} == {1, 2, 4, 5}
    assert service.metrics.dropped == {"store_failed": 1}
    with bench.units.read() as unit:
        rows = unit.exec_driver_sql("SELECT session FROM observation").scalars().all()
    assert sorted(rows) == ["s1", "s2", "s4", "s5"]


async def test_stop_finishes_what_was_received() -> None:
    bench = Bench()
    service, sent = bench.service(), []
    service.start(Transport.UDP, sent.append)
    for number in range(50):
        service.receive(Origin(Listener.ACCT, source(number)), interim(number))
    await service.stop()
    assert len(sent) == 50
    service.receive(Origin(Listener.ACCT, source(99)), interim(99))
    assert service.metrics.dropped == {"stopping": 1}


class Phone:
    """Drives an attempt through the service with requests it can repeat at will."""

    def __init__(self, service: AccessService, sent: list[Send]) -> None:
        self.service, self.sent = service, sent
        self.peer = AkaPrimePeer(usim(), REALM)
        self.state: bytes | None = None
        self.requests: list[bytes] = []

    async def ask(self, message: bytes, *, times: int = 1) -> tuple[int, bytes]:
        attributes = [text(Type.NAS_IDENTIFIER, NAS), *eap_message(message)]
        if self.state is not None:
            attributes.append((int(Type.STATE), self.state))
        number = len(self.requests)
        request = access_request(number, bytes([number] * 16), attributes, SECRET)
        self.requests.append(request)
        before = len(self.sent)
        for _ in range(times):
            self.service.receive(Origin(Listener.AUTH, source(0)), request)
        await until(lambda: len(self.sent) > before)
        packet = parse(self.sent[before].datagram)
        self.state = packet.get(Type.STATE)
        return packet.code, packet.joined(Type.EAP_MESSAGE) or b""


async def test_an_attempt_is_two_transactions_however_often_it_is_repeated() -> None:
    bench = Bench()
    service, sent = bench.service(), []
    service.start(Transport.UDP, sent.append)
    phone = Phone(service, sent)
    code, message = await phone.ask(phone.peer.identity(), times=3)
    assert code == Code.ACCESS_CHALLENGE
    assert (bench.vectors.made, bench.units.opened) == (1, 1)
    answer = phone.peer.respond(message)
    assert answer is not None
    code, _ = await phone.ask(answer, times=3)
    assert code == Code.ACCESS_ACCEPT
    assert (len(bench.policy.granted), bench.units.opened) == (1, 2)
    accepted = sent[-1]
    for request in phone.requests:
        service.receive(Origin(Listener.AUTH, source(0)), request)
    assert sent[-1] == accepted
    assert (len(bench.policy.granted), bench.units.opened) == (1, 2)
    await service.stop()


async def test_attempts_that_come_together_share_a_transaction() -> None:
    sink = GatedSink()
    bench = Bench(sink=sink)
    service, sent = bench.service(), []
    service.start(Transport.UDP, sent.append)
    service.receive(Origin(Listener.ACCT, source(0)), interim(0))
    await until(sink.entered.is_set)
    identity = AkaPrimePeer(usim(), REALM).identity()
    attributes = [text(Type.NAS_IDENTIFIER, NAS), *eap_message(identity)]
    for number in range(70):
        request = access_request(number, bytes([number] * 16), attributes, SECRET)
        service.receive(Origin(Listener.AUTH, source(0)), request)
    sink.go.set()
    await until(lambda: len(sent) == 71)
    await service.stop()
    assert bench.vectors.made == 70
    assert bench.units.opened == service.metrics.batches == 3  # one, 64 and 6


async def test_attempts_wait_for_others_under_way_and_alone_for_nobody() -> None:
    bench = Bench(settings=AccessSettings(gather_s=3_600))
    service, sent = bench.service(), []
    service.start(Transport.UDP, sent.append)
    first, second = Phone(service, sent), Phone(service, sent)
    second.requests = [b""] * 5  # its own identifiers
    _, message = await first.ask(first.peer.identity())
    assert (bench.vectors.made, bench.units.opened) == (1, 1)
    asked = []
    for phone, said in ((second, second.peer.identity()), (first, first.peer.respond(message))):
        asked.append(asyncio.create_task(phone.ask(said or b"")))
        await asyncio.sleep(0.02)
        assert bench.units.opened == 1
    await service.stop()
    assert (bench.vectors.made, len(bench.policy.granted), bench.units.opened) == (2, 1, 2)
    assert len(sent) == 3
    await asyncio.gather(*asked)


class GatedPolicy(FakePolicy):
    """Grants once it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    def authorise(self, unit: Connection, request: AuthorisationRequest) -> Grant | Refusal:
        self.entered.set()
        assert self.go.wait(10)
        return super().authorise(unit, request)


class LosingPolicy(GatedPolicy):
    """Cannot give a hold back."""

    def release(self, unit: Connection, authorisation_id: bytes, *, at_us: int) -> None:
        raise RuntimeError("a bug")


@pytest.mark.parametrize("policy", [GatedPolicy(), LosingPolicy()])
async def test_a_hold_of_a_conversation_that_was_displaced_is_given_back(
    policy: GatedPolicy,
) -> None:
    """Its money is free at once and not after an hour; where that fails the hold expires."""
    bench = Bench(policy=policy, settings=AccessSettings(sessions_per_client_max=1))
    service, sent = bench.service(), []
    service.start(Transport.UDP, sent.append)
    phone = Phone(service, sent)
    _, message = await phone.ask(phone.peer.identity())
    asking = asyncio.create_task(phone.ask(phone.peer.respond(message) or b""))
    await until(policy.entered.is_set)
    attributes = [text(Type.NAS_IDENTIFIER, NAS), *eap_message(phone.peer.identity())]
    service.receive(
        Origin(Listener.AUTH, source(0)), access_request(200, bytes(16), attributes, SECRET)
    )
    policy.go.set()
    await until(lambda: service.metrics.dropped["session_expired"] == 1)
    await service.stop()
    assert policy.released == [
        grant.authorisation_id for grant in policy.granted if type(policy) is GatedPolicy
    ]
    assert service.metrics.holds_released == len(policy.released)
    assert service.metrics.accepts == 0
    assert (service.counted().eap_open, service.counted().eap_displaced) == (1, 1)
    asking.cancel()


class PickyVectors(FakeVectors):
    """Fails for its third vector, and again when that is tried alone."""

    def vector(
        self, unit: Connection, imsi: str, network_name: bytes | None
    ) -> AkaVector | Refusal:
        if self.made in (2, 5):
            self.made += 1
            raise RuntimeError("a bug")
        return super().vector(unit, imsi, network_name)


async def test_one_attempt_that_fails_does_not_stop_the_others() -> None:
    bench = Bench(vectors=PickyVectors())
    service, sent = bench.service(), []
    identity = AkaPrimePeer(usim(), REALM).identity()
    attributes = [text(Type.NAS_IDENTIFIER, NAS), *eap_message(identity)]
    for number in range(4):
        request = access_request(number, bytes([number] * 16), attributes, SECRET)
        service.receive(Origin(Listener.AUTH, source(0)), request)
    service.start(Transport.UDP, sent.append)
    await until(lambda: len(sent) == 3)
    await service.stop()
    assert service.metrics.dropped == {"internal_error": 1}
    assert (service.metrics.batches_failed, service.metrics.batches) == (2, 3)


class BrokenPolicy(FakePolicy):
    def authorise(self, unit: Connection, request: AuthorisationRequest) -> Grant:
        raise RuntimeError("a bug")


async def test_a_bug_behind_a_port_leaves_the_server_answering() -> None:
    bench = Bench(policy=BrokenPolicy())
    service, sent = bench.service(), []
    service.start(Transport.UDP, sent.append)
    phone = Phone(service, sent)
    _, message = await phone.ask(phone.peer.identity())
    answer = phone.peer.respond(message)
    assert answer is not None
    asking = asyncio.ensure_future(phone.ask(answer))
    await until(lambda: service.metrics.dropped == {"internal_error": 1})
    asking.cancel()
    assert len(service.server.sessions) == 0
    service.receive(Origin(Listener.ACCT, source(1)), interim(1))
    await until(lambda: service.metrics.accounting_responses == 1)
    await service.stop()


def test_a_new_client_is_known_within_the_time_to_live() -> None:
    bench, clock = Bench(), FakeMonotonic()
    cache = DirectoryCache(
        bench.directory, bench.units.read, monotonic=clock, ttl_s=0.5, entries_max=3
    )
    bench.directory.clients.clear()
    assert cache.client("127.0.0.1") is None
    bench.directory.clients.append(
        RadiusClient(client_id="c", prefix="127.0.0.1/32", secret=b"s", operator=VISITED)
    )
    assert cache.client("127.0.0.1") is None
    asked = bench.directory.asked
    clock.now_s += 0.5
    found = cache.client("127.0.0.1")
    assert found is not None
    assert cache.client("127.0.0.1") is found
    assert bench.directory.asked == asked + 1
    for number in range(10):
        cache.client(f"127.0.0.{number}")
        assert len(cache._clients) <= 3


async def test_a_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    server = UdpServer(Bench().service(), Bind(auth_port=0, acct_port=0))
    await server.start()
    taken = Bind(auth_port=0, acct_port=server.acct_address[1])
    second = UdpServer(Bench().service(), taken)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await server.stop()


def test_the_counters_have_stable_keys() -> None:
    assert list(Bench().service().metrics.as_mapping()) == [
        "accepts", "challenges", "rejects", "accounting_responses", "observations_new",
        "batches", "batches_failed", "holds_released", "duplicates", "eap_open",
        "eap_displaced", "tls_open", "tls_displaced", "eap", "left_out", "unrouted", "dropped",
        "class_refused", "statements", "payments", "silent", "terms_refused", "spans",
    ]  # fmt: skip
