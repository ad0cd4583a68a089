"""What we present and whom we trust: files that may change while we run."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from opencarrier.access.radsec.certificates import Certificate

_log = logging.getLogger(__name__)

CRL_OCTETS_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFiles:
    """Where they are, in PEM: our chain, its key, the roots we trust, and revocation lists.

    With lists every certificate of a chain needs one that is in force: one of each authority.
    """

    chain: Path
    key: Path
    roots: Path
    lists: Path | None = None


@dataclass(frozen=True, slots=True)
class _Loaded:
    server: ssl.SSLContext
    client: ssl.SSLContext
    revoked: Mapping[bytes, frozenset[int]]


class Trust:
    """Both ends' TLS settings, made anew when a file changes.

    Connections keep what they began with. Files that do not fit together, as half a rotation
    does not, change nothing: what was in force stays, and the next look tries again.
    """

    def __init__(self, files: TrustFiles) -> None:
        """Load the files; `OSError` or `ssl.SSLError` where they are of no use."""
        self._files = files
        self._seen = self._failed = self._signature()
        self._loaded = _load(files)
        self.reloads = 0
        self.reloads_failed = 0

    @property
    def server(self) -> ssl.SSLContext:
        """What a server's next handshake goes by: TLS 1.2 or 1.3, and a certificate from both."""
        return self._loaded.server

    @property
    def client(self) -> ssl.SSLContext:
        """What a client's next handshake goes by; who the server is, is checked after it."""
        return self._loaded.client

    def refresh(self) -> bool:
        """Load the files if any has changed; say whether others are in force now."""
        seen = self._signature()
        if seen == self._seen:
            return False
        try:
            self._loaded = _load(self._files)
        except (OSError, ValueError) as error:
            if seen != self._failed:
                _log.warning("the RadSec certificates in force stay: %s", error)
            self._failed = seen
            self.reloads_failed += 1
            return False
        self._seen = seen
        self.reloads += 1
        return True

    def refusal(self, certificate: Certificate, now_s: int) -> str:
        """Why a certificate that was good once no longer is, empty where it is."""
        if certificate.ends_s <= now_s:
            return "certificate_expired"
        revoked = self._loaded.revoked.get(certificate.issuer, frozenset())
        return "certificate_revoked" if certificate.serial in revoked else ""

    def _signature(self) -> tuple[tuple[int, int] | None, ...]:
        files = self._files
        return tuple(_stamp(path) for path in (files.chain, files.key, files.roots, files.lists))


def _stamp(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _load(files: TrustFiles) -> _Loaded:
    server = _context(ssl.PROTOCOL_TLS_SERVER, files)
    client = _context(ssl.PROTOCOL_TLS_CLIENT, files)
    server.num_tickets = 0
    server.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    revoked = {} if files.lists is None else _revoked(files.lists)
    return _Loaded(server, client, revoked)


def _context(protocol: int, files: TrustFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_COMPRESSION
    context.load_cert_chain(files.chain, files.key, password="")  # never ask at a terminal
    context.load_verify_locations(files.roots)
    if files.lists is not None:
        context.load_verify_locations(files.lists)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return context


def _revoked(path: Path) -> dict[bytes, frozenset[int]]:
    """The serial numbers each authority took back; `ValueError` where a list cannot be read."""
    octets = path.read_bytes()
    if len(octets) > CRL_OCTETS_MAX:
        raise ValueError(f"{path}: longer than {CRL_OCTETS_MAX} octets")
    end = b"-----END X509 CRL-----"
    found: dict[bytes, frozenset[int]] = {}
    for part in octets.split(end)[:-1]:
        made = x509.load_pem_x509_crl(part + end)
        serials = frozenset(one.serial_number for one in made)
        issuer = made.issuer.public_bytes()
        found[issuer] = found.get(issuer, frozenset()) | serials
    return found
