"""Statements and requests as JSON: one object a line for statements, one a file for a request.

Read strictly: other keys, other forms and values out of range are a `PeerError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opencarrier.access.agent.counters import Flag
from opencarrier.access.agent.holders import Entry, Request
from opencarrier.access.agent.statement import SEQUENCE_MAX, Signed, Statement
from opencarrier.access.agent.store import Holding
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, from_hex, to_hex
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address, Signature

LINE_OCTETS_MAX: Final = 4_096
TEXT_MAX: Final = 600
SIGNATURES_MAX: Final = 8

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
"""JSON can hold half a character; no digest can be made of it."""

_STATEMENT: Final = (
    "nas_identifier",
    "acct_session_id",
    "started_s",
    "class_digest",
    "sequence",
    "previous",
    "status",
    "event_s",
    "session_time_s",
    "octets_in",
    "octets_out",
    "flags",
    "kid",
    "signature",
)
_REQUEST: Final = (
    "node",
    "address",
    "port",
    "at_us",
    "purpose",
    "written_us",
    "signatures",
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request and the signatures it has so far."""

    request: Request
    signatures: tuple[bytes, ...] = ()


def write_statement(signed: Signed) -> str:
    """Write a statement as one line."""
    told = signed.statement
    return json.dumps(
        {
            "nas_identifier": told.nas_identifier,
            "acct_session_id": told.acct_session_id,
            "started_s": told.started_s,
            "class_digest": to_hex(told.class_digest),
            "sequence": told.sequence,
            "previous": to_hex(told.previous),
            "status": told.status,
            "event_s": told.event_s,
            "session_time_s": told.session_time_s,
            "octets_in": told.octets_in,
            "octets_out": told.octets_out,
            "flags": int(told.flags),
            "kid": signed.signature.kid,
            "signature": to_hex(signed.signature.octets),
        }
    )


def read_statement(line: str | bytes) -> Signed:
    """Read a statement; whether its signature holds is for `judge`."""
    value = _document(line, _STATEMENT)
    statement = Statement(
        nas_identifier=_text(value, "nas_identifier"),
        acct_session_id=_text(value, "acct_session_id"),
        started_s=_number(value, "started_s", SEQUENCE_MAX),
        class_digest=_octets(value, "class_digest"),
        sequence=_number(value, "sequence", SEQUENCE_MAX),
        previous=_octets(value, "previous"),
        status=_number(value, "status", SEQUENCE_MAX),
        event_s=_number(value, "event_s"),
        session_time_s=_number(value, "session_time_s"),
        octets_in=_number(value, "octets_in"),
        octets_out=_number(value, "octets_out"),
        flags=Flag(_number(value, "flags", sum(Flag))),
    )
    signature = _octets(value, "signature", SIGNATURE_OCTETS)
    return Signed(statement, Signature(Address(_text(value, "kid")), signature))


def read_statements(lines: Iterable[bytes]) -> Iterator[Signed]:
    """Read a file of statements; `PeerError` names the line."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield read_statement(line)
            except PeerError as error:
                raise PeerError(error.reason, f"line {number}: {error.detail}") from None


def write_request(signed: SignedRequest) -> str:
    """Write a request with its signatures."""
    asked = signed.request
    return json.dumps(
        {
            "node": asked.node,
            "address": asked.address,
            "port": asked.port,
            "at_us": asked.at_us,
            "purpose": asked.purpose,
            "written_us": asked.written_us,
            "signatures": [to_hex(octets) for octets in signed.signatures],
        },
        indent=2,
    )


def read_request(text: str | bytes) -> SignedRequest:
    """Read a request; whether it may be answered is for `permitted`."""
    value = _document(text, _REQUEST)
    signatures = value["signatures"]
    if not isinstance(signatures, list) or len(signatures) > SIGNATURES_MAX:
        raise PeerError("signatures", f"a list of at most {SIGNATURES_MAX}")
    request = Request(
        node=Address(_text(value, "node")),
        address=_text(value, "address"),
        port=None if value["port"] is None else _number(value, "port", 65_535),
        at_us=_number(value, "at_us"),
        purpose=_text(value, "purpose"),
        written_us=_number(value, "written_us"),
    )
    return SignedRequest(request, tuple(_hex(one, SIGNATURE_OCTETS) for one in signatures))


def holding_document(found: Holding) -> dict[str, Any]:
    """Return one answer of who held an address, for JSON."""
    return {
        "address": found.held.address,
        "ports": [found.held.port_from, found.held.port_to],
        "access_point": found.access_point,
        "station": found.station,
        "user_name": found.user_name.decode("utf-8", "replace"),
        "chargeable_user_identity": found.cui.decode("utf-8", "replace"),
        "acct_session_id": found.acct_session_id,
        "from_s": found.from_us // SECOND_US,
        "to_s": found.to_us // SECOND_US,
    }


def entry_document(entry: Entry) -> dict[str, Any]:
    """Return one line of the log of requests, for JSON."""
    return {
        "number": entry.number,
        "at_s": entry.at_us // SECOND_US,
        "address": entry.request.address,
        "port": entry.request.port,
        "about_s": entry.request.at_us // SECOND_US,
        "purpose": entry.request.purpose,
        "signers": list(entry.signers),
        "outcome": entry.outcome.name.lower(),
        "reason": entry.reason,
        "found": entry.found,
        "previous": to_hex(entry.previous),
        "head": to_hex(entry.head),
    }


def _document(text: str | bytes, names: Sequence[str]) -> Mapping[str, Any]:
    if len(text) > LINE_OCTETS_MAX:
        raise PeerError("document_size", f"{len(text)} octets")
    try:
        value = json.loads(text, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise PeerError("not_json", str(error)[:64]) from None
    if not isinstance(value, dict) or set(value) != set(names):
        raise PeerError("keys", ", ".join(names))
    return value


def _no_float(text: str) -> None:
    raise ValueError(f"{text[:32]} is no integer")


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value[name]
    if not isinstance(found, str) or len(found) > TEXT_MAX or _SURROGATE.search(found):
        raise PeerError("value", name)
    return found


def _number(value: Mapping[str, Any], name: str, most: int = INT64_MAX) -> int:
    found = value[name]
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= most:
        raise PeerError("value", name)
    return found


def _octets(value: Mapping[str, Any], name: str, size: int = 32) -> Id:
    return _hex(value[name], size)


def _hex(found: Any, size: int) -> Id:
    try:
        return from_hex(found, octets=size)
    except (ValueError, AttributeError, TypeError):
        raise PeerError("octets", f"0x and {2 * size} hex digits") from None
