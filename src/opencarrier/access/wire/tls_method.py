"""What EAP-TLS and EAP-TTLS have in common, and EAP-TLS itself (RFC 5216, RFC 9190).

A method is a machine that holds OpenSSL's state, so its calls change it and return it. Nothing of
OpenSSL is made before a peer sent a whole ClientHello, and all is freed with the last key.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from opencarrier.access.wire.eap import (
    Answer,
    Ask,
    Authorise,
    EapCode,
    EapPacket,
    EapType,
    Effect,
    Fail,
    Link,
    Refused,
    Succeed,
    encode_eap,
)
from opencarrier.access.wire.tls_framing import START, Framing
from opencarrier.access.wire.tls_messages import parse_records
from opencarrier.access.wire.tls_resumption import Earned
from opencarrier.access.wire.tls_server import TlsServer, realm_in
from opencarrier.access.wire.tls_tunnel import Tunnel, TunnelError, fingerprint, valid_until_us
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.access import Credential, CredentialKind, Grant

ROUNDS_MAX = 40
HEAD_OCTETS = 10
"""Before the first fragment in an EAP packet: header, type, flags and the whole length."""

KEY_OCTETS = 64
"""Of the MSK, and again of the EMSK."""

_EXPORTER = b"EXPORTER_EAP_TLS_Key_Material"
_COMMITMENT = b"\x00"
"""The protected success indication of RFC 9190 section 2.5."""


class Phase(StrEnum):
    """What a machine waits for."""

    START = "start"
    HANDSHAKE = "handshake"
    INNER = "inner"
    HOME = "home"
    CONFIRMATION = "confirmation"
    ALERT = "alert"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Keys:
    """What the exporter gave both sides."""

    msk: bytes = field(repr=False)
    emsk: bytes = field(repr=False)


class TlsMachine(ABC):
    """One attempt; it is counted for its link's client, and cuts what it sends to fit there."""

    type: EapType
    label: bytes
    """The exporter's label under TLS 1.2."""

    rounds_max = ROUNDS_MAX

    def __init__(self, server: TlsServer, link: Link) -> None:
        self._server = server
        self._client = link.client_id
        room = link.octets_max - HEAD_OCTETS
        self._framing = Framing(min(server.limits.fragment_octets, room))
        self._tunnel: Tunnel | None = None
        self._phase = Phase.START
        self._outer = ""
        self._failure = ""
        self._keys: Keys | None = None
        self._earned: Earned | None = None
        self._grant: Grant | None = None
        self._resumed = False

    def __del__(self) -> None:
        """An attempt that is dropped frees its tunnel and its place."""
        self.close()

    def start(self, identity: bytes, identifier: int) -> tuple[Self, Effect]:
        """Ask for TLS; the outer identity tells the home's realm and need tell nothing else."""
        assert self._phase is Phase.START
        try:
            self._outer = realm_in(identity)
        except PeerError as error:
            return self._end(error.reason)
        self._phase = Phase.HANDSHAKE
        return self, Ask(encode_eap(EapCode.REQUEST, identifier, self.type, START))

    def receive(self, response: EapPacket, identifier: int) -> tuple[Self, Effect]:
        """Take a response; what TLS rejects ends in the alert it deserves, then in failure."""
        if self._displaced:
            return self._end("tls_displaced")
        message = self._framing.take(response.data)
        if message is None:
            return self._ask(self._framing.request(), identifier)
        if self._phase is Phase.ALERT:
            return self._end(self._failure)
        if self._phase is Phase.CONFIRMATION:
            return self._confirmed(message)
        try:
            return self._take(message, identifier)
        except TunnelError as error:
            return self._fail(error.reason, identifier)
        except PeerError as error:
            return self._fail(error.reason, identifier)

    def answer(self, answer: Answer, identifier: int) -> tuple[Self, Effect]:
        """Take the grant, or the home's refusal."""
        assert self._phase is Phase.HOME
        if isinstance(answer, Refused):
            return self._end(answer.reason)
        if self._displaced:
            return self._end("tls_displaced")
        assert isinstance(answer, Grant)
        return self._granted(answer, identifier)

    def close(self, *, keep: bool = False) -> None:
        """Free the tunnel; its session can be resumed where it is kept."""
        tunnel, self._tunnel = getattr(self, "_tunnel", None), None
        if tunnel is not None:
            self._server.close(tunnel, keep=keep)

    @property
    def _displaced(self) -> bool:
        """Whether the tunnel gave way to newer ones."""
        return self._tunnel is not None and self._tunnel.closed

    def _take(self, message: bytes, identifier: int) -> tuple[Self, Effect]:
        if self._tunnel is None:
            self._tunnel = self._server.open(self.type, self._outer, self._client, message)
        elif message:
            parse_records(message)
        was_established = self._tunnel.established
        plaintext = self._tunnel.feed(message)
        if not self._tunnel.established:
            return self._send(self._tunnel.pending(), identifier)
        if not was_established:
            self._derive(self._tunnel)
            return self._established(self._tunnel, plaintext, identifier)
        return self._inner(self._tunnel, plaintext, identifier)

    @abstractmethod
    def _established(
        self, tunnel: Tunnel, plaintext: bytes, identifier: int
    ) -> tuple[Self, Effect]:
        """Go on once the handshake is done."""

    @abstractmethod
    def _inner(self, tunnel: Tunnel, plaintext: bytes, identifier: int) -> tuple[Self, Effect]:
        """Go on with what the peer sent after the handshake."""

    def _resume(self, tunnel: Tunnel) -> bool:
        """Whether the handshake resumed a session; one that was never granted ends here."""
        if tunnel.resumed is None:
            return False
        self._earned = self._server.earned(tunnel, self.type, self._outer)
        if self._earned is None:
            raise TunnelError("resumption_unknown")
        self._resumed = True
        return True

    def _authorise(self) -> tuple[Self, Effect]:
        """Ask the home, at each resumption too: it knows what was revoked or is used up."""
        assert self._earned is not None
        assert self._keys is not None
        self._phase = Phase.HOME
        earned = self._earned
        return self, Authorise(earned.credential, earned.realm, self._keys.emsk)

    def _granted(self, grant: Grant, identifier: int) -> tuple[Self, Effect]:
        """Remember the session, say what is left to say, and end."""
        assert self._tunnel is not None
        assert self._earned is not None
        self._grant = grant
        self._server.remember(self._tunnel, self._earned)
        if self._tunnel.is_tls13 and self._commits:
            self._tunnel.write(_COMMITMENT)
        rest = self._tunnel.pending()
        self.close(keep=True)
        if not rest:
            return self._succeed()
        self._phase = Phase.CONFIRMATION
        return self._ask(self._framing.send(rest), identifier)

    @property
    def _commits(self) -> bool:
        """Whether success is indicated inside the tunnel: always where nothing else is."""
        return True

    def _confirmed(self, message: bytes) -> tuple[Self, Effect]:
        return self._end("tls_unconfirmed") if message else self._succeed()

    def _succeed(self) -> tuple[Self, Effect]:
        assert self._grant is not None
        assert self._keys is not None
        self._phase = Phase.ENDED
        return self, Succeed(self._grant, self._keys.msk, self._resumed)

    def _derive(self, tunnel: Tunnel) -> None:
        """Export MSK and EMSK (RFC 5216 section 2.3, RFC 9190 section 2.3, RFC 9427)."""
        if tunnel.is_tls13:
            material = tunnel.key_material(_EXPORTER, 2 * KEY_OCTETS, bytes((self.type,)))
        else:
            material = tunnel.key_material(self.label, 2 * KEY_OCTETS)
        self._keys = Keys(material[:KEY_OCTETS], material[KEY_OCTETS:])

    def _send(self, octets: bytes, identifier: int) -> tuple[Self, Effect]:
        if not octets:
            raise PeerError("tls_message_incomplete")
        return self._ask(self._framing.send(octets), identifier)

    def _ask(self, data: bytes, identifier: int) -> tuple[Self, Effect]:
        return self, Ask(encode_eap(EapCode.REQUEST, identifier, self.type, data))

    def _fail(self, reason: str, identifier: int) -> tuple[Self, Effect]:
        """Send the alert OpenSSL left, if any, before the failure."""
        alert = self._tunnel.pending() if self._tunnel is not None else b""
        self.close()
        if not alert:
            return self._end(reason)
        self._phase, self._failure = Phase.ALERT, reason
        return self._ask(self._framing.send(alert), identifier)

    def _end(self, reason: str) -> tuple[Self, Effect]:
        self.close()
        self._phase = Phase.ENDED
        return self, Fail(reason)


class EapTls(TlsMachine):
    """EAP-TLS: the client's certificate is the proof."""

    type = EapType.TLS
    label = b"client EAP encryption"

    def _established(
        self, tunnel: Tunnel, plaintext: bytes, identifier: int
    ) -> tuple[EapTls, Effect]:
        if plaintext:
            raise PeerError("tls_plaintext_unexpected")
        if not self._resume(tunnel):
            chain = tunnel.certificates()
            assert chain, "a handshake without a certificate fails"
            self._earned = Earned(
                method=self.type,
                outer=self._outer,
                credential=Credential(CredentialKind.CERTIFICATE, fingerprint(chain[0])),
                realm=self._outer,
                expires_us=self._server.expires_us(valid_until_us=valid_until_us(chain)),
            )
            if not tunnel.is_tls13:
                return self._send(tunnel.pending(), identifier)
        return self._authorise()

    def _inner(self, tunnel: Tunnel, plaintext: bytes, identifier: int) -> tuple[EapTls, Effect]:
        """Under TLS 1.2 the peer acknowledges our Finished; nothing else has a place here."""
        if plaintext:
            raise PeerError("tls_plaintext_unexpected")
        return self._authorise()
