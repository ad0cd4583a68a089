"""What EAP's TLS is set up with: certificates, and limits; nothing of OpenSSL is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from opencarrier.access.wire.tls_framing import FRAGMENT_OCTETS

VERSIONS = ("1.2", "1.3")

CONVERSATIONS_MAX = 2_048
CONVERSATIONS_PER_CLIENT_MAX = 1_024
HANDSHAKES_PER_CONTEXT_MAX = 4_096
"""After so many handshakes a context is made anew, and with it OpenSSL's memory of sessions, whose
size cannot be set from here."""

RESUMPTIONS_MAX = 16_384
RESUMPTION_TTL_S = 12 * 3_600
"""Counted from the full authentication: resuming again and again does not move it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsMaterial:
    """Certificates as PEM: our chain (leaf first, no root), its key, whom we trust, who is revoked.

    Without anchors no client certificate is taken. With lists of revocations every authority that
    signed a client's chain needs a current one. `staple` is an OCSP response of our certificate.
    """

    chain: bytes
    key: bytes = field(repr=False)
    anchors: bytes = b""
    revocations: bytes = b""
    version_min: str = "1.2"
    staple: bytes = field(default=b"", repr=False)


class MaterialSource(Protocol):
    """Whoever has the certificates; the same object as long as they are the same."""

    def current(self) -> TlsMaterial:
        """The certificates as they are now; they can be used."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsLimits:
    """How large, how many, how long."""

    fragment_octets: int = FRAGMENT_OCTETS
    conversations_max: int = CONVERSATIONS_MAX
    conversations_per_client_max: int = CONVERSATIONS_PER_CLIENT_MAX
    handshakes_per_context_max: int = HANDSHAKES_PER_CONTEXT_MAX
    resumptions_max: int = RESUMPTIONS_MAX
    resumption_ttl_s: int = RESUMPTION_TTL_S
