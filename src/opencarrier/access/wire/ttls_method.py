"""EAP-TTLS with PAP and MSCHAPv2 inside the tunnel (RFC 5281, RFC 9427)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from opencarrier.access.wire import mschapv2
from opencarrier.access.wire.eap import Answer, EapType, Effect, Link, NeedPassword, Refused, Secret
from opencarrier.access.wire.tls_method import Phase, TlsMachine
from opencarrier.access.wire.tls_resumption import Earned
from opencarrier.access.wire.tls_server import TlsServer, split_identity
from opencarrier.access.wire.tls_tunnel import Tunnel
from opencarrier.access.wire.ttls_avp import (
    MICROSOFT,
    Avp,
    MicrosoftAvp,
    Pair,
    encode_avps,
    parse_avps,
)
from opencarrier.kernel.passwords import nt_hash
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.access import Credential, CredentialKind

PASSWORD_OCTETS_MAX = 256
_CHALLENGE = b"ttls challenge"
_RESPONSE_OCTETS = 2 + 16 + 8 + mschapv2.NT_RESPONSE_OCTETS


@dataclass(frozen=True, slots=True)
class Pap:
    """A password in clear, as its NT hash (RFC 5281 section 11.2.5)."""

    password_hash: bytes = field(repr=False)

    def check(self, password_hash: bytes) -> bytes | None:
        """Compare; nothing is said back, so success is empty."""
        return b"" if hmac.compare_digest(self.password_hash, password_hash) else None


@dataclass(frozen=True, slots=True)
class MsChapV2:
    """A response to the challenge that follows from the tunnel (RFC 5281 section 11.2.4)."""

    identifier: int
    authenticator: bytes
    peer: bytes
    response: bytes
    user_name: bytes

    def check(self, password_hash: bytes) -> bytes | None:
        """Compare; success is the AVP that proves the server in turn."""
        if not mschapv2.response_is_right(self.response, password_hash, **self._challenges):
            return None
        proof = mschapv2.authenticator_response(password_hash, self.response, **self._challenges)
        data = bytes((self.identifier,)) + proof
        return encode_avps([Pair(MicrosoftAvp.MS_CHAP2_SUCCESS, data, MICROSOFT)])

    @property
    def _challenges(self) -> dict[str, bytes]:
        return {
            "peer": self.peer,
            "authenticator": self.authenticator,
            "user_name": self.user_name,
        }


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What a resumed session was granted for: that the password is still the same."""

    digest: bytes = field(repr=False)

    def check(self, password_hash: bytes) -> bytes | None:
        """Compare; nothing is said back, so success is empty."""
        return b"" if hmac.compare_digest(self.digest, _digest(password_hash)) else None


Proof = Pap | MsChapV2 | Unchanged


class EapTtls(TlsMachine):
    """EAP-TTLS: the server's certificate makes the tunnel, a password inside is the proof."""

    type = EapType.TTLS
    label = b"ttls keying material"

    def __init__(self, server: TlsServer, link: Link) -> None:
        super().__init__(server, link)
        self._proof: Proof | None = None

    def answer(self, answer: Answer, identifier: int) -> tuple[EapTtls, Effect]:
        """Take the password, the grant, or the home's refusal."""
        if self._proof is None or self._displaced or isinstance(answer, Refused):
            return super().answer(answer, identifier)
        assert self._phase is Phase.HOME
        assert isinstance(answer, Secret)
        proof, self._proof = self._proof, None
        success = proof.check(answer.octets)
        if success is None:
            return self._end("password_wrong")
        assert self._earned is not None
        self._earned = replace(self._earned, secret=_digest(answer.octets))
        if not success:
            return self._authorise()
        assert self._tunnel is not None
        self._tunnel.write(success)
        self._phase = Phase.INNER
        return self._send(self._tunnel.pending(), identifier)

    @property
    def _commits(self) -> bool:
        """A resumed session has no inner method to say that all is well (RFC 9427)."""
        return self._resumed

    def _established(
        self, tunnel: Tunnel, plaintext: bytes, identifier: int
    ) -> tuple[EapTtls, Effect]:
        if self._resume(tunnel):
            assert self._earned is not None
            return self._ask_home(self._earned, Unchanged(self._earned.secret))
        if plaintext:
            return self._inner(tunnel, plaintext, identifier)
        return self._send(tunnel.pending(), identifier)

    def _inner(self, tunnel: Tunnel, plaintext: bytes, identifier: int) -> tuple[EapTtls, Effect]:
        if self._phase is Phase.INNER:
            if plaintext:
                raise PeerError("ttls_after_success")
            return self._authorise()
        user_name, proof = _read_proof(parse_avps(plaintext), tunnel)
        local, realm = split_identity(user_name)
        if not local:
            raise PeerError("ttls_user_name")
        earned = Earned(
            method=self.type,
            outer=self._outer,
            credential=Credential(CredentialKind.PASSWORD, local),
            realm=realm or self._outer,
            expires_us=self._server.expires_us(),
        )
        return self._ask_home(earned, proof)

    def _ask_home(self, earned: Earned, proof: Proof) -> tuple[EapTtls, Effect]:
        """Ask what the password is now; a changed one ends what was granted by the old."""
        self._earned, self._proof, self._phase = earned, proof, Phase.HOME
        proven = isinstance(proof, Unchanged)
        return self, NeedPassword(earned.credential.value, earned.realm, proven)


def _digest(password_hash: bytes) -> bytes:
    return sha256(password_hash).digest()


def _read_proof(pairs: Sequence[Pair], tunnel: Tunnel) -> tuple[bytes, Pap | MsChapV2]:
    """The user name and its proof; an AVP that must be understood and is not, fails."""
    known = {(pair.vendor, pair.code): pair.data for pair in pairs}
    if len(known) != len(pairs):
        raise PeerError("ttls_avp_twice")
    user_name = known.pop((0, Avp.USER_NAME), None)
    if not user_name:
        raise PeerError("ttls_user_name")
    password = known.pop((0, Avp.USER_PASSWORD), None)
    challenge = known.pop((MICROSOFT, MicrosoftAvp.MS_CHAP_CHALLENGE), None)
    response = known.pop((MICROSOFT, MicrosoftAvp.MS_CHAP2_RESPONSE), None)
    if any(p.mandatory and (p.vendor, p.code) in known for p in pairs):
        raise PeerError("ttls_avp_unknown")
    if password is not None and challenge is None and response is None:
        return user_name, _pap(password)
    if password is None and challenge is not None and response is not None:
        return user_name, _mschapv2(user_name, challenge, response, tunnel)
    raise PeerError("ttls_inner_method")


def _pap(password: bytes) -> Pap:
    stripped = password.rstrip(b"\x00")
    if not 0 < len(stripped) <= PASSWORD_OCTETS_MAX:
        raise PeerError("ttls_password_size")
    try:
        return Pap(nt_hash(stripped.decode()))
    except UnicodeDecodeError:
        raise PeerError("ttls_password_text") from None


def _mschapv2(user_name: bytes, challenge: bytes, response: bytes, tunnel: Tunnel) -> MsChapV2:
    wanted = tunnel.key_material(_CHALLENGE, mschapv2.CHALLENGE_OCTETS + 1)
    if len(response) != _RESPONSE_OCTETS or response[0] != wanted[-1]:
        raise PeerError("ttls_mschapv2_response")
    if not hmac.compare_digest(challenge, wanted[:-1]):
        raise PeerError("ttls_mschapv2_challenge")
    return MsChapV2(
        identifier=response[0],
        authenticator=challenge,
        peer=response[2:18],
        response=response[26:],
        user_name=user_name.rpartition(b"\\")[2],
    )
