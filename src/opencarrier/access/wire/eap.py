"""EAP framing, the authenticator's transition table and the bounded table of open sessions.

A method is a machine behind the `Method` protocol; what it needs from outside it asks for as an
effect and is fed the answer. The outer identity chooses the first method, a NAK of the peer another
one. Sources: RFC 3748, RFC 3579, RFC 4187 and 9048 (identities).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from typing import Final, NamedTuple, Protocol

from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.access import AkaVector, Credential, Grant

EAP_HEADER_OCTETS = 4
EAP_OCTETS_MAX = 4000
IDENTITY_OCTETS_MAX = 253
SESSION_TTL_S = 30.0
SESSIONS_MAX = 16_384
SESSIONS_PER_CLIENT_MAX = 4_096


class EapCode(IntEnum):
    """What an EAP packet is (RFC 3748 section 4)."""

    REQUEST = 1
    RESPONSE = 2
    SUCCESS = 3
    FAILURE = 4


class EapType(IntEnum):
    """Method types (RFC 3748 section 5, RFC 5216, 5281, 4187 and 9048)."""

    IDENTITY = 1
    NOTIFICATION = 2
    NAK = 3
    TLS = 13
    TTLS = 21
    AKA = 23
    AKA_PRIME = 50


_CODES: Final[Mapping[int, EapCode]] = {int(code): code for code in EapCode}


class EapPacket(NamedTuple):
    """One EAP packet; `octets` is all of it, for a method's own check of integrity."""

    code: EapCode
    identifier: int
    type: int | None
    data: bytes
    octets: bytes


def parse_eap(message: bytes) -> EapPacket:
    """Read an EAP packet, or raise `PeerError` (RFC 3748 section 4); the length must be exact."""
    if len(message) < EAP_HEADER_OCTETS or len(message) > EAP_OCTETS_MAX:
        raise PeerError("eap_size", f"{len(message)} octets")
    if int.from_bytes(message[2:4], "big") != len(message):
        raise PeerError("eap_length", offset=2)
    code = _CODES.get(message[0])
    if code is None:
        raise PeerError("eap_code", f"code {message[0]}", offset=0)
    if code is EapCode.SUCCESS or code is EapCode.FAILURE:
        if len(message) != EAP_HEADER_OCTETS:
            raise PeerError("eap_length", offset=2)
        return EapPacket(code, message[1], None, b"", message)
    if len(message) == EAP_HEADER_OCTETS:
        raise PeerError("eap_type_missing", offset=4)
    return EapPacket(code, message[1], message[4], message[5:], message)


def encode_eap(
    code: EapCode, identifier: int, eap_type: int | None = None, data: bytes = b""
) -> bytes:
    """Write an EAP packet."""
    body = b"" if eap_type is None else bytes((eap_type,)) + data
    length = EAP_HEADER_OCTETS + len(body)
    assert length <= EAP_OCTETS_MAX
    return bytes((code, identifier)) + length.to_bytes(2, "big") + body


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this EAP-Request to the peer and wait for its response."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class NeedVector:
    """Ask the home's authentication centre for a vector.

    It is bound to the network's name for EAP-AKA'; EAP-AKA names none.
    """

    imsi: str
    realm: str
    network_name: bytes | None


@dataclass(frozen=True, slots=True)
class NeedResync:
    """Hand AUTS to the authentication centre, then ask it for a fresh vector."""

    imsi: str
    realm: str
    network_name: bytes | None
    rand: bytes
    auts: bytes


@dataclass(frozen=True, slots=True)
class NeedPassword:
    """Ask the home for what a user's password is compared with; answered by `Secret`.

    `proven`: the peer knew it once, as its resumed session shows; this is no guess.
    """

    username: str
    realm: str
    proven: bool = False


@dataclass(frozen=True, slots=True)
class Authorise:
    """The peer is proven: ask for a quote and a hold.

    `emsk` is the key that only the peer and the home know (RFC 5247): not the access point.
    """

    credential: Credential
    realm: str
    emsk: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Succeed:
    """Send EAP-Success; the MSK (64 octets) keys the link.

    `resumed` where an earlier authentication carried this one.
    """

    grant: Grant
    msk: bytes = field(repr=False)
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """Send EAP-Failure; `reason` is for counters and the Reply-Message."""

    reason: str


Need = NeedVector | NeedResync | NeedPassword | Authorise
"""What only the home can answer."""

Effect = Ask | Need | Succeed | Fail


@dataclass(frozen=True, slots=True)
class Secret:
    """The answer to `NeedPassword`."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """The home's "no" to a need; `permanent` where asking again will not help.

    `public` says that the reason may be told to the access point: it must not disclose who is a
    subscriber.
    """

    reason: str
    permanent: bool = False
    public: bool = False


Answer = AkaVector | Secret | Grant | Refused
"""What the world feeds back: a vector, a password, a grant, or a refusal."""


class Method(Protocol):
    """An EAP method as a machine: each call returns the next machine and one effect.

    `identifier` is the EAP identifier the next request would carry. `PeerError` from `receive`
    means the response is dropped: a machine that cannot go on from there ends itself by `Fail`.
    """

    @property
    def rounds_max(self) -> int:
        """How many requests one attempt may cost."""
        ...

    def start(self, identity: bytes, identifier: int) -> tuple[Method, Effect]:
        """Begin with the identity of the EAP-Response/Identity."""
        ...

    def receive(self, response: EapPacket, identifier: int) -> tuple[Method, Effect]:
        """Take a response of this method's type."""
        ...

    def answer(self, answer: Answer, identifier: int) -> tuple[Method, Effect]:
        """Take the answer to a need."""
        ...


class Link(NamedTuple):
    """How a peer is reached: by which RADIUS client, and how long an EAP packet may be there."""

    client_id: str
    octets_max: int = EAP_OCTETS_MAX


@dataclass(frozen=True, slots=True)
class Methods:
    """The methods a server offers, the preferred one first, and what makes their machines.

    A machine is made for a link: heavy ones are counted by its client.
    """

    factories: Mapping[int, Callable[[Link], Method]]

    def make(self, kind: int, link: Link) -> Method:
        """Begin a method."""
        return self.factories[kind](link)

    def first(self, identity: bytes) -> int:
        """The method an outer identity tells, else the preferred one.

        3GPP identities begin with a digit that names theirs (RFC 9048 section 3 and 5.3.1).
        """
        told = IDENTITY_PREFIXES.get(identity[:1], 0)
        return told if told in self.factories else next(iter(self.factories))

    def other(self, wanted: bytes, tried: tuple[int, ...]) -> int | None:
        """The first method of a peer's NAK that is offered and was not tried yet."""
        return next((k for k in wanted if k in self.factories and k not in tried), None)


IDENTITY_PREFIXES: Final[Mapping[bytes, int]] = {
    **dict.fromkeys((b"0", b"2", b"4"), EapType.AKA),
    **dict.fromkeys((b"6", b"7", b"8", b"\x00"), EapType.AKA_PRIME),
}
"""Permanent identities, pseudonyms and identities of fast re-authentication, of both methods.

A NUL begins an encrypted permanent identity, of either.
"""


class Phase(StrEnum):
    """Whom a session waits for."""

    IDENTITY = "identity"
    METHOD = "method"
    HOME = "home"
    CLOSED = "closed"


class Event(StrEnum):
    """What a response of the peer is, to the authenticator."""

    IDENTITY = "identity"
    METHOD = "method"
    NAK = "nak"
    OTHER = "other"


class Step(Enum):
    """What the authenticator does with it."""

    START = "start"
    CONTINUE = "continue"
    SWITCH = "switch"


TRANSITIONS: Final[dict[tuple[Phase, Event], Step]] = {
    (Phase.IDENTITY, Event.IDENTITY): Step.START,
    (Phase.METHOD, Event.METHOD): Step.CONTINUE,
    (Phase.METHOD, Event.NAK): Step.SWITCH,
}
"""Every transition there is; a response with none is dropped and changes nothing."""

_PHASE_AFTER: Final[dict[type, Phase]] = {
    Ask: Phase.METHOD,
    NeedVector: Phase.HOME,
    NeedResync: Phase.HOME,
    NeedPassword: Phase.HOME,
    Authorise: Phase.HOME,
    Succeed: Phase.CLOSED,
    Fail: Phase.CLOSED,
}


@dataclass(slots=True)
class Session:
    """One authentication attempt, known to the access point by `state`.

    `tried` are the types of the methods begun, the last of them under way; `rounds` are its
    requests. `granted` is the authorisation that its Access-Accept is still owed for.
    """

    state: bytes
    client_id: str
    methods: Methods
    identifier: int
    expires_s: float
    phase: Phase = Phase.IDENTITY
    rounds: int = 0
    identity: bytes = b""
    tried: tuple[int, ...] = ()
    method: Method | None = None
    realm: str = ""
    reply_message: str = "authentication_failed"
    octets_max: int = EAP_OCTETS_MAX
    granted: bytes | None = None

    def ask_identity(self) -> bytes:
        """The EAP-Request/Identity that answers an EAP-Start (RFC 3579 section 2.1)."""
        assert self.phase is Phase.IDENTITY
        self.rounds += 1
        return encode_eap(EapCode.REQUEST, self.identifier, EapType.IDENTITY)

    def receive(self, packet: EapPacket) -> Effect:
        """Take the peer's packet and say what to do; `PeerError` where it has no place here."""
        event = self._event(packet)
        step = TRANSITIONS.get((self.phase, event))
        if step is None:
            raise PeerError(f"eap_unexpected_{event.value}", f"in phase {self.phase.value}")
        if step is Step.START:
            if len(packet.data) > IDENTITY_OCTETS_MAX:
                raise PeerError("eap_identity_size")
            self.identity = packet.data
            return self._begin(self.methods.first(packet.data))
        assert self.method is not None
        if step is Step.SWITCH:
            return self._switch(self.method, packet.data)
        return self._move(*self.method.receive(packet, self._next_identifier))

    def answer(self, answer: Answer) -> Effect:
        """Take the home's answer and say what to do."""
        if isinstance(answer, Grant):
            self.granted = answer.authorisation_id
        assert self.phase is Phase.HOME
        assert self.method is not None
        if isinstance(answer, Refused) and answer.public:
            self.reply_message = answer.reason
        return self._move(*self.method.answer(answer, self._next_identifier))

    @property
    def _next_identifier(self) -> int:
        return (self.identifier + 1) % 256

    def _event(self, packet: EapPacket) -> Event:
        if packet.code is not EapCode.RESPONSE:
            raise PeerError("eap_code", packet.code.name.lower())
        if packet.identifier != self.identifier:
            raise PeerError("eap_identifier", f"{packet.identifier} is not {self.identifier}")
        if self.tried and packet.type == self.tried[-1]:
            return Event.METHOD
        if packet.type == EapType.IDENTITY:
            return Event.IDENTITY
        return Event.NAK if packet.type == EapType.NAK else Event.OTHER

    def _begin(self, kind: int) -> Effect:
        self.tried = (*self.tried, kind)
        self.rounds = 0
        method = self.methods.make(kind, Link(self.client_id, self.octets_max))
        return self._move(*method.start(self.identity, self._next_identifier))

    def _switch(self, method: Method, wanted: bytes) -> Effect:
        """A NAK may answer a method's first request only (RFC 3748 section 5.3.1)."""
        other = self.methods.other(wanted, self.tried) if self.rounds == 1 else None
        if other is None:
            return self._move(method, Fail("method_refused"))
        return self._begin(other)

    def _move(self, method: Method, effect: Effect) -> Effect:
        if isinstance(effect, Ask):
            self.rounds += 1
            self.identifier = self._next_identifier
            if self.rounds > method.rounds_max:
                effect = Fail("rounds_exceeded")
        elif isinstance(effect, Authorise):
            self.realm = effect.realm
        self.method = method
        self.phase = _PHASE_AFTER[type(effect)]
        return effect


class SessionTable:
    """Open sessions, bounded in number altogether and per client, and in time.

    Where there is no more room the oldest gives way: of the same client where that is at its
    bound, else of all. So a flood of beginnings keeps nobody out who answers at once.
    """

    def __init__(
        self,
        *,
        ttl_s: float = SESSION_TTL_S,
        sessions_max: int = SESSIONS_MAX,
        per_client_max: int = SESSIONS_PER_CLIENT_MAX,
    ) -> None:
        assert per_client_max > 0
        assert sessions_max > 0
        self._ttl_s = ttl_s
        self._sessions_max = sessions_max
        self._per_client_max = per_client_max
        self._sessions: dict[bytes, Session] = {}
        self._by_client: dict[str, dict[bytes, None]] = {}
        self.displaced = 0
        """How many gave way to newer ones."""
        self.unused: deque[bytes] = deque()
        """Authorisations of those that ended before anybody was let in."""

    def __len__(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        """The open sessions, oldest first."""
        return iter(self._sessions.values())

    def open(self, session: Session, now_s: float) -> None:
        """Take a session in."""
        self.expire(now_s)
        self._make_room(session.client_id)
        assert session.state not in self._sessions
        session.expires_s = now_s + self._ttl_s
        self._sessions[session.state] = session
        self._by_client.setdefault(session.client_id, {})[session.state] = None

    def find(self, state: bytes, client_id: str, now_s: float) -> Session | None:
        """The session a State names, if it is this client's and still lives."""
        self.expire(now_s)
        session = self._sessions.get(state)
        return session if session is not None and session.client_id == client_id else None

    def close(self, state: bytes) -> None:
        """Forget a session; closing twice is nothing."""
        session = self._sessions.pop(state, None)
        if session is None:
            return
        if session.granted is not None:
            self.unused.append(session.granted)
        own = self._by_client[session.client_id]
        del own[state]
        if not own:
            del self._by_client[session.client_id]

    def expire(self, now_s: float) -> None:
        """Forget what outlived its time; sessions expire in the order they were opened."""
        while self._sessions:
            state = next(iter(self._sessions))
            if self._sessions[state].expires_s > now_s:
                return
            self.close(state)

    def _make_room(self, client_id: str) -> None:
        own = self._by_client.get(client_id, {})
        if len(own) >= self._per_client_max:
            oldest = next(iter(own))
        elif len(self._sessions) >= self._sessions_max:
            oldest = next(iter(self._sessions))
        else:
            return
        self.close(oldest)
        self.displaced += 1
