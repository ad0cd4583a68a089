"""Writes transfer files: trees of names and values as BER, by the same table that reads them.

A file whose events do not wait in memory is of indefinite length, which every reader must take;
`transfer_batch` writes definite lengths where asked, and then holds the events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from opencarrier.usage.wire.ber import application
from opencarrier.usage.wire.tap.tags import BY_NAME, Kind, Tag

_END_OF_CONTENTS: Final = bytes(2)
_CONSTRUCTED: Final = 0x20

Choice = tuple[str, Any]
"""An item of a list whose items may be of several kinds: its name, and its value."""


def encode(name: str, value: Any) -> bytes:
    """Write one element; a group is a mapping, a list a sequence of values or of `Choice`.

    Fields are written in the table's order whatever theirs. `KeyError` for a name that is not in
    the table or not of that group: what is written is ours.
    """
    tag = BY_NAME[name]
    content = _content(tag, value)
    return _identifier(tag) + _length(len(content)) + content


def transfer_batch(
    control: Mapping[str, Any],
    accounting: Mapping[str, Any],
    network: Mapping[str, Any],
    events: Iterable[bytes],
    audit: Iterable[Mapping[str, Any]],
    *,
    definite: bool = False,
) -> Iterator[bytes]:
    """Yield a file's octets; `audit` is asked once the events are through, when it knows them."""
    head = (
        encode("batchControlInfo", control)
        + encode("accountingInfo", accounting)
        + encode("networkInfo", network)
    )
    if definite:
        held = b"".join(events)
        listed = _whole("callEventDetails", held)
        tail = b"".join(encode("auditControlInfo", fields) for fields in audit)
        yield _whole("transferBatch", head + listed + tail)
        return
    yield _identifier(BY_NAME["transferBatch"]) + b"\x80" + head
    yield _identifier(BY_NAME["callEventDetails"]) + b"\x80"
    yield from events
    yield _END_OF_CONTENTS
    yield from (encode("auditControlInfo", fields) for fields in audit)
    yield _END_OF_CONTENTS


def _whole(name: str, content: bytes) -> bytes:
    return _identifier(BY_NAME[name]) + _length(len(content)) + content


def _content(tag: Tag, value: Any) -> bytes:
    if tag.kind is Kind.GROUP:
        unknown = value.keys() - set(tag.holds)
        if unknown:
            raise KeyError(f"{tag.name} holds no {sorted(unknown)}")
        return b"".join(encode(name, value[name]) for name in tag.holds if name in value)
    if tag.kind is Kind.LIST:
        return b"".join(_items(tag, value))
    return _leaf(tag.kind, value)


def _items(tag: Tag, values: Sequence[Any]) -> Iterator[bytes]:
    for value in values:
        name, content = value if isinstance(value, tuple) else (tag.holds[0], value)
        if name not in tag.holds:
            raise KeyError(f"{tag.name} holds no {name}")
        yield encode(name, content)


def _leaf(kind: Kind, value: Any) -> bytes:
    if kind is Kind.INTEGER:
        integer: int = value
        return integer.to_bytes((8 + (integer if integer >= 0 else ~integer).bit_length()) // 8,
                                "big", signed=True)  # fmt: skip
    text: str = value
    if kind is Kind.TEXT:
        return text.encode("ascii")
    if kind is Kind.DIGITS and len(text) % 2:
        text += "f"
    return bytes.fromhex(text)


def _identifier(tag: Tag) -> bytes:
    number = application(tag.number)
    octets = bytearray(number.to_bytes((number.bit_length() + 7) // 8, "big"))
    if tag.kind in (Kind.GROUP, Kind.LIST):
        octets[0] |= _CONSTRUCTED
    return bytes(octets)


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets
