"""How TLS messages travel in EAP: flags, fragments and their acknowledgements (RFC 5216 section 3).

EAP-TTLS frames alike; the low bits of its flags are the version, which is 0 (RFC 5281 section 9.1).
"""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

from opencarrier.kernel.refusals import PeerError

MESSAGE_OCTETS_MAX = 32_768
"""Of one TLS message put together; a chain of three RSA-4096 certificates has about 6,000."""

FRAGMENT_OCTETS = 1_300
"""What an Access-Challenge carries within an Ethernet frame, with room for Proxy-State."""

_TOTAL_OCTETS = 4


class Flag(IntFlag):
    """The flags of EAP-TLS; what is not named must be zero."""

    LENGTH = 0x80
    MORE = 0x40
    START = 0x20


_LENGTH, _MORE = int(Flag.LENGTH), int(Flag.MORE)
_TAKEN = _LENGTH | _MORE


class Fragment(NamedTuple):
    """One packet's data: the whole message's length where it is told, whether more follows."""

    total: int | None
    more: bool
    payload: bytes


def parse_fragment(data: bytes) -> Fragment:
    """Read a peer's data after the EAP type, or raise `PeerError`."""
    if not data:
        raise PeerError("tls_flags_missing")
    flags = data[0]
    if flags & ~_TAKEN:
        raise PeerError("tls_flags", f"{flags:#04x}")
    more = flags & _MORE != 0
    if not flags & _LENGTH:
        return Fragment(None, more, data[1:])
    if len(data) < 1 + _TOTAL_OCTETS:
        raise PeerError("tls_length_missing")
    total = int.from_bytes(data[1 : 1 + _TOTAL_OCTETS], "big")
    return Fragment(total, more, data[1 + _TOTAL_OCTETS :])


START = bytes((Flag.START,))
ACKNOWLEDGEMENT = b"\x00"
_FIRST, _FURTHER, _LAST = bytes((_TAKEN,)), bytes((_MORE,)), b"\x00"


class Framing:
    """One conversation's two directions; a `PeerError` leaves it as it was."""

    __slots__ = ("_fragment_octets", "_incoming", "_outgoing", "_total")

    def __init__(self, fragment_octets: int = FRAGMENT_OCTETS) -> None:
        assert fragment_octets > 0
        self._fragment_octets = fragment_octets
        self._incoming = b""
        self._outgoing = b""
        self._total: int | None = None

    def take(self, data: bytes) -> bytes | None:
        """Take a peer's data: the message it completes, empty for an acknowledgement.

        None says that the exchange goes on with `request()`.
        """
        fragment = parse_fragment(data)
        if self._outgoing:
            if fragment.payload or fragment.more:
                raise PeerError("tls_acknowledgement_expected")
            return None
        self._check(fragment)
        message = self._incoming + fragment.payload
        if fragment.more:
            self._total = fragment.total if self._total is None else self._total
            self._incoming = message
            return None
        self._incoming, self._total = b"", None
        return message

    def send(self, message: bytes) -> bytes:
        """Begin to send a message; returned is the data of its first packet."""
        assert message
        assert not self._outgoing
        self._outgoing = message
        if len(message) <= self._fragment_octets:
            return self.request()
        total = len(message).to_bytes(_TOTAL_OCTETS, "big")
        return _FIRST + total + self._cut()

    def request(self) -> bytes:
        """The data of the next packet: a fragment, or the acknowledgement of one."""
        if not self._outgoing:
            return ACKNOWLEDGEMENT
        more = len(self._outgoing) > self._fragment_octets
        return (_FURTHER if more else _LAST) + self._cut()

    def _cut(self) -> bytes:
        part = self._outgoing[: self._fragment_octets]
        self._outgoing = self._outgoing[self._fragment_octets :]
        return part

    def _check(self, fragment: Fragment) -> None:
        size = len(self._incoming) + len(fragment.payload)
        told = fragment.total if self._total is None else self._total
        if fragment.more and not fragment.payload:
            raise PeerError("tls_fragment_empty")
        if size > MESSAGE_OCTETS_MAX or (told or 0) > MESSAGE_OCTETS_MAX:
            raise PeerError("tls_message_size", f"{max(size, told or 0)} octets")
        if fragment.total is not None and fragment.total != told:
            raise PeerError("tls_length_changed")
        if told is not None and (size > told or (size < told and not fragment.more)):
            raise PeerError("tls_length", f"{size} of {told} octets")
