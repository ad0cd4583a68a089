"""The head of an HTTP request, as far as the agent takes one (RFC 9112): pure, and strict.

One request a connection, a body by its length or none. A Host that is a name is refused: a page
that was opened under a name made to point here would read what its visitor's session is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from opencarrier.kernel.refusals import PeerError

HEAD_OCTETS_MAX: Final = 4_096
END: Final = b"\r\n\r\n"
_FIRST: Final = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,512}) HTTP/1\.[01]")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e]*)")
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?")
_LENGTH: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Head:
    """What is asked for, and how long the body is."""

    method: str
    path: str
    length: int


def read_head(octets: bytes) -> Head:
    """Read a head with the empty line that ends it; `PeerError` for what is none."""
    if len(octets) > HEAD_OCTETS_MAX or not octets.endswith(END):
        raise PeerError("head_size", f"{HEAD_OCTETS_MAX} octets at most")
    first, *lines = octets[: -len(END)].split(b"\r\n")
    asked = _FIRST.fullmatch(first)
    if asked is None:
        raise PeerError("request_line")
    fields: dict[str, str] = {}
    for line in lines:
        name, value = _field(line)
        if fields.setdefault(name, value) != value:
            raise PeerError("field_twice", name)
    if "transfer-encoding" in fields:
        raise PeerError("transfer_encoding", "a body has a Content-Length")
    _see_host(fields.get("host", ""))
    return Head(asked[1].decode(), asked[2].decode(), _length(fields.get("content-length", "0")))


def _field(line: bytes) -> tuple[str, str]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise PeerError("field_form")
    return found[1].decode().lower(), found[2].decode().rstrip(" \t")


def _see_host(host: str) -> None:
    found = _HOST.fullmatch(host.lower())
    try:
        ip_address((found[1] or found[2]) if found else "")
    except ValueError:
        raise PeerError("host", "the agent is asked by its address") from None


def _length(text: str) -> int:
    if not _LENGTH.fullmatch(text):
        raise PeerError("content_length")
    return int(text)
