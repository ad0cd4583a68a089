"""The requests that are under way on one socket or connection, by identifier: sans-IO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.wire.authenticators import check_response, request
from opencarrier.access.wire.dictionary import Code
from opencarrier.access.wire.radius import (
    ATTRIBUTE_VALUE_OCTETS_MAX,
    AUTHENTICATOR_OCTETS,
    Attribute,
    Packet,
    is_fitting,
    parse,
)
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError

IDENTIFIERS = 256
RANDOM = (Code.ACCESS_REQUEST, Code.STATUS_SERVER)

_REPLIES = {
    Code.ACCESS_REQUEST: (Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE),
    Code.ACCOUNTING_REQUEST: (Code.ACCOUNTING_RESPONSE,),
    Code.STATUS_SERVER: (Code.ACCESS_ACCEPT, Code.ACCOUNTING_RESPONSE),
    Code.DISCONNECT_REQUEST: (Code.DISCONNECT_ACK, Code.DISCONNECT_NAK),
    Code.COA_REQUEST: (Code.COA_ACK, Code.COA_NAK),
}

Done = Callable[[Reply | Lost], None]


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be asked; `done` is called once with what came of it."""

    code: int
    attributes: Sequence[Attribute]
    authenticator: bytes
    done: Done = field(repr=False)

    @classmethod
    def of(
        cls,
        code: int,
        attributes: Sequence[Attribute],
        authenticator: bytes | None,
        entropy: Entropy,
        done: Done,
    ) -> Question:
        """Make one; a random authenticator is drawn where the code has one and none was given."""
        assert code in _REPLIES, "only requests are asked"
        assert is_fitting(attributes), "a packet carries it, or nobody is asked"
        assert all(len(value) <= ATTRIBUTE_VALUE_OCTETS_MAX for _, value in attributes)
        assert authenticator is None or code in RANDOM, "others compute their authenticator"
        if authenticator is None and code in RANDOM:
            authenticator = entropy.octets("access/request-authenticator", AUTHENTICATOR_OCTETS)
        return cls(code, attributes, authenticator or bytes(AUTHENTICATOR_OCTETS), done)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A request with its identifier, as it is sent and sent again."""

    question: Question
    identifier: int
    octets: bytes


class Identifiers:
    """At most 256 requests; a free identifier is one that has been free the longest."""

    def __init__(self, secret: bytes, *, required: bool) -> None:
        """`required`: a reply to an Access-Request without Message-Authenticator is refused."""
        self._secret = secret
        self._required = required
        self._free = dict.fromkeys(range(IDENTIFIERS))
        self._under_way: dict[int, UnderWay] = {}
        self._given_up: dict[int, UnderWay] = {}

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    @property
    def is_full(self) -> bool:
        """Whether no identifier is free."""
        return not self._free

    def begin(self, question: Question) -> UnderWay:
        """Give a request its identifier; one has to be free."""
        identifier = next(iter(self._free))
        octets = request(
            question.code,
            identifier,
            question.attributes,
            self._secret,
            authenticator=question.authenticator,
        )
        del self._free[identifier]
        one = self._under_way[identifier] = UnderWay(question, identifier, octets)
        return one

    def reply(self, octets: bytes) -> UnderWay | None:
        """Take a reply: the request it ends, None for one nobody waits for.

        One to a request that was given up is such, also when its identifier is another's by now.
        `PeerError` where it is malformed, of the wrong code or not signed by the server; the
        request then still waits.
        """
        packet = parse(octets)
        one = self._under_way.get(packet.identifier)
        if one is None:
            return None
        try:
            self._check(octets, packet, one)
        except PeerError:
            if self._is_late(octets, packet):
                return None
            raise
        self._end(one)
        one.question.done(Reply(packet, one.octets[4:20], self._secret))
        return one

    def _check(self, octets: bytes, packet: Packet, one: UnderWay) -> None:
        if packet.code not in _REPLIES[Code(one.question.code)]:
            raise PeerError("reply_code", f"code {packet.code}")
        # a sign of life lets nobody in, and FreeRADIUS before 3.2.5 leaves it without one
        required = self._required and one.question.code != Code.STATUS_SERVER
        check_response(octets, packet, self._secret, one.octets[4:20], required=required)

    def _is_late(self, octets: bytes, packet: Packet) -> bool:
        one = self._given_up.pop(packet.identifier, None)
        if one is None:
            return False
        try:
            self._check(octets, packet, one)
        except PeerError:
            return False
        return True

    def is_under_way(self, one: UnderWay) -> bool:
        """Whether a request still waits for its reply."""
        return self._under_way.get(one.identifier) is one

    def lose(self, one: UnderWay, reason: Lost) -> bool:
        """Give one up, if it is still under way; its identifier is free again."""
        if not self.is_under_way(one):
            return False
        self._end(one)
        self._given_up[one.identifier] = one
        one.question.done(reason)
        return True

    def lose_all(self, reason: Lost) -> None:
        """Give all up."""
        for one in self.under_way():
            self.lose(one, reason)

    def under_way(self) -> Sequence[UnderWay]:
        """All that wait, the oldest first."""
        return list(self._under_way.values())

    def _end(self, one: UnderWay) -> None:
        del self._under_way[one.identifier]
        self._free[one.identifier] = None
