"""What an engineer sees of RADIUS: one span a packet, one trace a conversation, nobody's name."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from tests.access.fakes import NAS, REALM, SECRET, Bench, usim
from tests.seen import Seen

from opencarrier.access import rounds
from opencarrier.access.model import Listener, Origin, Transport
from opencarrier.access.rounds import CONVERSATIONS_MAX, RecordedServer
from opencarrier.access.server import Send
from opencarrier.access.wire.authenticators import access_request, accounting_request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import eap_message, integer, parse, text
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.spine.spans import Asked, Kind, Root, Span

AT = ("127.0.0.1", 20_000)


class All:
    """Records every trace that is begun while it is open."""

    def __init__(self) -> None:
        self.traces: list[Seen] = []
        self.open = True
        self.counts: Counter[str] = Counter()

    def begin(self, root: Root, name: str, kind: Kind, asked: Asked | None = None) -> Span | None:
        assert (root, asked) == (Root.RADIUS, None)
        if not self.open:
            return None
        self.traces.append(Seen(name, kind))
        return self.traces[-1]


class Line:
    """A service, and what it answered."""

    def __init__(self, spans: All) -> None:
        self.service = Bench(spans=spans).service()
        self.answers: asyncio.Queue[Send] = asyncio.Queue()

    async def __aenter__(self) -> Line:
        self.service.start(Transport.UDP, self.answers.put_nowait)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.service.stop()

    async def ask(self, datagram: bytes, listener: Listener = Listener.AUTH):
        self.service.receive(Origin(listener, AT), datagram)
        return parse((await asyncio.wait_for(self.answers.get(), 5)).datagram)

    def send(self, datagram: bytes, listener: Listener = Listener.AUTH) -> None:
        self.service.receive(Origin(listener, AT), datagram)


def request(number: int, message: bytes, state: bytes | None = None) -> bytes:
    attributes = [text(Type.NAS_IDENTIFIER, NAS), text(Type.USER_NAME, f"0user@{REALM}")]
    attributes += eap_message(message)
    if state is not None:
        attributes.append((int(Type.STATE), state))
    return access_request(number, bytes([number]) * 16, attributes, SECRET)


def report(number: int, status: int = 1, *, nas: str = NAS) -> bytes:
    attributes = [
        integer(Type.ACCT_STATUS_TYPE, status),
        text(Type.ACCT_SESSION_ID, f"session {number}"),
        text(Type.NAS_IDENTIFIER, nas),
    ]
    return accounting_request(number, attributes, SECRET)


async def attach(line: Line, first: int = 1) -> None:
    phone = AkaPrimePeer(usim(), REALM)
    message, state = phone.identity(), None
    for number in range(first, first + 10):
        reply = await line.ask(request(number, message, state))
        if reply.code != Code.ACCESS_CHALLENGE:
            assert reply.code == Code.ACCESS_ACCEPT
            return
        message = phone.respond(reply.joined(Type.EAP_MESSAGE) or b"") or b""
        state = reply.get(Type.STATE)


async def test_a_conversation_is_one_trace_and_accounting_one_each() -> None:
    spans = All()
    async with Line(spans) as line:
        await attach(line)
        await line.ask(report(1), Listener.ACCT)
        line.send(report(2, nas="elsewhere"), Listener.ACCT)
    conversation, stored, refused = spans.traces
    assert conversation.name == "Access-Request"
    assert conversation.kind is Kind.SERVER
    assert conversation.ended == ""
    assert conversation.noted["opencarrier.radius.reply"] == "Access-Challenge"
    assert conversation.noted["opencarrier.eap.type"] == "identity"
    last = conversation.below[-1]
    assert (last.name, last.ended) == ("Access-Request", "")
    assert last.noted["opencarrier.radius.reply"] == "Access-Accept"
    assert [one.name for one in last.below] == ["database write"]
    assert all(one.ended == "" for one in last.below)
    assert (stored.name, stored.noted["opencarrier.accounting"]) == ("Accounting-Request", "start")
    assert stored.noted["opencarrier.radius.reply"] == "Accounting-Response"
    assert (refused.ended, refused.noted.get("opencarrier.radius.reply")) == (
        "nas_identifier_refused",
        None,
    )


async def test_what_was_not_drawn_at_its_beginning_is_not_recorded_later() -> None:
    spans = All()
    spans.open = False
    async with Line(spans) as line:
        message = AkaPrimePeer(usim(), REALM).identity()
        reply = await line.ask(request(1, message))
        spans.open = True
        line.send(request(2, b"\x02\x01\x00\x04", reply.get(Type.STATE)))
    assert spans.traces == []


async def test_garbage_repeats_and_states_sent_again_are_not_recorded() -> None:
    """A client that is known cannot make us record more than its conversations."""
    spans = All()
    async with Line(spans) as line:
        line.send(b"garbage")
        line.send(report(9)[:-1] + b"x", Listener.ACCT)
        assert spans.traces == []
        reply = await line.ask(request(1, AkaPrimePeer(usim(), REALM).identity()))
        await line.ask(request(1, AkaPrimePeer(usim(), REALM).identity()))
        for number in range(2, 7):
            line.send(request(number, b"\x02\x01\x00\x04", reply.get(Type.STATE)))
    (one,) = spans.traces
    assert len(one.below) == 2, "its own work, and one packet with its State"


async def test_a_rejection_says_why_and_is_no_failure_of_ours() -> None:
    spans = All()
    async with Line(spans) as line:
        reply = await line.ask(
            access_request(1, bytes(16), [text(Type.NAS_IDENTIFIER, NAS)], SECRET)
        )
    assert reply.code == Code.ACCESS_REJECT
    (one,) = spans.traces
    assert (one.noted["opencarrier.reason"], one.ended) == ("eap_missing", "")


async def test_conversations_that_are_left_open_take_bounded_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds, "CONVERSATIONS_MAX", 3)
    assert CONVERSATIONS_MAX == 1_024
    spans = All()
    async with Line(spans) as line:
        for number in range(5):
            await line.ask(request(number, AkaPrimePeer(usim(), REALM).identity()))
        assert isinstance(line.service.server, RecordedServer)
        assert len(line.service.server._conversations) == 3


def test_where_nothing_is_recorded_the_server_is_the_bare_one() -> None:
    assert type(Bench().service().server) is rounds.AccessServer
