"""What an engineer sees of RADIUS: a span for each packet that is recorded, of its work and wait.

A conversation of EAP is one trace: what decides is its first Access-Request, and each further round
is a span below that one's. Only what a known client signed is recorded, no repeat, no garbage.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from opencarrier.access import replies
from opencarrier.access.model import Round
from opencarrier.access.server import AccessServer, Agree, Effect, Forward, Need, Store, Ticket
from opencarrier.access.upstream.model import Reply
from opencarrier.access.wire import eap
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.spine.spans import UNRECORDED, Kind, Root, Span, Spans

CONVERSATIONS_MAX: Final = 1_024
"""Recorded conversations that are remembered; the longest begun gives way, its later rounds too."""

_TYPE_AT: Final = 4
"""Where an EAP-Response has its method (RFC 3748 section 4)."""

_ACCESS = Code.ACCESS_REQUEST
_REPLY = {
    Code.ACCESS_ACCEPT: "Access-Accept",
    Code.ACCESS_REJECT: "Access-Reject",
    Code.ACCESS_CHALLENGE: "Access-Challenge",
    Code.ACCOUNTING_RESPONSE: "Accounting-Response",
}


def server_for(spans: Spans, **parts: Any) -> AccessServer:
    """Return the server of these parts: the bare one where nothing is recorded."""
    if spans is UNRECORDED:
        return AccessServer(**parts)
    return RecordedServer(spans, **parts)


def writing(needs: Sequence[Need | Agree], stores: Sequence[Store]) -> list[Span]:
    """Begin a span for each recorded packet whose work is now done in one transaction."""
    begun = []
    for one in (*needs, *stores):
        if one.ticket.round is not None:
            span = one.ticket.round.span.child("database write")
            span.note("opencarrier.batch", len(needs) + len(stores))
            begun.append(span)
    return begun


class RecordedServer(AccessServer):
    """The server, each packet a span that ends with its reply or with why there is none."""

    def __init__(self, spans: Spans, **parts: Any) -> None:
        super().__init__(**parts)
        self._spans = spans
        self._conversations: OrderedDict[bytes, Span] = OrderedDict()
        self._at_hand: Round | None = None

    def receive(self, *arguments: Any, **words: Any) -> list[Effect]:
        """Take a packet; nothing is recorded before it is known to be a client's."""
        self._at_hand = None
        return super().receive(*arguments, **words)

    def answer(self, ticket: Ticket, answer: eap.Answer, now_s: float) -> list[Effect]:
        """Take the home's answer."""
        self._at_hand = ticket.round
        return super().answer(ticket, answer, now_s)

    def brought_back(self, ticket: Ticket, reply: Reply, target: Any) -> list[Effect]:
        """Answer with what another home said."""
        self._at_hand = ticket.round
        return super().brought_back(ticket, reply, target)

    def lost(self, ticket: Ticket, reason: str) -> list[Effect]:
        """Give a request up."""
        self._at_hand = ticket.round
        return super().lost(ticket, reason)

    def _access_request(self, ticket: Ticket, now_s: float) -> list[Effect]:
        self._begin(ticket, self._first(ticket.packet.get(Type.STATE)))
        if ticket.round is not None:
            _say_method(ticket.round.span, ticket)
        effects = super()._access_request(ticket, now_s)
        if ticket.round is not None and any(isinstance(one, Forward) for one in effects):
            ticket.round.span.note("opencarrier.radius.passed_on", True)
        return effects

    def _accounting_request(self, ticket: Ticket, datagram: bytes, now_us: int) -> list[Effect]:
        self._begin(ticket, self._spans.begin(Root.RADIUS, "Accounting-Request", Kind.SERVER))
        if ticket.round is not None:
            _say_status(ticket.round.span, ticket)
        return super()._accounting_request(ticket, datagram, now_us)

    def _first(self, state: bytes | None) -> Span | None:
        """Draw for a conversation that begins; one that goes on is recorded as its beginning was.

        What remembers it is taken out, so that a State sent twice is recorded once.
        """
        if state is None:
            return self._spans.begin(Root.RADIUS, "Access-Request", Kind.SERVER)
        return self._conversations.pop(state, None)

    def _begin(self, ticket: Ticket, first: Span | None) -> None:
        if first is not None:
            begins = ticket.packet.get(Type.STATE) is None or ticket.packet.code != _ACCESS
            span = first if begins else first.child("Access-Request", Kind.SERVER)
            span.note("opencarrier.radius.transport", ticket.origin.transport.value)
            ticket.round = Round(span, first)
        self._at_hand = ticket.round

    def _reject(
        self,
        ticket: Ticket,
        reason: str,
        *,
        public: str = "authentication_failed",
        identifier: int = 0,
    ) -> list[Effect]:
        if ticket.round is not None:
            ticket.round.span.note("opencarrier.reason", reason)
        return super()._reject(ticket, reason, public=public, identifier=identifier)

    def _reply(self, ticket: Ticket, code: Code, attributes: replies.Attributes) -> list[Effect]:
        self._at_hand = recorded = ticket.round
        effects = super()._reply(ticket, code, attributes)
        if recorded is not None:
            recorded.span.note("opencarrier.radius.reply", _REPLY[code])
            recorded.span.end()
            if code is Code.ACCESS_CHALLENGE:
                self._goes_on(recorded.first, attributes)
        return effects

    def _goes_on(self, first: Span, attributes: replies.Attributes) -> None:
        """Remember a conversation by the State that its next request brings."""
        state = next((value for kind, value in attributes if kind == Type.STATE), None)
        if state is not None:
            self._conversations[state] = first
            if len(self._conversations) > CONVERSATIONS_MAX:
                self._conversations.popitem(last=False)

    def _drop(self, reason: str, *, unsound: bool = False) -> list[Effect]:
        if self._at_hand is not None:
            self._at_hand.span.end(reason)
        return super()._drop(reason, unsound=unsound)


def _say_method(span: Span, ticket: Ticket) -> None:
    message = ticket.packet.get(Type.EAP_MESSAGE) or b""
    if len(message) <= _TYPE_AT:
        return
    try:
        span.note("opencarrier.eap.type", eap.EapType(message[_TYPE_AT]).name.lower())
    except ValueError:
        span.note("opencarrier.eap.type", message[_TYPE_AT])


def _say_status(span: Span, ticket: Ticket) -> None:
    value = ticket.packet.get(Type.ACCT_STATUS_TYPE) or b""
    try:
        name = AcctStatus(int.from_bytes(value)).name.lower()
    except ValueError:
        name = "unknown"
    span.note("opencarrier.accounting", name)
