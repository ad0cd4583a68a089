"""Read the canonical encoding back: only the one canonical form of a value is accepted.

The strict inverse of `encoding.encode`. What decodes, encodes to the same octets again; a longer
head, unsorted or repeated keys, trailing octets, floats and foreign tags are a `PeerError`.
"""

from __future__ import annotations

from opencarrier.kernel.encoding import DEPTH_MAX, Value, encode
from opencarrier.kernel.refusals import PeerError

OCTETS_MAX = 1 << 20
"""The largest input read in one piece; a record is a few hundred octets."""

_SIMPLE: dict[int, bool | None] = {0xF4: False, 0xF5: True, 0xF6: None}


def decode(data: bytes) -> Value:
    """Decode a canonical value: `PeerError` for anything `encode` would not have written.

    Source: RFC 8949 section 4.2.1, with the subset of `encoding`.
    """
    if len(data) > OCTETS_MAX:
        raise PeerError("too_long", f"{len(data)} octets, the limit is {OCTETS_MAX}")
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise PeerError("trailing_octets", offset=reader.at)
    return value


class _Reader:
    """A cursor over the octets; each method takes one thing off them."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        start, end = self.at, self.at + size
        if end > len(self.data):
            raise PeerError("truncated", offset=start)
        self.at = end
        return self.data[start:end]

    def head(self) -> tuple[int, int]:
        start = self.at
        first = self.take(1)[0]
        major, short = first >> 5, first & 0x1F
        if short < 24:
            return major, short
        if short > 27:
            raise PeerError("not_canonical", "an indefinite or reserved length", offset=start)
        size = 1 << (short - 24)
        argument = int.from_bytes(self.take(size), "big")
        least = 24 if size == 1 else 1 << (4 * size)
        if argument < least:
            raise PeerError("not_canonical", "a longer head than needed", offset=start)
        return major, argument

    def value(self, depth: int) -> Value:
        start = self.at
        if start < len(self.data) and self.data[start] in _SIMPLE:
            return _SIMPLE[self.take(1)[0]]
        major, argument = self.head()
        if major < 2:
            return argument if major == 0 else -1 - argument
        if major == 2:
            return self.take(argument)
        if major == 3:
            return self.text(argument, start)
        if major < 6 and depth >= DEPTH_MAX:
            raise PeerError("too_deep", f"nested deeper than {DEPTH_MAX}", offset=start)
        if major in (4, 5) and depth >= DEPTH_MAX:
            raise PeerError("too_deep", f"nested deeper than {DEPTH_MAX}", offset=start)
        if major == 4:
            return self.array(argument, depth)
        if major == 5:
            return self.mapping(argument, depth)
        return self.bignum(major, argument, start)

    def text(self, size: int, start: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise PeerError("not_text", "octets that are not UTF-8", offset=start) from None

    def array(self, count: int, depth: int) -> list[Value]:
        self._plausible(count)
        return [self.value(depth + 1) for _ in range(count)]

    def mapping(self, count: int, depth: int) -> dict[str, Value]:
        self._plausible(count)
        out: dict[str, Value] = {}
        before = b""
        for _ in range(count):
            start = self.at
            major, size = self.head()
            if major != 3:
                raise PeerError("not_canonical", "a map key is text", offset=start)
            key = self.text(size, start)
            octets = self.data[start : self.at]
            if octets <= before:
                raise PeerError("not_canonical", "map keys ascend, each once", offset=start)
            before = octets
            out[key] = self.value(depth + 1)
        return out

    def bignum(self, major: int, tag: int, start: int) -> int:
        if major != 6 or tag not in (2, 3):
            raise PeerError("not_canonical", "a float or a foreign tag", offset=start)
        kind, size = self.head()
        number = int.from_bytes(self.take(size), "big") if kind == 2 else 0
        value = number if tag == 2 else -1 - number
        if encode(value) != self.data[start : self.at]:
            raise PeerError("not_canonical", "a bignum is beyond 64 bits", offset=start)
        return value

    def _plausible(self, count: int) -> None:
        if count > len(self.data) - self.at:
            raise PeerError("truncated", "more items than octets", offset=self.at)
