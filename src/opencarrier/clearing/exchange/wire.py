"""A message as signed octets: canonical CBOR, bounded before it is read.

octets    encode([body, signature])
signed    SHA-256(encode(["opencarrier/exchange/message", body]))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from opencarrier.clearing.exchange.model import (
    ENTRIES_MAX,
    Branch,
    Entry,
    Message,
    Summary,
)
from opencarrier.clearing.exchange.tree import BUCKET, DEPTH, DIGITS
from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.ids import ID_OCTETS, Id, derive
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address, Signature, recover

OCTETS_MAX: Final = 256 << 10
ASK_MAX: Final = 32
"""Branches asked for, and told, in one message."""

_PREFIX = re.compile(rf"[0-9a-f]{{0,{DEPTH}}}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")

Sign = Callable[[bytes], Signature]


def seal(message: Message, sign: Sign) -> bytes:
    """Write and sign a message."""
    body = encode(
        [
            message.exchange_id,
            message.sender,
            message.cut_us,
            _summary(message.head),
            message.statement,
            message.signature,
            message.complete,
            list(message.ask),
            [_branch(branch) for branch in message.tell],
        ]
    )
    octets = encode([body, sign(_digest(body)).octets])
    assert len(octets) <= OCTETS_MAX, "a message of full branches fits"
    return octets


def exchange_of(octets: bytes) -> Id:
    """Return the exchange a message names, before its signature is looked at."""
    return Id(_fields(_opened(octets)[0])[0])


def signer_of(octets: bytes) -> Address | None:
    """Return whose key signed a message, before what it says is looked at."""
    body, signature = _opened(octets)
    return recover(_digest(body), signature)


def unseal(octets: bytes, sender: Address) -> Message:
    """Read what a sender signed; `PeerError` for anything else, before it is believed."""
    body, signature = _opened(octets)
    if recover(_digest(body), signature) != sender:
        raise PeerError("wrong_key", "the message is not signed by the peer")
    message = _message(body)
    if message.sender != sender:
        raise PeerError("wrong_sender", message.sender)
    return message


def _opened(octets: bytes) -> tuple[bytes, bytes]:
    if len(octets) > OCTETS_MAX:
        raise PeerError("too_long", f"{len(octets)} octets, the limit is {OCTETS_MAX}")
    match decode(octets):
        case [bytes(body), bytes(signature)] if len(signature) == SIGNATURE_OCTETS:
            return body, signature
    raise PeerError("not_a_message")


def _digest(body: bytes) -> Id:
    return derive("exchange/message", body)


def _fields(body: bytes) -> list[Any]:
    fields = decode(body)
    if not isinstance(fields, list) or len(fields) != 9:
        raise PeerError("not_a_message")
    _octets(fields[0], "exchange_id")
    return fields


def _message(body: bytes) -> Message:
    exchange, sender, cut, head, statement, signature, complete, ask, tell = _fields(body)
    if not isinstance(complete, bool):
        raise PeerError("wrong_type", "complete")
    if not isinstance(signature, bytes) or len(signature) not in (0, SIGNATURE_OCTETS):
        raise PeerError("wrong_type", "signature")
    return Message(
        exchange_id=Id(exchange),
        sender=_address(sender),
        cut_us=_whole(cut, "cut_us"),
        head=None if head is None else _read_summary(head),
        statement=None if statement is None else _octets(statement, "statement"),
        signature=signature,
        complete=complete,
        ask=tuple(_prefix(item) for item in _items(ask, ASK_MAX, "ask")),
        tell=tuple(_read_branch(item) for item in _items(tell, ASK_MAX, "tell")),
    )


def _summary(summary: Summary | None) -> list[Any] | None:
    return None if summary is None else [summary.count, summary.digest]


def _branch(branch: Branch) -> list[Any]:
    return [
        branch.prefix,
        [_summary(child) for child in branch.children],
        [entry.fields() for entry in branch.entries],
    ]


def _read_summary(value: Any) -> Summary:
    match value:
        case [count, digest]:
            return Summary(_whole(count, "count", ENTRIES_MAX), _octets(digest, "digest"))
    raise PeerError("wrong_type", "summary")


def _read_branch(value: Any) -> Branch:
    match value:
        case [prefix, children, entries]:
            kept = tuple(_read_summary(item) for item in _items(children, len(DIGITS), "children"))
            if len(kept) not in (0, len(DIGITS)) or (kept and entries):
                raise PeerError("wrong_branch", "sixteen children, or entries")
            return Branch(
                prefix=_prefix(prefix),
                children=kept,
                entries=tuple(read_entry(item) for item in _items(entries, BUCKET, "entries")),
            )
    raise PeerError("wrong_type", "branch")


def read_entry(value: Any) -> Entry:
    """Read an entry's fields; `PeerError` for what is none."""
    match value:
        case [usage, debtor, end, octets_in, octets_out, duration, amount, corrects, *terms] if (
            len(terms) <= 1
        ):
            return Entry(
                usage_id=_octets(usage, "usage_id"),
                debtor=_address(debtor),
                end_us=_whole(end, "end_us"),
                octets_in=_whole(octets_in, "octets_in"),
                octets_out=_whole(octets_out, "octets_out"),
                duration_s=_whole(duration, "duration_s"),
                amount_minor=_whole(amount, "amount_minor"),
                corrects=None if corrects is None else _octets(corrects, "corrects"),
                terms=_octets(terms[0], "terms") if terms else None,
            )
    raise PeerError("wrong_type", "entry")


def _items(value: Any, most: int, what: str) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise PeerError("too_many", what)
    return value


def _whole(value: Any, what: str, most: int = INT64_MAX) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise PeerError("out_of_bounds", what)
    return value


def _octets(value: Any, what: str) -> Id:
    if not isinstance(value, bytes) or len(value) != ID_OCTETS:
        raise PeerError("wrong_type", what)
    return Id(value)


def _address(value: Any) -> Address:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise PeerError("wrong_type", "address")
    return Address(value)


def _prefix(value: Any) -> str:
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        raise PeerError("wrong_type", "prefix")
    return value
