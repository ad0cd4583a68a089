"""What a TLS server must know of handshake messages itself: which sessions are asked for and given.

OpenSSL does TLS. These total parsers read the few fields that tie a session to whoever earned it:
identities a ClientHello offers, and those that ServerHello and NewSessionTicket hand out.
Source: RFC 5246 section 7.4, RFC 8446 sections 4.1, 4.2.11 and 4.6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from opencarrier.kernel.refusals import PeerError

RECORD_HEADER_OCTETS = 5
RECORD_OCTETS_MAX = (1 << 14) + 256
"""Of a protected record (RFC 8446 section 5.2); TLS 1.2's may be larger, none in use is."""

RECORDS_MAX = 64
"""In one message of a peer: certificates and all it signs are under ten."""

OFFERS_MAX = 16
_HEAD_OCTETS = 4
_VERSION_OCTETS, _RANDOM_OCTETS = 2, 32
_PRE_SHARED_KEY = 41
_TICKET_AGE_OCTETS = 4


class Content(IntEnum):
    """Record types."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23


class Handshake(IntEnum):
    """Handshake messages that are read here."""

    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    NEW_SESSION_TICKET = 4


@dataclass(frozen=True, slots=True)
class Offer:
    """The sessions a ClientHello asks to resume: by id in TLS 1.2, by pre-shared key in 1.3."""

    session_id: bytes = b""
    keys: tuple[bytes, ...] = ()


def parse_records(message: bytes) -> list[tuple[int, bytes]]:
    """Cut a peer's message into its records, whole ones only; `PeerError` for anything else."""
    records: list[tuple[int, bytes]] = []
    offset = 0
    while offset < len(message):
        head = message[offset : offset + RECORD_HEADER_OCTETS]
        if len(head) < RECORD_HEADER_OCTETS or len(records) == RECORDS_MAX:
            raise PeerError("tls_records", offset=offset)
        size = int.from_bytes(head[3:5], "big")
        end = offset + RECORD_HEADER_OCTETS + size
        if not Content.CHANGE_CIPHER_SPEC <= head[0] <= Content.APPLICATION_DATA or head[1] != 3:
            raise PeerError("tls_record_header", offset=offset)
        if not 0 < size <= RECORD_OCTETS_MAX or end > len(message):
            raise PeerError("tls_record_length", offset=offset + 3)
        records.append((head[0], message[offset + RECORD_HEADER_OCTETS : end]))
        offset = end
    return records


def first_offer(message: bytes) -> Offer:
    """What the ClientHello of a peer's first message offers; `PeerError` where it is none."""
    records = parse_records(message)
    if not records or any(kind != Content.HANDSHAKE for kind, _ in records):
        raise PeerError("tls_client_hello")
    return parse_offer(b"".join(payload for _, payload in records))


def parse_offer(handshake: bytes) -> Offer:
    """Read a ClientHello with its header of four octets, or raise `PeerError`."""
    if handshake[:1] != bytes((Handshake.CLIENT_HELLO,)):
        raise PeerError("tls_client_hello")
    body = _Reader(handshake[1:]).vector(3)
    hello = _Reader(body)
    hello.take(_VERSION_OCTETS + _RANDOM_OCTETS)
    session_id = hello.vector(1)
    hello.vector(2)
    hello.vector(1)
    offered = _extension(hello.vector(2) if hello.left else b"", _PRE_SHARED_KEY)
    return Offer(session_id, () if offered is None else _offered_keys(offered))


def given_session_id(handshake: bytes) -> bytes:
    """The session id of a ServerHello (in TLS 1.3 an echo that names nothing)."""
    hello = _Reader(handshake[_HEAD_OCTETS:])
    hello.take(_VERSION_OCTETS + _RANDOM_OCTETS)
    return hello.vector(1)


def given_ticket(handshake: bytes) -> bytes:
    """The ticket of a TLS 1.3 NewSessionTicket: lifetime, age, a nonce, then the ticket."""
    message = _Reader(handshake[_HEAD_OCTETS:])
    message.take(8)
    message.vector(1)
    return message.vector(2)


def _extension(octets: bytes, wanted: int) -> bytes | None:
    """What the last extension of a kind holds; None where there is none of it."""
    found, offset = None, 0
    while offset < len(octets):
        begin = offset + 4
        end = begin + int.from_bytes(octets[offset + 2 : begin], "big")
        if begin > len(octets) or end > len(octets):
            raise PeerError("tls_message_short", offset=offset)
        if int.from_bytes(octets[offset : offset + 2], "big") == wanted:
            found = octets[begin:end]
        offset = end
    return found


def _offered_keys(data: bytes) -> tuple[bytes, ...]:
    identities = _Reader(_Reader(data).vector(2))
    keys: list[bytes] = []
    while identities.left:
        if len(keys) == OFFERS_MAX:
            raise PeerError("tls_offers")
        keys.append(identities.vector(2))
        identities.take(_TICKET_AGE_OCTETS)
    return tuple(keys)


class _Reader:
    """Octets read from the front; `PeerError` where they end too early."""

    __slots__ = ("_octets", "_offset")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._offset = 0

    @property
    def left(self) -> int:
        return len(self._octets) - self._offset

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise PeerError("tls_message_short", offset=self._offset)
        self._offset += size
        return self._octets[self._offset - size : self._offset]

    def vector(self, width: int) -> bytes:
        begin = self._offset + width
        end = begin + int.from_bytes(self._octets[self._offset : begin], "big")
        if begin > len(self._octets) or end > len(self._octets):
            raise PeerError("tls_message_short", offset=self._offset)
        self._offset = end
        return self._octets[begin:end]
