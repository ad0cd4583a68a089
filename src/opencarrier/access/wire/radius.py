"""The RADIUS packet: a total parser and an encoder (RFC 2865, 2866, 2869, 3162, 3579)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from opencarrier.access.wire.dictionary import KIND_OCTETS, KINDS, Kind, Type, name_of
from opencarrier.kernel.refusals import PeerError

HEADER_OCTETS = 20
PACKET_OCTETS_MAX = 4096
ATTRIBUTE_VALUE_OCTETS_MAX = 253
AUTHENTICATOR_OCTETS = 16
SIGNATURE_OCTETS = 18
"""The Message-Authenticator that whoever sends a packet puts in front."""

Attribute = tuple[int, bytes]
"""(type, value); the value's 0 to 253 octets stand without the two octets of header."""


_EAP_MESSAGE = int(Type.EAP_MESSAGE)
_SIZES = [KIND_OCTETS[KINDS.get(code, Kind.STRING)] for code in range(256)]
_LENGTH_MIN = bytes(sizes[0] + 2 for sizes in _SIZES)
_LENGTH_MAX = bytes(sizes[-1] + 2 for sizes in _SIZES)
_NUMBERS = frozenset(code for code, kind in KINDS.items() if kind in (Kind.INTEGER, Kind.TIME))
_ANY_MIN, _ANY_MAX = bytes([2]) * 256, bytes([255]) * 256


@dataclass(slots=True)
class Packet:
    """One parsed packet; attributes keep the order they came in (RFC 2865 section 5).

    Nothing changes it; that it is not frozen makes it in half the time.
    """

    code: int
    identifier: int
    authenticator: bytes
    attributes: tuple[Attribute, ...]
    _first: dict[int, bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the first value of each type; an accounting packet is asked a dozen times."""
        self._first = dict(reversed(self.attributes))

    def get(self, attribute_type: int) -> bytes | None:
        """The first value of a type, or None."""
        return self._first.get(attribute_type)

    def all(self, attribute_type: int) -> tuple[bytes, ...]:
        """Every value of a type, in order."""
        if attribute_type not in self._first:
            return ()
        return tuple([value for code, value in self.attributes if code == attribute_type])

    def joined(self, attribute_type: int) -> bytes | None:
        """The values of a split attribute such as EAP-Message put together (RFC 3579 3.1)."""
        values = self.all(attribute_type)
        return b"".join(values) if values else None

    def has(self, attribute_types: frozenset[int]) -> bool:
        """Whether there is any attribute of these types."""
        return not attribute_types.isdisjoint(self._first)

    def without(self, attribute_type: int) -> Packet:
        """The same packet without any value of a type."""
        kept = tuple(a for a in self.attributes if a[0] != attribute_type)
        return Packet(self.code, self.identifier, self.authenticator, kept)

    def integer(self, attribute_type: int) -> int | None:
        """The first value of a type as an unsigned number, or None."""
        value = self._first.get(attribute_type)
        return None if value is None else int.from_bytes(value, "big")

    def text(self, attribute_type: int) -> str | None:
        """The first value of a type as UTF-8, or None; `PeerError` where it is none.

        No text holds a NUL (RFC 2865 section 5), nor can PostgreSQL keep one that does.
        """
        value = self.get(attribute_type)
        if value is None:
            return None
        if 0 in value:
            raise PeerError("attribute_text", name_of(attribute_type))
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PeerError("attribute_text", name_of(attribute_type)) from error

    def vendor(self, vendor_id: int) -> Iterator[Attribute]:
        """The sub-attributes of one vendor (RFC 2865 section 5.26); `PeerError` if malformed."""
        for value in self.all(Type.VENDOR_SPECIFIC):
            if int.from_bytes(value[:4], "big") == vendor_id:
                yield from _attributes(value, start=4, end=len(value))


def parse(datagram: bytes) -> Packet:
    """Read a datagram, or raise `PeerError`; no other exception leaves (RFC 2865 section 3).

    Octets beyond the Length field are padding and ignored; a Length beyond the datagram, outside
    20 to 4096, or an attribute that does not fit or whose value has the wrong size, is an error.
    """
    if len(datagram) < HEADER_OCTETS:
        raise PeerError("packet_short", f"{len(datagram)} octets", offset=0)
    length = int.from_bytes(datagram[2:4], "big")
    if not HEADER_OCTETS <= length <= PACKET_OCTETS_MAX:
        raise PeerError("packet_length", f"Length {length}", offset=2)
    if length > len(datagram):
        raise PeerError("packet_short", f"Length {length} of {len(datagram)}", offset=2)
    attributes = _attributes(
        datagram, start=HEADER_OCTETS, end=length, shortest=_LENGTH_MIN, longest=_LENGTH_MAX
    )
    return Packet(datagram[0], datagram[1], datagram[4:HEADER_OCTETS], tuple(attributes))


def _attributes(
    octets: bytes, *, start: int, end: int, shortest: bytes = _ANY_MIN, longest: bytes = _ANY_MAX
) -> list[Attribute]:
    """Cut octets into attributes whose lengths lie within what their types allow."""
    found: list[Attribute] = []
    add = found.append
    offset, last = start, end - 2
    while offset <= last:
        code, length = octets[offset], octets[offset + 1]
        after = offset + length
        if length < shortest[code] or length > longest[code] or after > end:
            raise _misfit(code, length, offset, end)
        add((code, octets[offset + 2 : after]))
        offset = after
    if offset != end:
        raise PeerError("attribute_short", offset=offset)
    return found


def _misfit(code: int, length: int, offset: int, end: int) -> PeerError:
    if length < 2 or offset + length > end:
        return PeerError("attribute_length", f"{length} octets", offset=offset)
    return PeerError("attribute_size", f"{name_of(code)} of {length - 2} octets")


def encode(
    code: int, identifier: int, authenticator: bytes, attributes: Iterable[Attribute]
) -> bytes:
    """Write a packet; our own oversized value or packet is a bug, not an error."""
    assert 0 <= identifier <= 255
    assert len(authenticator) == AUTHENTICATOR_OCTETS
    out = bytearray((code, identifier, 0, 0))
    out += authenticator
    pack_into(out, attributes)
    length = len(out)
    assert length <= PACKET_OCTETS_MAX
    out[2], out[3] = length >> 8, length & 0xFF
    return bytes(out)


def is_fitting(attributes: Iterable[Attribute]) -> bool:
    """Whether attributes and a Message-Authenticator are no longer than a packet may be."""
    octets = HEADER_OCTETS + SIGNATURE_OCTETS + sum(len(value) + 2 for _, value in attributes)
    return octets <= PACKET_OCTETS_MAX


def integer(attribute_type: int, value: int) -> Attribute:
    """An attribute that carries 32 unsigned bits."""
    assert attribute_type in _NUMBERS
    return int(attribute_type), value.to_bytes(4, "big")


def text(attribute_type: int, value: str) -> Attribute:
    """An attribute that carries UTF-8."""
    return int(attribute_type), value.encode("utf-8")


def eap_message(message: bytes) -> list[Attribute]:
    """An EAP packet cut into EAP-Message attributes of 253 octets (RFC 3579 section 3.1)."""
    size = ATTRIBUTE_VALUE_OCTETS_MAX
    return [(_EAP_MESSAGE, message[start : start + size]) for start in range(0, len(message), size)]


def vendor(vendor_id: int, vendor_type: int, value: bytes) -> Attribute:
    """A Vendor-Specific attribute with one sub-attribute (RFC 2865 section 5.26)."""
    body = vendor_id.to_bytes(4, "big") + bytes((vendor_type, len(value) + 2)) + value
    assert len(body) <= ATTRIBUTE_VALUE_OCTETS_MAX
    return int(Type.VENDOR_SPECIFIC), body


def pack(attributes: Iterable[Attribute]) -> bytes:
    """Attributes as they stand in a packet, one after another."""
    out = bytearray()
    pack_into(out, attributes)
    return bytes(out)


def pack_into(out: bytearray, attributes: Iterable[Attribute]) -> None:
    """Write attributes behind what is there."""
    for attribute_type, value in attributes:
        length = len(value) + 2
        assert length <= ATTRIBUTE_VALUE_OCTETS_MAX + 2
        out.append(attribute_type)
        out.append(length)
        out += value


def unpack(octets: bytes) -> list[Attribute]:
    """Read what `pack` wrote; `PeerError` for anything else."""
    return _attributes(octets, start=0, end=len(octets))
