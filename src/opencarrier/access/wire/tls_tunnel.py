"""One TLS conversation over memory, and the OpenSSL contexts behind it: no socket, no file.

pyOpenSSL, because EAP needs the exporter, which Python's `ssl` lacks (RFC 5705, RFC 9190).
Sessions are kept by OpenSSL under short names (no ticket holds state), and looked up only where
`Resumptions` knows the name: what merely finished a handshake is worth nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL, crypto

from opencarrier.access.wire.tls_material import TlsMaterial
from opencarrier.access.wire.tls_messages import (
    Content,
    Handshake,
    Offer,
    given_session_id,
    given_ticket,
    parse_offer,
)
from opencarrier.access.wire.tls_staple import NOTHING, staple_of
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError

_log = logging.getLogger(__name__)

PLAINTEXT_OCTETS_MAX = 16_384
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

_lib, _ffi = SSL._lib, SSL._ffi  # type: ignore[attr-defined]
_NAMES_MAX = 4
"""Of sessions one handshake hands out: TLS 1.3 gives two tickets."""


class TunnelError(Exception):
    """The handshake failed, or the peer broke the tunnel; `reason` is for counters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Seen:
    """What OpenSSL itself read and wrote of sessions in one conversation."""

    offer: Offer = field(default_factory=Offer)
    session_id: bytes = b""
    tickets: list[bytes] = field(default_factory=list)


class TlsContext:
    """OpenSSL's context for one method: `ValueError` or an OpenSSL error for unusable material.

    It serves one thread; `handshakes` counts those that left a session in its memory.
    """

    def __init__(self, material: TlsMaterial, *, name: bytes, certified: bool, ttl_s: int) -> None:
        self.handshakes = 0
        self._context = context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(_VERSIONS[material.version_min])
        context.set_cipher_list(CIPHERS)
        context.set_options(
            SSL.OP_NO_TICKET
            | SSL.OP_NO_COMPRESSION
            | SSL.OP_NO_RENEGOTIATION
            | SSL.OP_CIPHER_SERVER_PREFERENCE
        )
        context.set_mode(_lib.SSL_MODE_RELEASE_BUFFERS)
        context.set_session_id(name)
        context.set_timeout(ttl_s)
        _use(context, material)
        self._now_us = 0
        self.staple(material)
        context.set_ocsp_server_callback(lambda connection, data: self._staple.at(self._now_us))
        if certified:
            self._certify(material)
        self._active: Seen | None = None
        self._callback = _ffi.callback(
            "void(int, int, int, void *, size_t, SSL *, void *)", self._on_message
        )
        _lib.SSL_CTX_set_msg_callback(context._context, self._callback)

    def staple(self, material: TlsMaterial) -> None:
        """Take a response to staple into use; one that is of no use is not stapled."""
        self._staple = NOTHING
        if not material.staple:
            return
        try:
            leaf = x509.load_pem_x509_certificates(material.chain)[0]
            self._staple = staple_of(material.staple, leaf)
        except (ValueError, UnsupportedAlgorithm) as error:
            _log.warning("nothing is stapled: %s", error)

    def _certify(self, material: TlsMaterial) -> None:
        """Demand a certificate of the peer, under an anchor, unrevoked.

        Where a root is among the anchors chains end in one, and the others are for devices that
        show their leaf alone; a chain that ended below would lack the list of what is above.
        """
        store = self._context.get_cert_store()
        assert store is not None
        anchors = x509.load_pem_x509_certificates(material.anchors)
        rooted = any(one.issuer == one.subject for one in anchors)
        flags = 0 if rooted else crypto.X509StoreFlags.PARTIAL_CHAIN
        for certificate in anchors:
            store.add_cert(crypto.X509.from_cryptography(certificate))
        for part in _lists(material.revocations):
            store.add_crl(x509.load_pem_x509_crl(part))
            flags |= crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL
        store.set_flags(flags)
        self._context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)

    def connection(self, now_us: int) -> SSL.Connection:
        """Begin a conversation; certificates are judged as of an instant."""
        self._now_us = now_us
        connection = SSL.Connection(self._context, None)
        connection.set_accept_state()
        parameters = _lib.SSL_get0_param(connection._ssl)
        _lib.X509_VERIFY_PARAM_set_time(parameters, now_us // SECOND_US)
        return connection

    def handshake(self, connection: SSL.Connection, seen: Seen, *, resumable: bool) -> None:
        """Go on with a handshake; sessions are looked up only for one that may resume."""
        lookup = 0 if resumable else SSL.SESS_CACHE_NO_INTERNAL_LOOKUP
        mode = SSL.SESS_CACHE_SERVER | lookup
        _lib.SSL_CTX_set_session_cache_mode(self._context._context, mode)
        self._active = seen
        try:
            connection.do_handshake()
        finally:
            self._active = None

    def _on_message(
        self, written: int, version: int, content: int, data: Any, size: int, ssl: Any, _: Any
    ) -> None:
        """Note the three messages that name sessions; it must not raise into OpenSSL."""
        if self._active is None or content != Content.HANDSHAKE or size == 0:
            return
        octets = _ffi.buffer(data, size)
        note = _NOTES.get((written, octets[0][0]))
        if note is None:
            return
        try:
            note(self._active, octets[:])
        except PeerError:
            self._active.offer = Offer()


def _note_offer(seen: Seen, octets: bytes) -> None:
    seen.offer = parse_offer(octets)


def _note_session_id(seen: Seen, octets: bytes) -> None:
    seen.session_id = given_session_id(octets)


def _note_ticket(seen: Seen, octets: bytes) -> None:
    if len(seen.tickets) < _NAMES_MAX:
        seen.tickets.append(given_ticket(octets))


_NOTES: Mapping[tuple[int, int], Callable[[Seen, bytes], None]] = {
    (0, Handshake.CLIENT_HELLO): _note_offer,
    (1, Handshake.SERVER_HELLO): _note_session_id,
    (1, Handshake.NEW_SESSION_TICKET): _note_ticket,
}
"""The messages that name sessions, by whether the server wrote them."""


class Tunnel:
    """One conversation: octets of the peer in, octets for it out, and the plaintext between."""

    def __init__(self, context: TlsContext, *, resumable: bool, now_us: int) -> None:
        self._context = context
        self._resumable = resumable
        self._open: SSL.Connection | None = context.connection(now_us)
        self._seen = Seen()
        self.established = False

    @property
    def closed(self) -> bool:
        """Whether OpenSSL's state is freed."""
        return self._open is None

    @property
    def _connection(self) -> SSL.Connection:
        assert self._open is not None, "the tunnel is closed"
        return self._open

    def feed(self, octets: bytes) -> bytes:
        """Take a peer's records; return the plaintext in them. `TunnelError` ends the tunnel."""
        try:
            self._connection.bio_write(octets)
            if not self.established:
                self._context.handshake(self._connection, self._seen, resumable=self._resumable)
                self._finish()
            return self._read()
        except SSL.WantReadError:
            return b""
        except SSL.Error as error:
            raise TunnelError(self._why(error)) from None

    def write(self, plaintext: bytes) -> None:
        """Protect plaintext for the peer."""
        self._connection.send(plaintext)

    def pending(self) -> bytes:
        """Take what is to be sent."""
        out, got = b"", PLAINTEXT_OCTETS_MAX
        while got == PLAINTEXT_OCTETS_MAX:
            try:
                part = self._connection.bio_read(PLAINTEXT_OCTETS_MAX)
            except SSL.WantReadError:
                break
            out, got = out + part, len(part)
        return out

    @property
    def is_tls13(self) -> bool:
        """Whether TLS 1.3 was agreed on."""
        return self._connection.get_protocol_version() == SSL.TLS1_3_VERSION

    @property
    def resumed(self) -> bytes | None:
        """The name of the session that was resumed, empty where it cannot be told for sure."""
        if not _lib.SSL_session_reused(self._connection._ssl):
            return None
        if not self.is_tls13:
            return self._seen.offer.session_id
        return self._seen.offer.keys[0] if len(self._seen.offer.keys) == 1 else b""

    @property
    def names(self) -> Sequence[bytes]:
        """What the sessions handed out are called on the wire."""
        if self.is_tls13:
            return tuple(self._seen.tickets)
        return (self._seen.session_id,) if self._seen.session_id else ()

    def certificates(self) -> list[x509.Certificate]:
        """The peer's verified chain, leaf first; empty where it has none."""
        try:
            return list(self._connection.get_verified_chain(as_cryptography=True) or ())
        except (ValueError, x509.InvalidVersion):
            raise TunnelError("certificate_unreadable") from None

    def key_material(self, label: bytes, size: int, context: bytes | None = None) -> bytes:
        """Export keys (RFC 5705)."""
        return self._connection.export_keying_material(label, size, context)

    def close(self, *, keep: bool) -> None:
        """Free OpenSSL's state; a session whose tunnel is not kept leaves its memory too.

        OpenSSL takes a conversation without close_notify for a broken one. EAP sends none, so
        only what was granted is marked as shut down.
        """
        if keep and self._open is not None:
            self._open.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
        self._open = None

    def _finish(self) -> None:
        self.established = True
        self._context.handshakes += 1

    def _read(self) -> bytes:
        plaintext = b""
        while len(plaintext) <= PLAINTEXT_OCTETS_MAX:
            try:
                plaintext += self._connection.recv(PLAINTEXT_OCTETS_MAX)
            except SSL.WantReadError:
                return plaintext
            except SSL.ZeroReturnError:
                raise TunnelError("tls_closed") from None
        raise TunnelError("tls_plaintext_size")

    def _why(self, error: SSL.Error) -> str:
        verdict = _lib.SSL_get_verify_result(self._connection._ssl)
        if verdict:
            return _VERDICTS.get(verdict, "certificate_untrusted")
        queue = error.args[0] if error.args else None
        words = queue[-1][-1] if isinstance(queue, list) and queue else ""
        return next((reason for part, reason in _WORDS.items() if part in words), "tls_handshake")


_VERDICTS = {
    3: "revocations_missing",
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    12: "revocations_expired",
    23: "certificate_revoked",
    26: "certificate_purpose",
}
"""X509_V_ERR of OpenSSL, where it says more than that no anchor vouches."""

_WORDS = {
    "did not return a certificate": "certificate_missing",
    "alert": "tls_alert",
    "bad certificate status response": "tls_alert",
    "unsupported protocol": "tls_version",
    "version too low": "tls_version",
    "no shared cipher": "tls_cipher",
}


def why_unusable(material: TlsMaterial) -> str:
    """Say why a server cannot be set up with this, empty where it can."""
    certified = bool(material.anchors)
    try:
        TlsContext(material, name=b"try", certified=certified, ttl_s=1)
    except SSL.Error as error:
        return "; ".join(str(part[-1]) for part in error.args[0])
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        return str(error).partition("\n")[0]
    return ""


def fingerprint(certificate: x509.Certificate) -> str:
    """What a certificate is known by: SHA-256 of its DER form, in lower-case hex."""
    return sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def valid_until_us(certificates: Sequence[x509.Certificate]) -> int:
    """When the first of a chain expires."""
    return min(int(one.not_valid_after_utc.timestamp()) * SECOND_US for one in certificates)


def _use(context: SSL.Context, material: TlsMaterial) -> None:
    leaf, *intermediates = x509.load_pem_x509_certificates(material.chain)
    context.use_certificate(leaf)
    for certificate in intermediates:
        context.add_extra_chain_cert(certificate)
    key = load_pem_private_key(material.key, None)
    context.use_privatekey(key)  # type: ignore[arg-type] # any key that is not RSA or EC fails
    context.check_privatekey()


def _lists(octets: bytes) -> list[bytes]:
    """The lists of revocations in a PEM text; text without any would revoke nobody."""
    end = b"-----END X509 CRL-----"
    parts = [part + end for part in octets.split(end)[:-1]]
    if octets and not parts:
        raise ValueError("there is no list of revocations in it")
    return parts
