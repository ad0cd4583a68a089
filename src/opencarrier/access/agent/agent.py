"""The agent's decisions: a packet in, what to send or ask out; its file is its only memory.

No socket and no clock: both come in as arguments. Nothing is answered before it is durable, and
every Access-Request is answered, if only with a reject.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from opencarrier.access import replies
from opencarrier.access.accounting import event_us_of, joined_octets
from opencarrier.access.agent import outgoing
from opencarrier.access.agent.counters import WORD, Flag, PortMeter, PortReading
from opencarrier.access.agent.holders import held
from opencarrier.access.agent.model import (
    AccessPoint,
    AgentMetrics,
    AgentSettings,
    Source,
    Venue,
)
from opencarrier.access.agent.outgoing import Place
from opencarrier.access.agent.payments import Carried, Pace, State, has_room, verdict_of
from opencarrier.access.agent.sessions import (
    NUL,
    Accepted,
    Seen,
    Session,
    account,
    begin,
    begins_anew,
    begun_after,
    continues,
    is_old,
    station_of,
)
from opencarrier.access.agent.statement import Signed, sign, statement_for
from opencarrier.access.agent.store import AgentStore, Waiting
from opencarrier.access.model import Listener, Origin
from opencarrier.access.server import Dropped, Send
from opencarrier.access.upstream.model import Reply
from opencarrier.access.wire import duplicates
from opencarrier.access.wire.authenticators import (
    check_access_request,
    check_accounting_request,
    response,
)
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.hidden import Hop, backward
from opencarrier.access.wire.radius import PACKET_OCTETS_MAX, Attribute, Packet, parse
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Signer

_log = logging.getLogger(__name__)

DELAY_MAX_S = 86_400
EAP_IDENTIFIER_AT = 1
PROXY_STATE_OCTETS_MAX = 2_048
_REPLIES = (Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE)
_HOP = (int(Type.MESSAGE_AUTHENTICATOR), int(Type.PROXY_STATE))

PortReader = Callable[[str, str], PortReading | None]
"""Reads an interface's counters, of a wireless one a station's; None where there is none such."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request in work: what is needed to answer it later."""

    origin: Origin
    key: duplicates.Key
    packet: Packet
    point: AccessPoint


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask on with these attributes, then `replied` or `turned_away`."""

    ticket: Ticket
    attributes: list[Attribute]


@dataclass(frozen=True, slots=True)
class Keep:
    """Make this report durable with `keep`, which answers it."""

    ticket: Ticket


Effect = Send | Ask | Keep | Dropped


@dataclass(frozen=True, slots=True)
class _Taken:
    """A session's report, worked out and not yet written."""

    number: int | None
    session: Session
    alias: str
    attributes: list[Attribute]
    signed: Signed


class NodeAgent:
    """One venue's agent: its access points, its file, its key."""

    def __init__(
        self,
        *,
        points: Sequence[AccessPoint],
        venue: Venue,
        signer: Signer,
        store: AgentStore,
        read_port: PortReader,
        settings: AgentSettings,
    ) -> None:
        self.points = sorted(points, key=lambda point: -point.prefix.prefixlen)
        self._addresses: dict[str, str] = {}
        self._venue = venue
        self._signer = signer
        self.store = store
        self._read_port = read_port
        self._settings = settings
        self._samples: dict[int, PortMeter] = {}
        self._pace = Pace()
        self._duplicates = {
            listener: duplicates.DuplicateCache(entries_max=8_192) for listener in Listener
        }
        self.metrics = AgentMetrics()

    def receive(self, origin: Origin, datagram: bytes, *, now_s: float) -> Effect:
        """Take a packet of an access point; garbage ends in a counted reason."""
        point = self._point(origin.address[0])
        if point is None:
            return self._drop("access_point_unknown")
        try:
            packet = self._verified(origin, datagram, point)
            key = (*origin.address, packet.identifier, packet.authenticator)
            self._addresses[point.name] = origin.address[0]
            seen = self._duplicates[origin.listener].begin(key, now_s)
            ticket = Ticket(origin, key, packet, point)
            if seen is not duplicates.Seen.NEW:
                return self._repeated(origin, seen)
            return self._begun(ticket)
        except PeerError as error:
            return self._drop(error.reason)

    def replied(self, ticket: Ticket, reply: Reply, now_us: int) -> Send:
        """Pass a reply on; what it accepts a station with is durable before it goes."""
        packet = reply.packet
        if packet.code not in _REPLIES:
            return self.turned_away(ticket, "reply_code")
        try:
            attributes = backward(
                [a for a in packet.attributes if a[0] not in _HOP],
                Hop(reply.secret, reply.request_authenticator),
                Hop(ticket.point.secret, ticket.packet.authenticator),
            )
        except PeerError as error:
            return self.turned_away(ticket, error.reason)
        try:
            datagram = response(packet.code, ticket.packet, attributes, ticket.point.secret)
        except PeerError as error:
            return self.turned_away(ticket, error.reason)
        if packet.code == Code.ACCESS_ACCEPT:
            self._accepted(ticket, packet, now_us)
            self.metrics.accepts += 1
        elif packet.code == Code.ACCESS_REJECT:
            self.metrics.rejects["home"] += 1
        return self._sent(ticket, datagram)

    def turned_away(self, ticket: Ticket, reason: str) -> Send:
        """Reject a request that nobody will answer: an access point never waits in vain."""
        self.metrics.rejects[reason] += 1
        message = ticket.packet.joined(Type.EAP_MESSAGE)
        if message is None:
            attributes: list[Attribute] = [(int(Type.REPLY_MESSAGE), reason.encode())]
        else:
            identifier = message[EAP_IDENTIFIER_AT] if len(message) > EAP_IDENTIFIER_AT else 0
            attributes = replies.reject(reason, identifier)
        return self._answer(ticket, Code.ACCESS_REJECT, attributes)

    def lost(self, ticket: Ticket, reason: str) -> Dropped:
        """Leave a request unanswered, so that its repeat is worked on anew."""
        self._duplicates[ticket.origin.listener].forget(ticket.key)
        return self._drop(reason)

    def keep(self, tickets: Sequence[Ticket], now_us: int) -> list[Send]:
        """Make reports durable in one transaction and return their answers.

        If it fails each is tried alone, so that one cannot stop the others.
        """
        crashpoint("node.received")
        kept = self._commit(tickets, now_us)
        if kept is None:
            alone = [self._commit([ticket], now_us) for ticket in tickets]
            for ticket, done in zip(tickets, alone, strict=True):
                if done is None:
                    self.lost(ticket, "store_failed")
            kept = [ticket for done in alone if done for ticket in done]
        self.metrics.acknowledged += len(kept)
        return [self._answer(ticket, Code.ACCOUNTING_RESPONSE, []) for ticket in kept]

    def address_of(self, point: AccessPoint) -> str | None:
        """Return where an access point was last heard from, or the only place it can be."""
        alone = point.prefix.num_addresses == 1
        return self._addresses.get(point.name, str(point.prefix.network_address) if alone else None)

    def sample(self) -> None:
        """Read the ports of open sessions now, in case an interface is gone at their Stop."""
        found: dict[int, PortMeter] = {}
        for point in self.points:
            if not point.port or point.source is Source.REPORTED:
                continue
            for number, session in self.store.open_sessions(point.name):
                meter = self._samples.get(number, session.port)
                reading = None if meter is None else self._reading(point, session.station)
                if meter is not None and reading is not None:
                    found[number] = meter.read(reading)[0]
        self._samples = {**self._samples, **found}

    def housekeep(self, now_us: int) -> None:
        """Close silent sessions; delete what is too old to keep or to deliver."""
        settings = self._settings
        with self.store.write():
            self.store.close_sessions(before_us=now_us - settings.session_silence_s * SECOND_US)
            old = self.store.older(now_us - settings.spool_age_max_s * SECOND_US)
            self.store.remove(old)
            self.store.forget(
                statements_us=now_us - settings.statements_kept_s * SECOND_US,
                holders_us=now_us - settings.holders_kept_s * SECOND_US,
                sessions_us=now_us - settings.spool_age_max_s * SECOND_US,
            )
        self.store.wipe()
        if old:
            self.metrics.dropped["report_expired"] += len(old)
            _log.warning("%d reports were too old to deliver", len(old))
        still_open = {number for number, _ in self.store.open_sessions()}
        self._samples = {n: meter for n, meter in self._samples.items() if n in still_open}
        self._pace.forget(now_us)

    def pay(self, session: int, channel: bytes, carried: Carried) -> None:
        """Keep a payment until the home has it; `speak` sees that it goes."""
        with self.store.write():
            self.store.keep_payment(session, channel, carried)
        self.metrics.payments["kept"] += 1

    def speak(self, now_us: int) -> None:
        """Report sessions anew whose payments have no report to go with."""
        sessions = self.store.stranded()
        if not sessions or self.store.spooled_octets > self._spool_octets_most:
            return
        points = {point.name: point for point in self.points}
        may = [one for one in sessions if self._pace.allows(one[0], now_us)]
        with self.store.write():
            for number, session in may:
                self._say_again(number, session, points.get(session.access_point), now_us)

    def delivered(self, row: Waiting, carried: Carried | None, answer: Packet) -> None:
        """Take a report out of the spool, and note what the home says of the payment with it."""
        state, reason = State.PASSED_ON, ""
        try:
            verdict = verdict_of(answer)
        except PeerError as error:
            self.metrics.payments[error.reason] += 1
            verdict = None
        if verdict is not None and carried is not None and verdict.digest == carried.digest:
            state, reason = verdict.state, verdict.reason
        with self.store.write():
            self.store.remove([row.number])
            if carried is not None and row.session is not None:
                self.store.judge_payment(row.session, carried, state, reason)
                self.metrics.payments[state.value] += 1

    def _say_again(
        self, number: int, session: Session, point: AccessPoint | None, now_us: int
    ) -> None:
        """Write a report of the agent's own, signed and in its place in the chain."""
        if point is None:
            self.store.refuse_payments(number, "access_point_gone")
            return
        place, event_us = Place(point, self._venue), max(now_us, session.heard_us)
        attributes = outgoing.said_again(place, session, event_us=event_us)
        signed = self._signed(session, attributes, Flag.NONE)
        told = [*attributes, *signed.attributes()]
        if not has_room(told):
            self.store.refuse_payments(number, "packet_full")
            return
        self.store.go_on(number, _chained(session, signed))
        self.store.put_statement(number, signed, now_us)
        status = AcctStatus.INTERIM_UPDATE
        self.store.spool(point.name, number, status, told, received_us=now_us, delay_s=0)
        self.metrics.spooled += 1

    def _point(self, source: str) -> AccessPoint | None:
        address = ip_address(source)
        return next((point for point in self.points if address in point.prefix), None)

    def _verified(self, origin: Origin, datagram: bytes, point: AccessPoint) -> Packet:
        packet = parse(datagram)
        accounting = origin.listener is Listener.ACCT
        if packet.code == Code.STATUS_SERVER or (
            packet.code == Code.ACCESS_REQUEST and not accounting
        ):
            required = self._settings.require_message_authenticator
            check_access_request(datagram, packet, point.secret, required=required)
        elif packet.code == Code.ACCOUNTING_REQUEST and accounting:
            check_accounting_request(datagram, packet, point.secret)
        else:
            raise PeerError("code", f"code {packet.code} on {origin.listener.value}")
        if sum(map(len, packet.all(Type.PROXY_STATE))) > PROXY_STATE_OCTETS_MAX:
            raise PeerError("proxy_state_long")  # it comes back with the answer, which needs room
        return packet

    def _repeated(self, origin: Origin, seen: bytes | duplicates.Seen) -> Effect:
        self.metrics.duplicates += 1
        if isinstance(seen, duplicates.Seen):
            return Dropped("duplicate_pending")
        return Send(origin, seen)

    def _begun(self, ticket: Ticket) -> Effect:
        if ticket.packet.code == Code.STATUS_SERVER:
            auth = ticket.origin.listener is Listener.AUTH
            code = Code.ACCESS_ACCEPT if auth else Code.ACCOUNTING_RESPONSE
            return self._answer(ticket, code, [])
        if ticket.packet.code == Code.ACCOUNTING_REQUEST:
            return Keep(ticket)
        try:
            station_of(ticket.packet)
            place = Place(ticket.point, self._venue)
            return Ask(ticket, outgoing.access_request(ticket.packet, place))
        except PeerError as error:
            return self.turned_away(ticket, error.reason)

    def _accepted(self, ticket: Ticket, reply: Packet, now_us: int) -> None:
        """Keep what an Access-Accept gives; a session it names goes on with it."""
        name, cui = reply.get(Type.USER_NAME), reply.get(Type.CHARGEABLE_USER_IDENTITY)
        accepted = Accepted(
            classes=reply.all(Type.CLASS),
            cui=b"" if cui in (None, NUL) else cui or b"",
            user_name=name or ticket.packet.get(Type.USER_NAME) or b"",
            assigned=name is not None,
        )
        station, point = station_of(ticket.packet), ticket.point.name
        known = ticket.packet.get(Type.ACCT_SESSION_ID)
        with self.store.write():
            self.store.accept(point, station, accepted, now_us)
            alias = (known or b"").decode("utf-8", "replace")
            found = self.store.session(point, alias) if alias else None
            if found is not None and not found[1].closed and found[1].station == station:
                self.store.put_session(found[0], replace(found[1], accepted=accepted), alias)

    def _commit(self, tickets: Sequence[Ticket], now_us: int) -> list[Ticket] | None:
        try:
            with self.store.write():
                return [ticket for ticket in tickets if self._take(ticket, now_us)]
        except Exception:
            _log.exception("a batch of %d failed", len(tickets))
            return None

    def _take(self, ticket: Ticket, now_us: int) -> bool:
        """Write one report; False where it is dropped, for a counted reason."""
        try:
            self._make_room()
            status = _status(ticket.packet)
            if status in (AcctStatus.ACCOUNTING_ON, AcctStatus.ACCOUNTING_OFF):
                self._take_whole_node(ticket, status, now_us)
            else:
                self._take_session(ticket, status, now_us)
        except PeerError as error:
            self.lost(ticket, error.reason)
            return False
        return True

    @property
    def _spool_octets_most(self) -> int:
        return self._settings.spool_octets_max - PACKET_OCTETS_MAX

    def _make_room(self) -> None:
        """Keep the spool within its octets: what later reports say again goes first."""
        store, most = self.store, self._spool_octets_most
        if store.spooled_octets > most:
            superseded = store.superseded()
            store.remove(superseded)
            self.metrics.dropped["report_superseded"] += len(superseded)
        if store.spooled_octets > most:
            raise PeerError("spool_full")

    def _take_whole_node(self, ticket: Ticket, status: AcctStatus, now_us: int) -> None:
        packet, point = ticket.packet, ticket.point
        at_us = event_us_of(packet, now_us, behind_max_s=self._settings.spool_age_max_s)
        attributes = outgoing.whole_node(packet, Place(point, self._venue), event_us=at_us)
        self.store.close_sessions(access_point=point.name, before_us=at_us)
        self._spool(ticket, None, status, attributes, now_us)

    def _take_session(self, ticket: Ticket, status: AcctStatus, now_us: int) -> None:
        packet, point = ticket.packet, ticket.point
        event_us = event_us_of(packet, now_us, behind_max_s=self._settings.spool_age_max_s)
        seen = _seen(packet, status, event_us, kernel_only=point.source is Source.KERNEL)
        number, session, flags = self._session(point, seen)
        if number is not None and is_old(session, seen):
            self.metrics.duplicates += 1
            return
        holds = held(packet)
        taken = self._taken(ticket, seen, number, session, flags)
        number = self.store.put_session(number, taken.session, taken.alias)
        self._samples.pop(number, None)
        self.store.put_statement(number, taken.signed, now_us)
        for one in holds:
            self.store.hold(number, taken.session, one, seen.event_us)
        if not holds:
            self.store.hold_on(number, session.heard_us, seen.event_us)
        self._spool(ticket, number, status, taken.attributes, now_us)

    def _session(self, point: AccessPoint, seen: Seen) -> tuple[int | None, Session, Flag]:
        """Find the session a packet is of, by its name or by its station, or begin one."""
        found = self.store.session(point.name, seen.acct_session_id)
        if found is not None and not begins_anew(found[1], seen):
            return *found, Flag.NONE
        if found is not None and not found[1].closed:
            self.store.put_session(found[0], replace(found[1], closed=True), seen.acct_session_id)
        if found is None and seen.station:
            opened = self.store.open_sessions(point.name, seen.station)
            if len(opened) == 1 and continues(opened[0][1], seen):
                return *opened[0], Flag.SESSION_ID_REPAIRED
        if self.store.count_open() >= self._settings.sessions_max:
            raise PeerError("sessions_full")
        accepted = self.store.accepted(point.name, seen.station) if seen.station else None
        session, flags = begin(seen, point.name, accepted or Accepted())
        return None, session if found is None else begun_after(session, found[1]), flags

    def _taken(
        self, ticket: Ticket, seen: Seen, number: int | None, session: Session, flags: Flag
    ) -> _Taken:
        """Work out what a report says in the end, and sign it."""
        point, rate = ticket.point, self._settings.link_octets_per_s
        sampled = self._samples.get(number) if number is not None else None
        session = replace(session, port=sampled) if sampled else session
        reading = self._reading(point, session.station)
        session, done = account(session, seen, reading, octets_per_s=rate)
        attributes, mended = outgoing.accounting(
            ticket.packet, Place(point, self._venue), session, event_us=seen.event_us
        )
        flags |= done | (Flag.CLASS_RESTORED if "class" in mended else Flag.NONE)
        self._count(mended, flags)
        signed = self._signed(session, attributes, flags)
        told = [*attributes, *signed.attributes()]
        return _Taken(number, _chained(session, signed), seen.acct_session_id, told, signed)

    def _signed(self, session: Session, attributes: Sequence[Attribute], flags: Flag) -> Signed:
        statement = statement_for(
            attributes,
            sequence=session.sequence,
            previous=session.previous,
            flags=flags,
            started_s=max(session.started_us, 0) // SECOND_US % WORD,
        )
        return sign(statement, self._signer)

    def _count(self, mended: Sequence[str], flags: Flag) -> None:
        for name in mended:
            self.metrics.repaired[name] += 1
        for flag in Flag:
            if flag in flags and flag is not Flag.CLASS_RESTORED:
                self.metrics.repaired[(flag.name or "").lower()] += 1

    def _reading(self, point: AccessPoint, station: str) -> PortReading | None:
        if not point.port or point.source is Source.REPORTED:
            return None
        reading = self._read_port(point.port, station)
        if reading is None or not point.reversed_port:
            return reading
        return replace(reading, octets_in=reading.octets_out, octets_out=reading.octets_in)

    def _spool(
        self,
        ticket: Ticket,
        number: int | None,
        status: AcctStatus,
        attributes: list[Attribute],
        now_us: int,
    ) -> None:
        delay_s = min(ticket.packet.integer(Type.ACCT_DELAY_TIME) or 0, DELAY_MAX_S)
        self.store.spool(
            ticket.point.name, number, status, attributes, received_us=now_us, delay_s=delay_s
        )
        self.metrics.spooled += 1

    def _answer(self, ticket: Ticket, code: int, attributes: list[Attribute]) -> Send:
        return self._sent(ticket, response(code, ticket.packet, attributes, ticket.point.secret))

    def _sent(self, ticket: Ticket, datagram: bytes) -> Send:
        self._duplicates[ticket.origin.listener].answer(ticket.key, datagram)
        return Send(ticket.origin, datagram)

    def _drop(self, reason: str) -> Dropped:
        self.metrics.dropped[reason] += 1
        return Dropped(reason)


def _chained(session: Session, signed: Signed) -> Session:
    return replace(session, sequence=session.sequence + 1, previous=signed.statement.head)


def _status(packet: Packet) -> AcctStatus:
    value = packet.integer(Type.ACCT_STATUS_TYPE)
    if value is None:
        raise PeerError("acct_status_type_missing")
    try:
        return AcctStatus(value)
    except ValueError as error:
        raise PeerError("acct_status_type", f"value {value}") from error


def _seen(packet: Packet, status: AcctStatus, event_us: int, *, kernel_only: bool) -> Seen:
    name = packet.text(Type.ACCT_SESSION_ID)
    if not name:
        raise PeerError("acct_session_id_missing")

    def octets(low: Type, high: Type) -> int | None:
        value = packet.integer(low)
        if kernel_only or value is None:
            return None
        return joined_octets(packet, value, high)

    return Seen(
        status=status,
        acct_session_id=name,
        station=station_of(packet),
        event_us=event_us,
        session_time_s=packet.integer(Type.ACCT_SESSION_TIME),
        octets_in=octets(Type.ACCT_INPUT_OCTETS, Type.ACCT_INPUT_GIGAWORDS),
        octets_out=octets(Type.ACCT_OUTPUT_OCTETS, Type.ACCT_OUTPUT_GIGAWORDS),
    )
