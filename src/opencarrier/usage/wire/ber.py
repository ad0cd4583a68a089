"""BER and DER element by element, as octets arrive: definite and indefinite lengths (X.690).

A tag here is its identifier octets read as one number, the constructed bit cleared: two spellings
of one element have the same tag. Reasons of refusal: `tag_form` and `length_form` (what X.690
forbids), `tag_size`, `depth`, `element_size` (our limits), `length` (beyond what holds it),
`end_of_contents` (one that ends nothing), `trailing` (after the root) and `cut`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.records import Refused, Severity

DEPTH_MAX = 32
TAG_OCTETS_MAX = 5
LENGTH_OCTETS_MAX = 8
ELEMENT_OCTETS_MAX = 1 << 20
"""The largest element taken whole; a larger one is refused and stepped over."""

INDEFINITE: Final = -1
END_OF_CONTENTS: Final = 0

_CONSTRUCTED, _LOW, _MORE = 0x20, 0x1F, 0x80
_NO_LIMIT: Final = 1 << 70

Path = tuple[int, ...]


class Header(NamedTuple):
    """Identifier and length: `size` octets themselves, `length` octets of content to follow."""

    tag: int
    constructed: bool
    size: int
    length: int


class Element(NamedTuple):
    """An element within octets at hand: where it begins, and where its content does and ends."""

    tag: int
    constructed: bool
    at: int
    start: int
    end: int
    next: int


class Whole(NamedTuple):
    """An element taken whole, header and all, and where in the file it was."""

    offset: int
    path: Path
    octets: bytes


class Opened(NamedTuple):
    """An element that was entered: what it holds follows one by one."""

    offset: int
    path: Path


class Closed(NamedTuple):
    """The end of an element that was entered."""

    offset: int
    path: Path


Piece = Whole | Opened | Closed


def application(number: int) -> int:
    """Return the tag of class application with a number."""
    if number < _LOW:
        return 0x40 | number
    tag, shift = 0x5F, 7
    while number >> shift:
        shift += 7
    while shift:
        shift -= 7
        tag = tag << 8 | number >> shift & 0x7F | (_MORE if shift else 0)
    return tag


def header(octets: bytes, at: int) -> Header | None:
    """Read the header at a place; None where the octets end within it.

    Raises `PeerError`: `tag_form`, `tag_size`, `length_form`.
    """
    end = len(octets)
    if at >= end:
        return None
    first = octets[at]
    constructed, tag, here = bool(first & _CONSTRUCTED), first & ~_CONSTRUCTED, at + 1
    if first & _LOW == _LOW:
        high = _high(octets, here, tag)
        if high is None:
            return None
        tag, here = high
    if here >= end:
        return None
    length = octets[here]
    here += 1
    if length >= _MORE:
        count = length & 0x7F
        if not count:
            if not constructed:
                raise PeerError("length_form", "indefinite, of a primitive")
            return Header(tag, True, here - at, INDEFINITE)
        if count > LENGTH_OCTETS_MAX:
            raise PeerError("length_form", f"{count} octets of length")
        if here + count > end:
            return None
        length = int.from_bytes(octets[here : here + count], "big")
        here += count
    if tag == END_OF_CONTENTS and (length or constructed):
        raise PeerError("tag_form", "universal 0")
    return Header(tag, constructed, here - at, length)


def _high(octets: bytes, at: int, tag: int) -> tuple[int, int] | None:
    """Read a tag number of several octets; none may say what fewer could."""
    number = 0
    for here in range(at, min(at + TAG_OCTETS_MAX, len(octets))):
        octet = octets[here]
        number = number << 7 | octet & 0x7F
        if not number:
            raise PeerError("tag_form", "padded")
        tag = tag << 8 | octet
        if octet < _MORE:
            if number < _LOW:
                raise PeerError("tag_form", "a low number in the high form")
            return tag, here + 1
    if len(octets) < at + TAG_OCTETS_MAX:
        return None
    raise PeerError("tag_size")


class Scan:
    """Finds where an element of indefinite length ends; goes on where the octets did."""

    __slots__ = ("at", "depth")

    def __init__(self, at: int) -> None:
        self.at = at
        self.depth = 1

    def run(self, octets: bytes) -> bool:
        """Go as far as the octets reach; True where the end is known, `at` then behind it.

        Raises `PeerError` as `header` does, and `depth`.
        """
        while self.depth:
            head = header(octets, self.at)
            if head is None:
                return False
            self.at += head.size
            if head.length == INDEFINITE:
                self.depth += 1
                if self.depth > DEPTH_MAX:
                    raise PeerError("depth")
            elif head.tag == END_OF_CONTENTS:
                self.depth -= 1
            else:
                self.at += head.length
        return True


def elements(octets: bytes, at: int, end: int) -> Iterator[Element]:
    """Yield the elements that stand one behind the other between two places.

    Raises `PeerError` as `header` does, and `length` where one reaches beyond the end.
    """
    while at < end:
        found = element(octets, at, end)
        if found.tag == END_OF_CONTENTS:
            raise PeerError("end_of_contents")
        yield found
        at = found.next


def element(octets: bytes, at: int, end: int) -> Element:
    """Return the element at a place; raises as `elements` does."""
    head = header(octets, at)
    if head is None:
        raise PeerError("length")
    start = at + head.size
    if head.length == INDEFINITE:
        scan = Scan(start)
        if not scan.run(octets) or scan.at > end:
            raise PeerError("length")
        return Element(head.tag, True, at, start, scan.at - 2, scan.at)
    stop = start + head.length
    if stop > end:
        raise PeerError("length")
    return Element(head.tag, head.constructed, at, start, stop, stop)


class _Level(NamedTuple):
    """An element being read from within; `limit` is its end, or that of what holds it."""

    path: Path
    end: int
    limit: int


class ElementReader:
    """Reads one root element piece by piece: paths in `enter` are opened, all others taken whole.

    After a header that cannot be, what holds it is stepped over where its length is known;
    otherwise the rest is refused. At most one element of `ELEMENT_OCTETS_MAX` waits.
    """

    def __init__(self, enter: frozenset[Path]) -> None:
        assert max(map(len, enter), default=0) < DEPTH_MAX, "the paths to enter are ours"
        self._enter = enter
        self._octets = b""
        self._base = self._at = 0
        self._levels: list[_Level] = []
        self._scan: Scan | None = None
        self._skip_to = 0
        self._skips_scanned = False
        self._root_seen = self._ended = False

    @property
    def offset(self) -> int:
        """Where in the file the next element begins."""
        return self._base + self._at

    def feed(self, octets: bytes) -> Iterator[Piece | Refused]:
        """Take the next octets and yield what they complete."""
        if self._ended:
            return
        if self._scan is not None:
            self._scan.at -= self._at
        self._base += self._at
        self._octets = self._octets[self._at :] + octets
        self._at = 0
        yield from self._run()

    def finish(self) -> Iterator[Piece | Refused]:
        """Say that the file ends here; yield the refusal of what it cut."""
        whole = self._root_seen and not self._levels and self.offset >= self._skip_to
        if not self._ended and (not whole or self._at < len(self._octets)):
            yield self._refuse_rest("cut")

    def _run(self) -> Iterator[Piece | Refused]:
        while not self._ended:
            try:
                found = self._next()
            except PeerError as error:
                found = self._damaged(error)
            if found is None:
                return
            yield found

    def _next(self) -> Piece | Refused | None:
        """Return what comes next, None where more octets are needed; raises `PeerError`."""
        if self._skip_to and not self._skipped():
            return None
        level = self._levels[-1] if self._levels else None
        if level is not None and level.end == self._base + self._at:
            return self._close(0)
        if self._scan is not None:
            return self._scanned(self._scan)
        if level is None and self._root_seen:
            return self._trailing()
        head = header(self._octets, self._at)
        if head is None:
            self._fits(level, self._base + len(self._octets) + 1)
            return None
        if head.tag == END_OF_CONTENTS:
            if level is None or level.end != INDEFINITE:
                raise PeerError("end_of_contents")
            return self._close(head.size)
        self._fits(level, self.offset + head.size + max(head.length, 0))
        return self._element(level, head)

    def _element(self, level: _Level | None, head: Header) -> Piece | Refused | None:
        path = (*level.path, head.tag) if level is not None else (head.tag,)
        if head.constructed and path in self._enter:
            return self._enter_into(level, path, head)
        if head.length == INDEFINITE:
            self._scan = Scan(self._at + head.size)
            return self._scanned(self._scan)
        size = head.size + head.length
        if size > ELEMENT_OCTETS_MAX:
            self._skip_to = self.offset + size
            self._root_seen = True
            return Refused(self.offset, "element_size")
        if self._at + size > len(self._octets):
            return None
        return self._whole(path, self._at + size)

    def _enter_into(self, level: _Level | None, path: Path, head: Header) -> Opened:
        opened = Opened(self.offset, path)
        self._at += head.size
        if head.length != INDEFINITE:
            end = limit = self.offset + head.length
        else:
            end, limit = INDEFINITE, level.limit if level is not None else _NO_LIMIT
        self._levels.append(_Level(path, end, limit))
        self._root_seen = True
        return opened

    def _whole(self, path: Path, stop: int) -> Whole:
        self._root_seen = True
        whole = Whole(self.offset, path, self._octets[self._at : stop])
        self._at = stop
        return whole

    def _scanned(self, scan: Scan) -> Piece | Refused | None:
        """Go on with an element of indefinite length: taken when it ends, or stepped over."""
        ended = scan.run(self._octets)
        level = self._levels[-1] if self._levels else None
        self._fits(level, self._base + scan.at)
        refused = None
        if scan.at - self._at > ELEMENT_OCTETS_MAX and not self._skips_scanned:
            self._skips_scanned = self._root_seen = True
            refused = Refused(self.offset, "element_size")
        if self._skips_scanned:
            self._at = min(scan.at, len(self._octets))
            if ended:
                self._scan, self._skips_scanned = None, False
                self._skip_to = self._base + scan.at
            return refused or (self._next() if ended else None)
        if not ended or scan.at > len(self._octets):
            return None
        self._scan = None
        head = header(self._octets, self._at)
        assert head is not None, "it was read before"
        path = (*level.path, head.tag) if level is not None else (head.tag,)
        return self._whole(path, scan.at)

    def _close(self, size: int) -> Closed:
        closed = Closed(self.offset, self._levels.pop().path)
        self._at += size
        return closed

    def _skipped(self) -> bool:
        self._at = min(self._skip_to - self._base, len(self._octets))
        if self.offset < self._skip_to:
            return False
        self._skip_to = 0
        return True

    @staticmethod
    def _fits(level: _Level | None, end: int) -> None:
        if level is not None and end > level.limit:
            raise PeerError("length")

    def _damaged(self, error: PeerError) -> Refused:
        """Refuse what cannot be read and step to the end of the innermost element of known end."""
        refused = Refused(self.offset, error.reason, Severity.FATAL)
        self._scan, self._skips_scanned = None, False
        while self._levels and self._levels[-1].end == INDEFINITE:
            self._levels.pop()
        if not self._levels:
            return self._refuse_rest(error.reason)
        self._skip_to = self._levels[-1].end
        return refused

    def _trailing(self) -> Refused | None:
        if self._at == len(self._octets):
            return None
        self._ended = True
        refused = Refused(self.offset, "trailing", Severity.WARNING)
        self._at, self._octets = 0, b""
        return refused

    def _refuse_rest(self, reason: str) -> Refused:
        refused = Refused(self.offset, reason, Severity.FATAL)
        self._ended, self._levels = True, []
        self._base, self._at, self._octets = self.offset, 0, b""
        return refused
