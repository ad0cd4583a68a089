"""The device's side of EAP-TLS and EAP-TTLS, sans-IO: an EAP request in, a response out.

It speaks TLS with its own context, remembers a session for the next attempt where it is told to,
and derives the keys the access point would get.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from opencarrier.access.wire import eap, mschapv2
from opencarrier.access.wire.tls_framing import Framing
from opencarrier.access.wire.tls_method import KEY_OCTETS, Keys
from opencarrier.access.wire.ttls_avp import (
    MICROSOFT,
    Avp,
    MicrosoftAvp,
    Pair,
    encode_avps,
    parse_avps,
)
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.passwords import nt_hash
from opencarrier.kernel.refusals import PeerError

_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_EXPORTER = b"EXPORTER_EAP_TLS_Key_Material"
_LABELS = {eap.EapType.TLS: b"client EAP encryption", eap.EapType.TTLS: b"ttls keying material"}
_READ_OCTETS = 16_384
_PAP_BLOCK_OCTETS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom a device trusts and, for EAP-TLS, what it proves itself with, as PEM.

    Certificates are judged as of `at_us`, of the machine's time where it is None.
    """

    anchors: bytes
    chain: bytes = b""
    key: bytes = field(default=b"", repr=False)
    version: str = "1.3"
    at_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user name and its password; by PAP unless told otherwise."""

    user_name: str
    password: str = field(repr=False)
    mschapv2: bool = False


class TlsDevice:
    """What outlives an attempt: the context and, for resumption, the last session."""

    def __init__(self, trust: Trust) -> None:
        self.context = context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(_VERSIONS[trust.version])
        context.set_max_proto_version(_VERSIONS[trust.version])
        context.set_tmp_ecdh(ec.SECP256R1())  # as phones do; OpenSSL's hybrid doubles the rounds
        store = context.get_cert_store()
        assert store is not None
        for certificate in x509.load_pem_x509_certificates(trust.anchors):
            store.add_cert(crypto.X509.from_cryptography(certificate))
        if trust.at_us is not None:
            store.set_time(datetime.fromtimestamp(trust.at_us // SECOND_US, UTC))
        context.set_verify(SSL.VERIFY_PEER)
        if trust.chain:
            leaf, *rest = x509.load_pem_x509_certificates(trust.chain)
            context.use_certificate(leaf)
            for certificate in rest:
                context.add_extra_chain_cert(certificate)
            key: Any = load_pem_private_key(trust.key, None)
            context.use_privatekey(key)
        self.session: SSL.Session | None = None


@dataclass(slots=True)
class TlsPeer:
    """One attempt of a device; `keys` are set once the handshake was done.

    `outer` is the identity told in clear. With a `login` it is EAP-TTLS, else EAP-TLS. A hostile
    device sets `keep_session`, and offers what a failed attempt left it.
    """

    device: TlsDevice
    outer: str
    entropy: Entropy
    login: Login | None = None
    keys: Keys | None = field(default=None, repr=False)
    finished: str = ""
    resumed: bool = False
    rounds: int = 0
    keep_session: bool = False
    _framing: Framing = field(default_factory=Framing, repr=False)
    _connection: SSL.Connection | None = field(default=None, repr=False)
    _proven: bool = False

    @property
    def permanent(self) -> str:
        """The identity told in clear; there is no other outside the tunnel."""
        return self.outer

    @property
    def type(self) -> eap.EapType:
        """The method."""
        return eap.EapType.TLS if self.login is None else eap.EapType.TTLS

    def identity(self, identifier: int = 0) -> bytes:
        """The EAP-Response/Identity that opens an attempt."""
        name = self.outer.encode()
        return eap.encode_eap(eap.EapCode.RESPONSE, identifier, eap.EapType.IDENTITY, name)

    def respond(self, octets: bytes) -> bytes | None:
        """Answer a request; None at success and failure, which end the attempt."""
        packet = eap.parse_eap(octets)
        if packet.code in (eap.EapCode.SUCCESS, eap.EapCode.FAILURE):
            self._finish(packet.code)
            return None
        if packet.type == eap.EapType.IDENTITY:
            return self.identity(packet.identifier)
        if packet.type != self.type:
            return eap.encode_eap(
                eap.EapCode.RESPONSE, packet.identifier, eap.EapType.NAK, bytes((self.type,))
            )
        self.rounds += 1
        return eap.encode_eap(
            eap.EapCode.RESPONSE, packet.identifier, self.type, self._data(packet.data)
        )

    def _data(self, data: bytes) -> bytes:
        if self._connection is None:
            self._begin()
            return self._say(b"")
        message = self._framing.take(data)
        return self._framing.request() if message is None else self._say(message)

    def _begin(self) -> None:
        self._connection = SSL.Connection(self.device.context, None)
        self._connection.set_connect_state()
        if self.device.session is not None:
            self._connection.set_session(self.device.session)

    def _say(self, message: bytes) -> bytes:
        connection = self._connection
        assert connection is not None
        if message:
            connection.bio_write(message)
        try:
            if self.keys is None:
                connection.do_handshake()
                self._established(connection)
            self._read(connection)
            self._prove(connection)
        except SSL.WantReadError:
            pass
        except SSL.Error:
            self.finished = "tls_error"
        octets = _pending(connection)
        return self._framing.send(octets) if octets else self._framing.request()

    def _established(self, connection: SSL.Connection) -> None:
        size = 2 * KEY_OCTETS
        if connection.get_protocol_version() == SSL.TLS1_3_VERSION:
            material = connection.export_keying_material(_EXPORTER, size, bytes((self.type,)))
        else:
            material = connection.export_keying_material(_LABELS[self.type], size)
        self.keys = Keys(material[:KEY_OCTETS], material[KEY_OCTETS:])
        reused = SSL._lib.SSL_session_reused(connection._ssl)  # type: ignore[attr-defined]
        self.resumed = bool(reused)
        self._proven = self.login is None or self.resumed

    def _read(self, connection: SSL.Connection) -> None:
        """Take what the server says inside: an indication of success, or its proof."""
        while True:
            try:
                plaintext = connection.recv(_READ_OCTETS)
            except SSL.WantReadError:
                return
            if plaintext != b"\x00" and not self._is_proof(plaintext):
                raise PeerError("unexpected_plaintext")

    def _is_proof(self, plaintext: bytes) -> bool:
        (pair,) = parse_avps(plaintext)
        return (pair.vendor, pair.code) == (MICROSOFT, MicrosoftAvp.MS_CHAP2_SUCCESS)

    def _prove(self, connection: SSL.Connection) -> None:
        if self._proven or self.login is None:
            return
        self._proven = True
        user_name = Pair(Avp.USER_NAME, self.login.user_name.encode())
        proof = self._mschapv2(connection) if self.login.mschapv2 else [self._pap()]
        connection.send(encode_avps([user_name, *proof]))

    def _pap(self) -> Pair:
        assert self.login is not None
        password = self.login.password.encode()
        return Pair(Avp.USER_PASSWORD, password + bytes(-len(password) % _PAP_BLOCK_OCTETS))

    def _mschapv2(self, connection: SSL.Connection) -> list[Pair]:
        assert self.login is not None
        material = connection.export_keying_material(b"ttls challenge", 17)
        challenge, identifier = material[:16], material[16:]
        ours = self.entropy.octets("tls-peer/challenge", mschapv2.CHALLENGE_OCTETS)
        answer = mschapv2.nt_response(
            nt_hash(self.login.password),
            peer=ours,
            authenticator=challenge,
            user_name=self.login.user_name.encode(),
        )
        response = identifier + b"\x00" + ours + bytes(8) + answer
        return [
            Pair(MicrosoftAvp.MS_CHAP_CHALLENGE, challenge, MICROSOFT),
            Pair(MicrosoftAvp.MS_CHAP2_RESPONSE, response, MICROSOFT),
        ]

    def _finish(self, code: eap.EapCode) -> None:
        self.finished = code.name.lower()
        keeps = self.keep_session or code is eap.EapCode.SUCCESS
        if self._connection is not None and keeps:
            self.device.session = self._connection.get_session()
            self._connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
        self._connection = None


def _pending(connection: SSL.Connection) -> bytes:
    parts = []
    while True:
        try:
            parts.append(connection.bio_read(_READ_OCTETS))
        except SSL.WantReadError:
            return b"".join(parts)
