"""An access point in software: a RADIUS client that really speaks UDP.

It attaches phones and reports their use, repeats what stays unanswered with growing
pauses, and can lose or double datagrams by a seed, for tests and the demo.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol, cast

from opencarrier.access.wire.authenticators import (
    access_request,
    accounting_request,
    check_response,
    open_mppe_key,
)
from opencarrier.access.wire.dictionary import (
    MICROSOFT,
    MS_MPPE_RECV_KEY,
    MS_MPPE_SEND_KEY,
    AcctStatus,
    Code,
    Type,
)
from opencarrier.access.wire.duplicates import Address
from opencarrier.access.wire.eap import parse_eap
from opencarrier.access.wire.radius import Attribute, Packet, eap_message, integer, parse, text
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError

IDENTIFIERS = 256
ROUNDS_MAX = 48
WIRELESS_802_11 = 19
_WORD = 1 << 32


class LinkKeys(Protocol):
    """What a device derived."""

    @property
    def msk(self) -> bytes:
        """The key the access point gets."""
        ...


class Phone(Protocol):
    """A device in one attempt: `sim.eap_peer` with a SIM, `sim.tls_peer` with TLS."""

    @property
    def keys(self) -> LinkKeys | None:
        """What was derived, None before."""
        ...

    def identity(self, identifier: int = 0) -> bytes:
        """Return the response that opens an attempt."""
        ...

    def respond(self, octets: bytes) -> bytes | None:
        """Answer a request; None at the end."""
        ...


class NoAnswerError(Exception):
    """The server stayed silent through every repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How unkind the network is: shares of a thousand, drawn from the seed."""

    seed: int = 0
    lost_permille: int = 0
    doubled_permille: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When to repeat: after `first_s`, each pause twice the last up to `pause_max_s`."""

    first_s: float = 0.5
    pause_max_s: float = 4.0
    tries: int = 8

    def pauses(self) -> list[float]:
        """The pauses of all tries, in seconds."""
        return [min(self.first_s * 2**n, self.pause_max_s) for n in range(self.tries)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """An Access-Accept: what the access point keeps of it for the session."""

    classes: tuple[bytes, ...]
    cui: bytes | None
    user_name: bytes | None
    session_timeout_s: int | None
    interim_interval_s: int | None
    keys_match: bool
    packet: Packet = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An Access-Reject and its Reply-Message."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one accounting packet says; counters are cumulative, absent where None."""

    status: AcctStatus
    acct_session_id: str = ""
    event_s: int | None = None
    session_time_s: int | None = None
    octets_in: int | None = None
    octets_out: int | None = None
    terminate_cause: int | None = None

    def attributes(self) -> list[Attribute]:
        """The attributes of RFC 2866 and RFC 2869 for it, gigawords split off."""
        out = [integer(Type.ACCT_STATUS_TYPE, self.status)]
        if self.acct_session_id:
            out.append(text(Type.ACCT_SESSION_ID, self.acct_session_id))
        numbers = (
            (Type.EVENT_TIMESTAMP, self.event_s),
            (Type.ACCT_SESSION_TIME, self.session_time_s),
            (Type.ACCT_TERMINATE_CAUSE, self.terminate_cause),
        )
        out += [integer(kind, value) for kind, value in numbers if value is not None]
        for octets, low, high in (
            (self.octets_in, Type.ACCT_INPUT_OCTETS, Type.ACCT_INPUT_GIGAWORDS),
            (self.octets_out, Type.ACCT_OUTPUT_OCTETS, Type.ACCT_OUTPUT_GIGAWORDS),
        ):
            if octets is not None:
                out += [integer(low, octets % _WORD), integer(high, octets // _WORD)]
        return out


class Link(asyncio.DatagramProtocol):
    """One UDP socket towards one server port; up to 256 requests wait for their replies."""

    def __init__(self, secret: bytes, patience: Patience, faults: Faults) -> None:
        self._secret = secret
        self._patience = patience
        self._faults = faults
        self._random = Random(faults.seed)  # noqa: S311
        self._transport: asyncio.DatagramTransport | None = None
        self._free: asyncio.Queue[int] = asyncio.Queue()
        self._waiting: dict[int, tuple[bytes, asyncio.Future[Packet]]] = {}
        self.retransmissions = 0
        for identifier in range(IDENTIFIERS):
            self._free.put_nowait(identifier)

    @classmethod
    async def open(cls, server: Address, settings: RadioSettings) -> Link:
        """Connect a socket to a server's port, from the access point's own address if any."""
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        source = None if settings.source is None else (settings.source, 0)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_datagram_endpoint(
            lambda: cls(settings.secret, settings.patience, settings.faults),
            local_addr=source,
            remote_addr=server,
            family=family,
        )
        return link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Match a genuine reply to its request; anything else is ignored."""
        if self._chance(self._faults.lost_permille):
            return
        try:
            packet = parse(data)
            waiting = self._waiting.get(packet.identifier)
            if waiting is None:
                return
            check_response(data, packet, self._secret, waiting[0])
        except PeerError:
            return
        if not waiting[1].done():
            waiting[1].set_result(packet)

    def error_received(self, exc: Exception) -> None:
        """A closed port is silence like any other; the repeats go on."""

    async def access(self, authenticator: bytes, attributes: Sequence[Attribute]) -> Packet:
        """Send an Access-Request until it is answered; `NoAnswerError` after the last try."""
        identifier = await self._free.get()
        datagram = access_request(identifier, authenticator, attributes, self._secret)
        return await self._exchange(identifier, datagram)

    async def accounting(self, attributes: Sequence[Attribute]) -> Packet:
        """Send an Accounting-Request until it is answered; `NoAnswerError` after the last try."""
        identifier = await self._free.get()
        datagram = accounting_request(identifier, attributes, self._secret)
        return await self._exchange(identifier, datagram)

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    async def _exchange(self, identifier: int, datagram: bytes) -> Packet:
        future: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()
        self._waiting[identifier] = (datagram[4:20], future)
        try:
            for number, pause_s in enumerate(self._patience.pauses()):
                self.retransmissions += 1 if number else 0
                self._send(datagram)
                done, _ = await asyncio.wait([future], timeout=pause_s)
                if done:
                    return future.result()
        finally:
            del self._waiting[identifier]
            self._free.put_nowait(identifier)
        raise NoAnswerError(f"no reply after {self._patience.tries} tries")

    def _send(self, datagram: bytes) -> None:
        assert self._transport is not None
        copies = 2 if self._chance(self._faults.doubled_permille) else 1
        for _ in range(copies):
            if not self._chance(self._faults.lost_permille):
                self._transport.sendto(datagram)

    def _chance(self, permille: int) -> bool:
        return permille > 0 and self._random.randrange(1000) < permille


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioSettings:
    """An access point's name, its RADIUS servers and its manners."""

    nas_identifier: str
    secret: bytes = field(repr=False)
    auth: Address
    acct: Address
    source: str | None = None
    patience: Patience = Patience()
    faults: Faults = Faults()


class Radio:
    """A running access point; open it with `await Radio.open(...)`, end it with `close()`."""

    def __init__(self, settings: RadioSettings, entropy: Entropy, auth: Link, acct: Link) -> None:
        self._settings = settings
        self._entropy = entropy
        self._auth = auth
        self._acct = acct

    @classmethod
    async def open(cls, settings: RadioSettings, entropy: Entropy) -> Radio:
        """Open both sockets."""
        auth = await Link.open(settings.auth, settings)
        acct = await Link.open(settings.acct, settings)
        return cls(settings, entropy, auth, acct)

    @property
    def retransmissions(self) -> int:
        """How often a request had to be repeated."""
        return self._auth.retransmissions + self._acct.retransmissions

    def close(self) -> None:
        """Close both sockets."""
        self._auth.close()
        self._acct.close()

    async def attach(self, phone: Phone, station: str = "") -> Attached | Rejected:
        """Carry EAP between the phone and the server until it is let in or turned away.

        `station` is the phone's address on the radio, which the server is told where it is given.
        """
        response: bytes | None = phone.identity()
        assert response is not None
        user = (int(Type.USER_NAME), parse_eap(response).data)
        state: bytes | None = None
        for _ in range(ROUNDS_MAX):
            assert response is not None
            authenticator = self._entropy.octets("radio/authenticator", 16)
            attributes = [user, *self._who(), *eap_message(response)]
            attributes.append((int(Type.CHARGEABLE_USER_IDENTITY), b"\x00"))
            if station:
                attributes.append(text(Type.CALLING_STATION_ID, station))
            if state is not None:
                attributes.append((int(Type.STATE), state))
            reply = await self._auth.access(authenticator, attributes)
            request = reply.joined(Type.EAP_MESSAGE)
            response = phone.respond(request) if request else None
            if reply.code == Code.ACCESS_REJECT:
                words = (reply.get(Type.REPLY_MESSAGE) or b"").partition(b"\0")[0].decode()
                return Rejected(reason=words)
            if reply.code == Code.ACCESS_ACCEPT:
                return self._attached(reply, phone, authenticator)
            state = reply.get(Type.STATE)
        raise NoAnswerError("the server goes on asking")

    async def report(self, report: Report, session: Attached | None = None) -> Packet:
        """Send accounting, with what Access-Accept gave for the session echoed in it."""
        attributes = [*report.attributes(), *self._who()]
        if session is not None:
            attributes += [(int(Type.CLASS), value) for value in session.classes]
            for kind, value in (
                (Type.CHARGEABLE_USER_IDENTITY, session.cui),
                (Type.USER_NAME, session.user_name),
            ):
                if value is not None:
                    attributes.append((int(kind), value))
        return await self._acct.accounting(attributes)

    def _who(self) -> list[Attribute]:
        return [
            text(Type.NAS_IDENTIFIER, self._settings.nas_identifier),
            integer(Type.NAS_PORT_TYPE, WIRELESS_802_11),
        ]

    def _attached(self, reply: Packet, phone: Phone, authenticator: bytes) -> Attached:
        return Attached(
            classes=reply.all(Type.CLASS),
            cui=reply.get(Type.CHARGEABLE_USER_IDENTITY),
            user_name=reply.get(Type.USER_NAME),
            session_timeout_s=reply.integer(Type.SESSION_TIMEOUT),
            interim_interval_s=reply.integer(Type.ACCT_INTERIM_INTERVAL),
            keys_match=_keys(reply, self._settings.secret, authenticator) == _expected(phone),
            packet=reply,
        )


def _keys(reply: Packet, secret: bytes, authenticator: bytes) -> tuple[bytes, ...]:
    sealed = dict(reply.vendor(MICROSOFT))
    return tuple(
        open_mppe_key(sealed[kind], secret, authenticator) if kind in sealed else b""
        for kind in (MS_MPPE_RECV_KEY, MS_MPPE_SEND_KEY)
    )


def _expected(phone: Phone) -> tuple[bytes, ...]:
    return (phone.keys.msk[:32], phone.keys.msk[32:64]) if phone.keys else ()
