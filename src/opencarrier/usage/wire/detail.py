"""FreeRADIUS `detail` files: text records, put back into the packets they were.

A record is a header line, one indented `Name = value` line an attribute, and a blank line; radiusd
adds its own `Timestamp` (seconds since 1970) last. Names and values are those of its dictionaries;
what accounting does not need is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.buffer import Buffer
from opencarrier.usage.wire.records import Datagram, Item, Refused

LINE_OCTETS_MAX = 16_384
LINES_MAX = 1_024
PACKET_OCTETS_MAX = 4_096
VALUE_OCTETS_MAX = 253
PORT = 1813

_HEADER_OCTETS = 20
_LINE = re.compile(rb"\s+([A-Za-z0-9][A-Za-z0-9.:_-]*)\s*(?:=|:=|\+=)\s*(.*?)\s*")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_ESCAPED: Final[Mapping[bytes, bytes]] = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_DATE = re.compile(r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) (?:UTC|GMT)")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

_STATUS: Final[Mapping[bytes, int]] = {
    b"Start": 1,
    b"Stop": 2,
    b"Interim-Update": 3,
    b"Alive": 3,
    b"Accounting-On": 7,
    b"Accounting-Off": 8,
}
_CAUSES: Final[Mapping[bytes, int]] = {
    name.encode(): number
    for number, name in enumerate(
        (
            *("User-Request", "Lost-Carrier", "Lost-Service", "Idle-Timeout", "Session-Timeout"),
            *("Admin-Reset", "Admin-Reboot", "Port-Error", "NAS-Error", "NAS-Request"),
            *("NAS-Reboot", "Port-Unneeded", "Port-Preempted", "Port-Suspended"),
            *("Service-Unavailable", "Callback", "User-Error", "Host-Request"),
            *("Supplicant-Restart", "Reauthentication-Failure", "Port-Reinitialized"),
            "Port-Administratively-Disabled",
        ),
        start=1,
    )
}
"""Acct-Terminate-Cause (RFC 2866 section 5.10, RFC 3580 section 3.18)."""


class DetailReader:
    """Reads a detail file piece by piece; a broken record is refused and the next one read."""

    def __init__(self) -> None:
        self._buffer = Buffer()
        self._start = 0
        self._lines: list[tuple[bytes, bytes]] | None = None
        self._broken = ""
        self._in_long_line = False

    def feed(self, octets: bytes) -> Iterator[Item]:
        """Take the next octets and yield what they complete."""
        self._buffer.feed(octets)
        while (size := self._buffer.find(b"\n")) >= 0:
            offset = self._buffer.offset
            line = self._buffer.take(size + 1)[:-1]
            if self._in_long_line:
                self._in_long_line = False
            else:
                yield from self._line(offset, line.rstrip(b"\r"))
        if len(self._buffer) > LINE_OCTETS_MAX:
            self._begin(self._buffer.offset)
            self._broken = self._broken or "line_size"
            self._in_long_line = True
            self._buffer.clear()

    def finish(self) -> Iterator[Item]:
        """Yield the last record if its Timestamp shows it whole, its refusal if the end cut it."""
        whole = not len(self._buffer) and bool(self._lines) and self._stamp() is not None
        if len(self._buffer):
            self._begin(self._buffer.offset)
        if self._lines is not None:
            if not whole:
                self._broken = self._broken or "record_cut"
            yield from self._end()

    def _line(self, offset: int, line: bytes) -> Iterator[Item]:
        if not line.strip():
            if self._lines is not None:
                yield from self._end()
            return
        if not line[:1].isspace():
            if self._lines is not None:
                self._broken = self._broken or "record_cut"
                yield from self._end()
            self._begin(offset)
            return
        self._begin(offset)
        assert self._lines is not None
        match = _LINE.fullmatch(line)
        if len(line) > LINE_OCTETS_MAX:
            self._broken = self._broken or "line_size"
        elif len(self._lines) >= LINES_MAX:
            self._broken = self._broken or "lines"
        elif match is None:
            self._broken = self._broken or "line"
        else:
            self._lines.append((match[1], match[2]))

    def _begin(self, offset: int) -> None:
        if self._lines is None:
            self._start, self._lines = offset, []

    def _end(self) -> Iterator[Item]:
        lines, broken = self._lines or [], self._broken
        stamp = self._stamp()
        self._lines, self._broken = None, ""
        if broken:
            yield Refused(self._start, broken)
            return
        try:
            packet = packet_of(lines)
        except PeerError as error:
            yield Refused(self._start, error.reason)
            return
        yield Datagram(self._start, stamp, PORT, packet)

    def _stamp(self) -> int | None:
        """When radiusd took the packet, which it writes as the last line."""
        name, value = self._lines[-1] if self._lines else (b"", b"")
        if name != b"Timestamp" or not re.fullmatch(rb"\d{1,12}", value):
            return None
        return int(value) * SECOND_US


def packet_of(lines: list[tuple[bytes, bytes]]) -> bytes:
    """Write the Accounting-Request that name and value lines tell, its authenticator zeros.

    Raises `PeerError` where an attribute that matters has a value it cannot have.
    """
    attributes = []
    for name, value in lines:
        known = _ATTRIBUTES.get(name)
        if known is None:
            continue
        octets = known[1](value)
        if octets is None:
            continue
        if len(octets) > VALUE_OCTETS_MAX:
            raise PeerError("attribute_size", name.decode("ascii"))
        attributes.append(bytes((known[0], len(octets) + 2)) + octets)
    if not attributes:
        raise PeerError("attributes_missing")
    body = b"".join(attributes)
    length = _HEADER_OCTETS + len(body)
    if length > PACKET_OCTETS_MAX:
        raise PeerError("packet_size")
    return bytes((4, 0)) + length.to_bytes(2, "big") + bytes(16) + body


def _text(value: bytes) -> bytes:
    """Undo radiusd's quotes and escapes."""
    if len(value) < 2 or value[:1] not in (b'"', b"'") or value[-1:] != value[:1]:
        raise PeerError("attribute_value")
    return _ESCAPE.sub(_unescaped, value[1:-1])


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if len(code) == 3:
        return bytes((int(code, 8) & 0xFF,))
    return _ESCAPED.get(code, code)


def _octets(value: bytes) -> bytes:
    if not value.startswith(b"0x"):
        return _text(value)
    try:
        return bytes.fromhex(value[2:].decode("ascii"))
    except ValueError as error:
        raise PeerError("attribute_value") from error


def _integer(value: bytes) -> bytes:
    if not re.fullmatch(rb"\d{1,10}", value) or int(value) >= 1 << 32:
        raise PeerError("attribute_value")
    return int(value).to_bytes(4, "big")


def _status(value: bytes) -> bytes:
    named = _STATUS.get(value)
    return _integer(value) if named is None else named.to_bytes(4, "big")


def _cause(value: bytes) -> bytes | None:
    """A cause by a name unknown here says nothing that is charged, so it is left out."""
    named = _CAUSES.get(value)
    if named is None and not value.isdigit():
        return None
    return _integer(value) if named is None else named.to_bytes(4, "big")


def _address(value: bytes) -> bytes:
    try:
        return IPv4Address(value.decode("ascii")).packed
    except ValueError as error:
        raise PeerError("attribute_value") from error


def _time(value: bytes) -> bytes | None:
    """A time in another zone than UTC is not certain; the time of arrival then stands in."""
    if value.isdigit():
        return _integer(value)
    match = _DATE.fullmatch(_text(value).decode("latin-1"))
    if match is None or match[1] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(text) for text in match.groups()[1:])
    try:
        at = datetime(year, 1 + _MONTHS.index(match[1]), day, hour, minute, second, tzinfo=UTC)
        return int(at.timestamp()).to_bytes(4, "big")
    except (ValueError, OverflowError) as error:
        raise PeerError("attribute_value") from error


_ATTRIBUTES: Final[Mapping[bytes, tuple[int, Callable[[bytes], bytes | None]]]] = {
    b"User-Name": (1, _text),
    b"NAS-IP-Address": (4, _address),
    b"Class": (25, _octets),
    b"Called-Station-Id": (30, _text),
    b"Calling-Station-Id": (31, _text),
    b"NAS-Identifier": (32, _text),
    b"Acct-Status-Type": (40, _status),
    b"Acct-Delay-Time": (41, _integer),
    b"Acct-Input-Octets": (42, _integer),
    b"Acct-Output-Octets": (43, _integer),
    b"Acct-Session-Id": (44, _text),
    b"Acct-Session-Time": (46, _integer),
    b"Acct-Terminate-Cause": (49, _cause),
    b"Acct-Multi-Session-Id": (50, _text),
    b"Acct-Input-Gigawords": (52, _integer),
    b"Acct-Output-Gigawords": (53, _integer),
    b"Event-Timestamp": (55, _time),
    b"Chargeable-User-Identity": (89, _octets),
    b"Operator-Name": (126, _text),
}
