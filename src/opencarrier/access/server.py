"""The RADIUS server core, sans-IO: a datagram in, effects out.

It verifies, finds duplicates, drives EAP and builds replies. What needs the database it asks for as
an effect with a ticket; `answer`, `stored` and `lost` bring the outcome back. Garbage ends in a
counted reason, never in an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from opencarrier.access import replies
from opencarrier.access.accounting import Arrival, observe, packet_digest, realm_of
from opencarrier.access.agreed import Place, concerns_terms
from opencarrier.access.guessing import Guess, Guesses
from opencarrier.access.hub.model import Relay, session_of
from opencarrier.access.hub.proxying import Mark, accounting_onward, brought_back, passed_on
from opencarrier.access.hub.routes import Discover, Local, Target, Unknown, Via, is_inward
from opencarrier.access.methods import octets_max
from opencarrier.access.model import (
    AccessKeys,
    AccessSettings,
    Listener,
    Metrics,
    Origin,
    Round,
    Transport,
)
from opencarrier.access.offer import NOTHING, Offer, offer_of, with_added
from opencarrier.access.openroaming.attributes import attributes_of, from_a_stranger, told
from opencarrier.access.openroaming.obligations import added, answer_objection
from opencarrier.access.openroaming.reasons import MALFORMED
from opencarrier.access.upstream.model import Reply
from opencarrier.access.visited import visited_node, vouched
from opencarrier.access.wire import eap
from opencarrier.access.wire.authenticators import (
    check_access_request,
    check_accounting_request,
    response,
)
from opencarrier.access.wire.dictionary import Code, Type, name_of
from opencarrier.access.wire.duplicates import DuplicateCache, Key, Seen
from opencarrier.access.wire.radius import Attribute, Packet, is_fitting, parse, text
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.access import Grant
from opencarrier.spine.parties import Node, PartyId, RadiusClient
from opencarrier.spine.usage import Observation, Status

STATE_OCTETS = 16
EAP_START_OCTETS_MAX = 2


class Lookup(Protocol):
    """Who may talk to us; answers at once, from a cache the service keeps fresh."""

    def client(self, source: str) -> RadiusClient | None:
        """The RADIUS client of a source address."""
        ...

    def peer(self, names: Sequence[str]) -> RadiusClient | None:
        """The RADIUS client of the first of a certificate's names that is known."""
        ...

    def node(self, nas_identifier: str) -> Node | None:
        """The node a NAS-Identifier names."""
        ...

    def operator_named_by_wba(self, wba_id: str) -> PartyId | None:
        """The operator the federation calls so."""
        ...

    def wba_id(self, operator: PartyId) -> str | None:
        """How the federation calls an operator."""
        ...

    def target(self, realm: str, client: RadiusClient) -> Target:
        """Where a realm goes that a client asks for."""
        ...


@dataclass(slots=True)
class Ticket:
    """A request in work: what is needed to answer it later.

    `state` and `guess` are set when the home is asked; `round` where it is recorded.
    """

    origin: Origin
    key: Key
    packet: Packet
    client: RadiusClient
    node: Node | None
    state: bytes = b""
    guess: Guess | None = None
    round: Round | None = None


class Send(NamedTuple):
    """Send these octets back to where the request came from."""

    origin: Origin
    datagram: bytes


class Need(NamedTuple):
    """Ask the home what an EAP method needs; answer with the ticket."""

    ticket: Ticket
    node: Node
    need: eap.Need
    offer: Offer = NOTHING


@dataclass(frozen=True, slots=True)
class Store:
    """Keep this observation durably, then call `stored`; `realm` names the home without a Class.

    `relay` is kept with it where the home is another installation's, and owed to it.
    """

    ticket: Ticket
    observation: Observation
    realm: str | None
    relay: Relay | None = None


@dataclass(frozen=True, slots=True)
class Agree:
    """Keep durably what a home agreed to, then call `agreed`; where it agreed is `place`."""

    ticket: Ticket
    answer: Packet
    place: Place
    attributes: Sequence[Attribute]
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Forward:
    """Ask whoever answers for the realm; then call `brought_back`, or `unreachable`."""

    ticket: Ticket
    target: Via | Discover
    attributes: Sequence[Attribute]

    @property
    def asker(self) -> str:
        """The client it came from."""
        return self.ticket.client.client_id


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nothing is sent, for a counted reason; `unsound`: malformed, or not signed by its client."""

    reason: str
    unsound: bool = False


Effect = Send | Need | Store | Agree | Forward | Dropped


class AccessServer:
    """One server's state: duplicates, open EAP sessions, counters."""

    def __init__(
        self,
        *,
        lookup: Lookup,
        keys: AccessKeys,
        entropy: Entropy,
        methods: eap.Methods,
        settings: AccessSettings,
        metrics: Metrics | None = None,
    ) -> None:
        self._lookup = lookup
        self._keys = keys
        self._entropy = entropy
        self._settings = settings
        self.metrics = metrics if metrics is not None else Metrics()
        self._methods = methods
        self._mark = Mark.of(keys.cui_key)
        self._guesses = Guesses(settings.guesses)
        self._passed_on = 0
        self._duplicates = {
            listener: DuplicateCache(
                ttl_s=settings.duplicates_ttl_s, entries_max=settings.duplicates_max
            )
            for listener in Listener
        }
        self.sessions = eap.SessionTable(
            ttl_s=settings.session_ttl_s,
            sessions_max=settings.sessions_max,
            per_client_max=settings.sessions_per_client_max,
        )

    def receive(
        self, origin: Origin, datagram: bytes, *, now_s: float, now_us: int
    ) -> list[Effect]:
        """Take a packet; `now_s` is monotonic for timers, `now_us` the clock for facts."""
        client = origin.client or self._lookup.client(origin.address[0])
        if client is None:
            return self._drop("client_unknown")
        try:
            packet = self._verified(origin, datagram, client)
        except PeerError as error:
            return self._drop(error.reason, unsound=True)
        key = origin.key(packet)
        seen = self._duplicates[origin.listener].begin(key, now_s)
        if seen is not Seen.NEW:
            return self._repeated(origin, key, seen)
        node = visited_node(packet, client, self._lookup)
        ticket = Ticket(origin, key, packet, client, node)
        try:
            if packet.code == Code.STATUS_SERVER:
                return self._status(ticket)
            if packet.code == Code.ACCESS_REQUEST:
                return self._access_request(ticket, now_s)
            return self._accounting_request(ticket, datagram, now_us)
        except PeerError as error:
            self._duplicates[origin.listener].forget(key)
            return self._drop(error.reason)

    def answer(self, ticket: Ticket, answer: eap.Answer, now_s: float) -> list[Effect]:
        """Take the home's answer to a `Need`."""
        session = self.sessions.find(ticket.state, ticket.client.client_id, now_s)
        if session is None:
            if isinstance(answer, Grant):
                self.sessions.unused.append(answer.authorisation_id)
            self._forget(ticket)
            return self._drop("session_expired")
        effect = session.answer(answer)
        if ticket.guess is not None and not isinstance(effect, eap.Fail):
            self._guesses.was_right(ticket.guess)
        return self._apply(ticket, session, effect, now_s)

    def stored(self, ticket: Ticket, more: Sequence[Attribute] = ()) -> list[Effect]:
        """Acknowledge committed accounting, with what came of it where Proxy-State leaves room."""
        self.metrics.accounting_responses += 1
        states = [a for a in ticket.packet.attributes if a[0] == Type.PROXY_STATE]
        told = list(more) if is_fitting([*more, *states]) else []
        return self._reply(ticket, Code.ACCOUNTING_RESPONSE, told)

    def brought_back(self, ticket: Ticket, reply: Reply, target: Via | Discover) -> list[Effect]:
        """Answer with the reply a request had where it was passed on to.

        By an Access-Accept that is not what access points of ours offered nobody is served.
        """
        try:
            code, attributes = brought_back(reply, ticket.packet, ticket.client.secret)
            if not ticket.client.carries and not is_inward(target):
                attributes = self._for_our_own(attributes)
            if code == Code.ACCESS_ACCEPT:
                return self._accepted(ticket, reply.packet, attributes)
        except PeerError as error:
            return self.unreachable(ticket, error.reason)
        if code == Code.ACCESS_CHALLENGE:
            self.metrics.challenges += 1
        else:
            self.metrics.rejects["home_rejected"] += 1
        return self._reply(ticket, Code(code), attributes)

    def _for_our_own(self, attributes: replies.Attributes) -> replies.Attributes:
        """What of another home's answer access points of ours are told; the rest is counted."""
        kept, left_out = from_a_stranger(attributes)
        self.metrics.left_out.update(name_of(kind) for kind, _ in left_out)
        return kept

    def agreed(self, agree: Agree, reason: str) -> list[Effect]:
        """Pass on the Access-Accept whose terms are kept, or reject for a reason they are not."""
        if reason:
            return self.unreachable(agree.ticket, reason)
        self.metrics.accepts += 1
        return self._reply(agree.ticket, Code.ACCESS_ACCEPT, list(agree.attributes))

    def _accepted(
        self, ticket: Ticket, answer: Packet, attributes: replies.Attributes
    ) -> list[Effect]:
        assert ticket.node is not None, "a request without its node is not passed on"
        asked, is_ours = self._asked(ticket), not ticket.client.carries
        if is_ours:
            objection = answer_objection(asked.said, asked.offered.rcoi, told(answer))
            if objection is not None:
                return self.unreachable(ticket, objection.code)
        agree = Agree(ticket, answer, Place(ticket.node, asked), attributes, is_ours)
        return [agree] if concerns_terms(answer) else self.agreed(agree, "")

    def _asked(self, ticket: Ticket) -> Offer:
        """What was offered to the home: what the request says, and what we said besides."""
        asked = offer_of(ticket.packet, self._settings.own_bases)
        return asked if ticket.client.carries else with_added(asked, self._settings.offering)

    def unreachable(self, ticket: Ticket, reason: str) -> list[Effect]:
        """Reject at once what nobody answers for: silence would make us look dead for all."""
        return self._reject(ticket, reason, public=reason, identifier=_eap_identifier(ticket))

    def lost(self, ticket: Ticket, reason: str) -> list[Effect]:
        """Give a request up unanswered, so that its repeat is worked on anew."""
        self._forget(ticket)
        self.sessions.close(ticket.state)
        return self._drop(reason)

    def _verified(self, origin: Origin, datagram: bytes, client: RadiusClient) -> Packet:
        packet, listener = parse(datagram), origin.listener
        if packet.code == Code.STATUS_SERVER or (
            packet.code == Code.ACCESS_REQUEST and listener is not Listener.ACCT
        ):
            required, limited = self._protection(origin, client)
            check_access_request(
                datagram, packet, client.secret, required=required, limit_proxy_state=limited
            )
        elif packet.code == Code.ACCOUNTING_REQUEST and listener is not Listener.AUTH:
            check_accounting_request(datagram, packet, client.secret)
        else:
            raise PeerError("code", f"code {packet.code} on {listener.value}")
        return packet

    def _protection(self, origin: Origin, client: RadiusClient) -> tuple[bool, bool]:
        """What needs a Message-Authenticator: all, what has Proxy-State. Over TLS neither does."""
        if origin.transport is Transport.TLS:
            return False, False
        required = client.require_message_authenticator
        if required is None:
            required = self._settings.require_message_authenticator
        return required, client.limit_proxy_state

    def _forget(self, ticket: Ticket) -> None:
        self._duplicates[ticket.origin.listener].forget(ticket.key)

    def _repeated(self, origin: Origin, key: Key, seen: bytes | Seen) -> list[Effect]:
        """Send the reply again; where there is none yet it goes to whence it was asked last."""
        self.metrics.duplicates += 1
        if isinstance(seen, Seen):
            self._duplicates[origin.listener].move(key, origin.address)
            return [Dropped("duplicate_pending")]
        return [Send(origin, seen)]

    def _status(self, ticket: Ticket) -> list[Effect]:
        acct = ticket.origin.listener is Listener.ACCT
        return self._reply(ticket, Code.ACCOUNTING_RESPONSE if acct else Code.ACCESS_ACCEPT, [])

    def _access_request(self, ticket: Ticket, now_s: float) -> list[Effect]:
        try:
            realm = realm_of(ticket.packet)
        except PeerError as error:
            return self.unreachable(ticket, error.reason)
        target = Local() if realm is None else self._lookup.target(realm, ticket.client)
        match target:
            case Local():
                return self._authenticate(ticket, now_s)
            case Unknown(reason):
                return self.unreachable(ticket, reason)
            case _:
                return self._pass_on(ticket, target, now_s)

    def _pass_on(self, ticket: Ticket, target: Via | Discover, now_s: float) -> list[Effect]:
        if ticket.node is None:
            return self.unreachable(ticket, "nas_identifier_refused")
        packet = vouched(ticket.packet, ticket.node, self._lookup)
        state = packet.get(Type.STATE) or b""
        if self.sessions.find(state, ticket.client.client_id, now_s) is not None:
            # We asked for the identity that now leads elsewhere: the conversation begins there.
            self.sessions.close(state)
            packet = packet.without(Type.STATE)
        self._passed_on += 1
        try:
            says = self._says(ticket)
        except PeerError as error:
            return self._unreadable(ticket, error, _eap_identifier(ticket))
        try:
            attributes = passed_on(packet, self._mark, self._passed_on, says)
        except PeerError as error:
            return self.unreachable(ticket, error.reason)
        return [Forward(ticket, target, attributes)]

    def _named(self, node: Node) -> list[Attribute]:
        """What the federation wants said of every packet: whose node it is (RFC 5580 4.1)."""
        wba_id = self._lookup.wba_id(node.operator)
        return [] if wba_id is None else [text(Type.OPERATOR_NAME, f"4{wba_id}")]

    def _says(self, ticket: Ticket) -> list[Attribute]:
        """What a request says besides: whose node it is, and what access points of ours offer."""
        assert ticket.node is not None
        named = self._named(ticket.node)
        if ticket.client.carries:
            return named
        asked = offer_of(ticket.packet, self._settings.own_bases)
        return [
            *named,
            *attributes_of(added(asked.said, asked.offered.rcoi, self._settings.offering)),
        ]

    def _authenticate(self, ticket: Ticket, now_s: float) -> list[Effect]:
        message = ticket.packet.joined(Type.EAP_MESSAGE)
        if message is None:
            return self._reject(ticket, "eap_missing", public="eap_required")
        start = len(message) <= EAP_START_OCTETS_MAX
        packet = None if start else eap.parse_eap(message)
        identifier = packet.identifier if packet else 0
        if ticket.node is None:
            reason = "nas_identifier_refused"
            return self._reject(ticket, reason, public=reason, identifier=identifier)
        state = ticket.packet.get(Type.STATE)
        if state is None:
            fresh = self._open(ticket, identifier, now_s)
            return self._continue(ticket, fresh, packet, now_s)
        session = self.sessions.find(state, ticket.client.client_id, now_s)
        if session is None:
            return self._reject(ticket, "session_unknown", identifier=identifier)
        return self._continue(ticket, session, packet, now_s)

    def _open(self, ticket: Ticket, identifier: int, now_s: float) -> eap.Session:
        session = eap.Session(
            state=self._state(),
            client_id=ticket.client.client_id,
            methods=self._methods,
            identifier=identifier,
            expires_s=now_s,
            octets_max=octets_max(ticket.packet),
        )
        self.sessions.open(session, now_s)
        return session

    def _state(self) -> bytes:
        """Name a conversation; among several workers its first octet says whose it is."""
        if self._settings.worker is None:
            return self._entropy.octets("access/state", STATE_OCTETS)
        worker = bytes((self._settings.worker,))
        return worker + self._entropy.octets("access/state", STATE_OCTETS - 1)

    def _continue(
        self, ticket: Ticket, session: eap.Session, packet: eap.EapPacket | None, now_s: float
    ) -> list[Effect]:
        fresh = session.rounds == 0 and session.phase is eap.Phase.IDENTITY
        if packet is None:
            if not fresh:
                raise PeerError("eap_start_in_session")
            return self._challenge(ticket, session, session.ask_identity())
        try:
            effect = session.receive(packet)
        except PeerError:
            if fresh:
                self.sessions.close(session.state)
            raise
        return self._apply(ticket, session, effect, now_s)

    def _apply(
        self, ticket: Ticket, session: eap.Session, effect: eap.Effect, now_s: float
    ) -> list[Effect]:
        match effect:
            case eap.Ask(octets):
                return self._challenge(ticket, session, octets)
            case eap.NeedPassword(username, realm, proven=False):
                guess = _guess(ticket, f"{username}@{realm}")
                if not self._guesses.admits(guess, now_s):
                    slowed = session.answer(eap.Refused("passwords_guessed"))
                    return self._apply(ticket, session, slowed, now_s)
                ticket.guess = guess
                return self._ask_home(ticket, session, effect)
            case eap.NeedVector() | eap.NeedResync() | eap.NeedPassword() | eap.Authorise():
                return self._ask_home(ticket, session, effect)
            case eap.Succeed(grant, msk, resumed):
                self._count(session, "resumed" if resumed else "accepted")
                effects = self._accept(ticket, session, grant, msk)
                if isinstance(effects[0], Send):
                    session.granted = None
                self.sessions.close(session.state)
                return effects
            case eap.Fail(reason):
                self._count(session, reason)
                self.sessions.close(session.state)
                return self._reject(
                    ticket, reason, public=session.reply_message, identifier=session.identifier
                )

    def _count(self, session: eap.Session, outcome: str) -> None:
        self.metrics.eap[f"{eap.EapType(session.tried[-1]).name.lower()} {outcome}"] += 1

    def _ask_home(self, ticket: Ticket, session: eap.Session, need: eap.Need) -> list[Effect]:
        assert ticket.node is not None
        try:
            what = offer_of(ticket.packet, self._settings.own_bases)
        except PeerError as error:
            self.sessions.close(session.state)
            return self._unreadable(ticket, error, session.identifier)
        ticket.state = session.state
        return [Need(ticket, ticket.node, need, what)]

    def _challenge(self, ticket: Ticket, session: eap.Session, octets: bytes) -> list[Effect]:
        self.metrics.challenges += 1
        return self._reply(ticket, Code.ACCESS_CHALLENGE, replies.challenge(octets, session.state))

    def _accept(
        self, ticket: Ticket, session: eap.Session, grant: Grant, msk: bytes
    ) -> list[Effect]:
        self.metrics.accepts += 1
        attributes = replies.accept(
            grant,
            session=replies.Accepted(
                identifier=session.identifier,
                realm=session.realm,
                msk=msk,
                secret=ticket.client.secret,
                request_authenticator=ticket.packet.authenticator,
            ),
            keys=self._keys,
            terms=self._settings.federation,
            entropy=self._entropy,
        )
        return self._reply(ticket, Code.ACCESS_ACCEPT, attributes)

    def _reject(
        self,
        ticket: Ticket,
        reason: str,
        *,
        public: str = "authentication_failed",
        identifier: int = 0,
    ) -> list[Effect]:
        self.metrics.rejects[reason] += 1
        return self._reply(ticket, Code.ACCESS_REJECT, replies.reject(public, identifier))

    def _unreadable(self, ticket: Ticket, error: PeerError, identifier: int) -> list[Effect]:
        """Reject what says something of itself that cannot be read: silence would be repeated."""
        return self._reject(ticket, error.reason, public=MALFORMED, identifier=identifier)

    def _accounting_request(self, ticket: Ticket, datagram: bytes, now_us: int) -> list[Effect]:
        if ticket.node is None:
            raise PeerError("nas_identifier_refused")
        origin = ticket.origin
        arrival = Arrival(
            client=ticket.client,
            node=ticket.node,
            source=f"{origin.transport.value}:{origin.address[0]}:{origin.address[1]}",
            now_us=now_us,
            digest=packet_digest(datagram),
        )
        observation = observe(ticket.packet, arrival, self._keys, self.metrics)
        realm = realm_of(ticket.packet) if observation.home is None else None
        relay = self._relay(ticket, observation, realm, now_us)
        if relay is not None:  # the home is told seconds: both records say the same
            event_us = observation.event_us // SECOND_US * SECOND_US
            observation = replace(observation, event_us=event_us)
        return [Store(ticket, observation, realm, relay)]

    def _relay(
        self, ticket: Ticket, observation: Observation, realm: str | None, now_us: int
    ) -> Relay | None:
        """What is owed to a home elsewhere; a node's own On and Off are nobody's."""
        if realm is None or observation.status in (Status.ON, Status.OFF):
            return None
        target = self._lookup.target(realm, ticket.client)
        if isinstance(target, Local):
            return None
        if isinstance(target, Unknown):
            if ticket.client.federation:
                raise PeerError(target.reason)
            self.metrics.unrouted[target.reason] += 1
            return None
        assert ticket.node is not None
        self._passed_on += 1
        packet = vouched(ticket.packet, ticket.node, self._lookup)
        attributes = accounting_onward(
            packet,
            self._mark,
            self._passed_on,
            observation.event_us,
            self._named(ticket.node),
        )
        session = session_of(observation.visited, observation.nas_key, observation.acct_session_id)
        return Relay(realm, session, tuple(attributes), now_us)

    def _reply(self, ticket: Ticket, code: Code, attributes: replies.Attributes) -> list[Effect]:
        """Answer; a request's Proxy-State may leave no room for more than it has itself."""
        try:
            datagram = response(code, ticket.packet, attributes, ticket.client.secret)
        except PeerError as error:
            self._forget(ticket)
            return self._drop(error.reason)
        moved_to = self._duplicates[ticket.origin.listener].answer(ticket.key, datagram)
        origin = ticket.origin if moved_to is None else ticket.origin._replace(address=moved_to)
        return [Send(origin, datagram)]

    def _drop(self, reason: str, *, unsound: bool = False) -> list[Effect]:
        self.metrics.dropped[reason] += 1
        return [Dropped(reason, unsound)]


def _eap_identifier(ticket: Ticket) -> int:
    message = ticket.packet.get(Type.EAP_MESSAGE) or b""
    return message[1] if len(message) > 1 else 0


def _guess(ticket: Ticket, user: str) -> Guess:
    device = ticket.packet.get(Type.CALLING_STATION_ID) or b""
    return Guess(user, device, ticket.client.client_id)
