"""Names of operators and clearing providers: a namespace's character, then the name (RFC 5580).

Operator-Name (126), WBA's Financial- and Data-Clearing-Provider and Identity-Provider write who
somebody is alike: `4EXAMPLE:FR` is the WBAID EXAMPLE:FR.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from opencarrier.kernel.refusals import PeerError

NAME_OCTETS_MAX: Final = 252
_WBAID: Final = re.compile(r"[A-Z0-9][A-Z0-9._-]*(?:\.[A-Z0-9_-]+)*:[A-Z]{2}", re.IGNORECASE)


class Namespace(StrEnum):
    """Who gave the name (IANA, Operator Namespace Identifiers)."""

    TADIG = "0"
    REALM = "1"
    E212 = "2"
    ICC = "3"
    WBA = "4"


@dataclass(frozen=True, slots=True)
class OperatorName:
    """Whom a packet names, and by whose register."""

    namespace: Namespace
    name: str

    @property
    def octets(self) -> bytes:
        """The attribute's value."""
        return (self.namespace + self.name).encode()

    def __str__(self) -> str:
        """Write it as it stands on the wire."""
        return self.namespace + self.name


def wbaid(name: str) -> OperatorName:
    """Return a member's name; `PeerError` unless it ends in a colon and a country's letters."""
    if not _WBAID.fullmatch(name) or len(name) > NAME_OCTETS_MAX:
        raise PeerError("wbaid", name[:80])
    return OperatorName(Namespace.WBA, name.upper())


def read_name(octets: bytes) -> OperatorName:
    """Read a name; `PeerError` where the namespace is not known or nothing follows it.

    A realm is in lower case and a WBAID in upper, so that one name is one text.
    """
    try:
        text = octets.decode("utf-8")
        namespace = Namespace(text[:1])
    except ValueError as error:
        raise PeerError("operator_name", "no namespace that is known") from error
    name = text[1:]
    if not name or not name.isprintable():
        raise PeerError("operator_name", "no name")
    if namespace is Namespace.WBA:
        return wbaid(name)
    return OperatorName(namespace, name.lower() if namespace is Namespace.REALM else name)
