"""Webhooks over real sockets: a foreign receiver that verifies, and receivers that misbehave."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook
from tests.app.scene import scene

from opencarrier.app import courier as module
from opencarrier.app.bootstrap.installation import Real
from opencarrier.app.config import ConfigError
from opencarrier.app.courier import HEAD_OCTETS_MAX, Courier, networks_of
from opencarrier.kernel.clock import FixedClock
from opencarrier.spine.notices import Notice, NoticeKind
from opencarrier.spine.parties import PartyId
from opencarrier.webhooks.model import (
    ANSWER_OCTETS_MAX,
    INSTALLATION,
    DeliveryState,
    HookReason,
    Obstacle,
)
from opencarrier.webhooks.service import Shown


class Receiver:
    """A server that notes what it is sent and answers as it was told to."""

    def __init__(self, answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n", *, stay=False) -> None:
        self.answer, self.stay = answer, stay
        self.seen: list[tuple[dict[str, str], bytes]] = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/in?x=1"
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["Content-Length"]))
        self.seen.append(({**headers, "line": head[0]}, body))
        writer.write(self.answer)
        await writer.drain()
        if self.stay:
            await reader.read()
        writer.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("courier"), webhook_networks="127.0.0.0/8") as made:
        now_us = int(datetime.now(UTC).timestamp()) * 1_000_000
        made.place.base.real = Real(FixedClock(now_us), made.place.base.entropy)
        yield made.place.base


@pytest.fixture(autouse=True)
def anew(base):
    yield
    with base.store.write() as unit:
        for one in base.webhooks.endpoints(unit, None, limit=100):
            base.webhooks.remove(unit, one)


def add(base, url) -> Shown:
    with base.store.write() as unit:
        made = base.webhooks.add(unit, INSTALLATION, url, (), plain=True)
    assert isinstance(made, Shown), made
    return made


def tell(base, number=1):
    at_us = base.clock.now_us()
    about = {"sequence": number}
    notice = Notice(kind=NoticeKind.CYCLE_SETTLED, parties=frozenset(), about=about, at_us=at_us)
    with base.store.write() as unit:
        base.webhooks.tell(unit, [notice])


def deliveries(base, shown):
    with base.store.read() as unit:
        return list(base.webhooks.deliveries(unit, shown.endpoint, before=None, limit=100))


async def carry(base, **more):
    courier = Courier(base, **more)
    await courier.look()
    await courier.drain()


numbers = iter(range(1, 10_000))


async def sent(base, receiver: Receiver, **more):
    """Send one message to a receiver; return how the delivery stands."""
    async with receiver:
        shown = add(base, receiver.url)
        tell(base, next(numbers))
        await carry(base, **more)
    return shown, deliveries(base, shown)[0]


async def test_a_foreign_receiver_verifies_what_comes(base):
    receiver = Receiver()
    shown, row = await sent(base, receiver)
    ((headers, body),) = receiver.seen
    told = Webhook(shown.secret).verify(body, headers)
    assert told["type"] == "cycle.settled"
    assert headers["line"] == "POST /in?x=1 HTTP/1.1"
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-id"] == row.message
    assert (row.state, row.status, row.attempts) == (DeliveryState.DELIVERED, 204, 1)


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (b"HTTP/1.1 500 Oops\r\n\r\nno\x00 luck", 500, "no  luck"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 302, ""),
        (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 400 Bad\r\n\r\nx", 400, "x"),
        (b"HTTP/1.1 100 Go on\r\n\r\n" * 9, 0, "does not come to an end"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 0, "not HTTP/1.1"),
        (b"HTTP/1.1 2xx OK\r\n\r\n", 0, "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * HEAD_OCTETS_MAX + b"\r\n", 0, "a head of more"),
        (b"", 0, "closed before an answer"),
        (b"HTTP/1.1 503 No\r\n\r\n" + b"y" * 100_000, 503, "y" * ANSWER_OCTETS_MAX),
    ],
)
async def test_whatever_is_answered_is_an_outcome_and_is_tried_again(base, answer, status, says):
    """No redirection is followed, and no answer is read further than it is kept."""
    receiver = Receiver(answer)
    _, row = await sent(base, receiver)
    assert (row.state, row.status) == (DeliveryState.WAITING, status)
    assert says in row.answer
    assert len(row.answer) <= ANSWER_OCTETS_MAX
    assert len(receiver.seen) == 1


async def test_who_does_not_answer_in_time_is_left(base, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPT_S", 0.2)
    _, row = await sent(base, Receiver(b"HTTP/1.1 200 OK\r\n", stay=True))
    assert (row.state, row.status) == (DeliveryState.WAITING, 0)
    assert row.obstacle is Obstacle.NO_ANSWER


async def test_an_answer_that_drips_counts_by_its_status(base, monkeypatch):
    """The head came: what follows is waited for a moment, and not at all beyond its length."""
    monkeypatch.setattr(module, "CONTENT_S", 0.2)
    _, row = await sent(base, Receiver(b"HTTP/1.1 200 OK\r\n\r\nbegun", stay=True))
    assert (row.state, row.status, row.answer) == (DeliveryState.DELIVERED, 200, "begun")
    monkeypatch.setattr(module, "CONTENT_S", 60)
    kept_open = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    _, row = await sent(base, Receiver(kept_open, stay=True))
    assert (row.state, row.status, row.answer) == (DeliveryState.DELIVERED, 200, "ok")


async def test_a_dead_receiver_holds_up_nobody(base, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPT_S", 0.5)
    dead, alive = Receiver(b"", stay=True), Receiver()
    async with dead, alive:
        shown = [add(base, one.url) for one in (dead, alive)]
        for _ in range(5):
            tell(base, next(numbers))
        courier = Courier(base)
        await courier.look()
        while len(alive.seen) < 5:
            await asyncio.sleep(0.01)
        assert len(dead.seen) <= 1
        await courier.drain()
    assert {row.state for row in deliveries(base, shown[1])} == {DeliveryState.DELIVERED}


async def test_one_endpoint_has_its_share_of_a_turn(base, monkeypatch):
    monkeypatch.setattr(module, "IN_A_ROW_MAX", 2)
    async with Receiver() as receiver:
        add(base, receiver.url)
        for _ in range(3):
            tell(base, next(numbers))
        await carry(base)
        assert len(receiver.seen) == 2
        await carry(base)
        assert len(receiver.seen) == 3


async def test_those_that_answer_slowly_hold_up_nobody(base, monkeypatch):
    """A turn ends in time, too; and whose last one is longest ago comes first."""
    monkeypatch.setattr(module, "TURN_S", 0.0)
    monkeypatch.setattr(module, "AT_ONCE_MAX", 1)
    receivers = Receiver(), Receiver(), Receiver()
    async with receivers[0], receivers[1], receivers[2]:
        for one in receivers:
            add(base, one.url)
        for _ in range(2):
            tell(base, next(numbers))
        courier = Courier(base)
        for seen in (1, 2):
            for _ in receivers:
                await courier.look()
                await courier.drain()
            assert [len(one.seen) for one in receivers] == [seen] * 3


async def test_names_are_asked_for_in_threads_that_nobody_else_waits_for(base, monkeypatch):
    threads = []

    def asked(host, port, **_):
        threads.append(threading.current_thread().name)
        return [(0, 0, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(module.socket, "getaddrinfo", asked)
    courier = Courier(base)
    assert await courier._resolve("silent.example", 443) == ["127.0.0.1"]
    assert threads[0].startswith("courier-names")


async def test_so_many_endpoints_are_sent_to_at_once(base, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE_MAX", 2)
    async with Receiver() as receiver:
        for _ in range(3):
            add(base, receiver.url)
        tell(base, next(numbers))
        await carry(base)
        assert len(receiver.seen) == 2


@pytest.mark.parametrize("networks", ["", "10.0.0.0/8"])
async def test_nothing_is_sent_to_what_is_not_public(base, networks, monkeypatch):
    closed = replace(base.settings, webhook_networks=networks)
    monkeypatch.setattr(base, "settings", closed)
    receiver = Receiver()
    _, row = await sent(base, receiver)
    assert receiver.seen == []
    assert (row.status, row.obstacle) == (0, Obstacle.ADDRESS)


async def test_a_name_that_also_leads_inside_is_not_connected_to(base):
    """One public address does not carry a private one; and the name is not asked a second time."""
    asked = []

    async def resolve(host, port):
        asked.append(host)
        return ["127.0.0.1", "169.254.169.254"]

    receiver = Receiver()
    _, row = await sent(base, receiver, resolve=resolve)
    assert receiver.seen == []
    assert asked == ["127.0.0.1"]
    assert row.obstacle is Obstacle.ADDRESS


async def test_it_connects_to_the_address_that_was_looked_at(base):
    async def resolve(host, port):
        return ["127.0.0.1"]

    async with Receiver() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        shown = add(base, f"http://no-such-name.invalid:{port}/")
        tell(base, next(numbers))
        await carry(base, resolve=resolve)
    ((headers, _),) = receiver.seen
    assert headers["Host"] == f"no-such-name.invalid:{port}"
    assert deliveries(base, shown)[0].state is DeliveryState.DELIVERED


async def test_a_subscriber_leads_nobody_into_our_networks(base):
    """What the installation's own machines may be at is no place for what anybody types."""
    subscriber = PartyId("sub_" + "1" * 32)
    with base.store.write() as unit:
        plain = base.webhooks.add(unit, subscriber, "http://127.0.0.1:1/", (), plain=True)
        shown = base.webhooks.add(unit, subscriber, "https://127.0.0.1:1/", (), plain=True)
        assert plain.reason is HookReason.NOT_HTTPS
        base.webhooks.ping(unit, shown.endpoint)
    await carry(base)
    assert deliveries(base, shown)[0].obstacle is Obstacle.ADDRESS


async def test_what_is_opened_for_one_party_is_for_no_other(base, monkeypatch):
    """Neither the installation's networks nor a rival's are a way inside for an operator."""
    mine, rival = (PartyId("op_" + digit * 32) for digit in "12")
    opened = f"127.0.0.0/8 {mine}=127.0.0.0/8 {rival}=10.0.0.0/8"
    monkeypatch.setattr(base, "settings", replace(base.settings, webhook_networks=opened))
    async with Receiver() as receiver:
        for party in (mine, rival):
            with base.store.write() as unit:
                shown = base.webhooks.add(unit, party, receiver.url, (), plain=True)
                base.webhooks.ping(unit, shown.endpoint)
            await carry(base)
            is_heard = deliveries(base, shown)[0].state is DeliveryState.DELIVERED
            assert is_heard is (party == mine)
    for text in (f"{PartyId('sub_' + '1' * 32)}=10.0.0.0/8", "x=10.0.0.0/8", "=10.0.0.0/8"):
        with pytest.raises(ConfigError, match="no operator or host"):
            networks_of(replace(base.settings, webhook_networks=text))


async def test_a_removed_endpoint_is_no_concern_any_more(base):
    async with Receiver() as receiver:
        shown = add(base, receiver.url)
        tell(base, next(numbers))
        with base.store.write() as unit:
            attempt = base.webhooks.next(unit, shown.endpoint.endpoint)
            base.webhooks.remove(unit, shown.endpoint)
            base.webhooks.tried(unit, attempt, module.Outcome(status=200))
        await carry(base)
        assert receiver.seen == []


def test_a_setting_that_is_no_network_is_told(base):
    with pytest.raises(ConfigError, match="webhook_networks"):
        networks_of(replace(base.settings, webhook_networks="everything"))
