"""EAP-AKA' as the server sees it: a pure machine driven by a transition table (RFC 9048).

A first full authentication: an identity round where the outer identity is not a permanent one,
the challenge, one resynchronisation at most, authorisation by the home, and a protected
notification before a failure that follows a proven identity. Pseudonyms and fast re-authentication
are not handed out, so a peer that offers one is asked for its permanent identity.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import sha256
from typing import ClassVar, Final

from opencarrier.access.wire.aka_attributes import (
    AkaMessage,
    At,
    Notification,
    Subtype,
    attribute,
    counted,
    mac_is_right,
    message,
    parse_message,
    response_of,
    signed_message,
    sized,
)
from opencarrier.access.wire.eap import (
    Answer,
    Ask,
    Authorise,
    EapCode,
    EapPacket,
    Effect,
    Fail,
    NeedResync,
    NeedVector,
    Refused,
    Succeed,
)
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.access import AkaVector, Credential, CredentialKind, Grant

KDF_HMAC_SHA_256 = 1
"""The only key derivation function of RFC 9048."""

NETWORK_NAME_WLAN = b"WLAN"
"""The access network's name of Wi-Fi (TS 24.302 section 6.4)."""

RESYNCHRONISATIONS_MAX = 1

_PERMANENT = re.compile(r"6([0-9]{6,15})@([0-9A-Za-z]([0-9A-Za-z.-]{0,240}[0-9A-Za-z])?)")
_PSEUDONYM_PREFIXES: Final = ("7", "2")


@dataclass(frozen=True, slots=True)
class Keys:
    """What both sides derive from CK', IK' and the identity (RFC 9048 section 3.3)."""

    k_encr: bytes = field(repr=False)
    k_aut: bytes = field(repr=False)
    k_re: bytes = field(repr=False)
    msk: bytes = field(repr=False)
    emsk: bytes = field(repr=False)


def prf_prime(key: bytes, seed: bytes, octets: int) -> bytes:
    """PRF' of RFC 9048 section 3.4.1: HMAC-SHA-256 in counter and feedback mode."""
    assert octets <= 255 * 32
    out, block, counter = b"", b"", 1
    while len(out) < octets:
        block = hmac.digest(key, block + seed + bytes((counter,)), "sha256")
        out += block
        counter += 1
    return out[:octets]


def derive_keys(ck_prime: bytes, ik_prime: bytes, identity: bytes) -> Keys:
    """The key hierarchy of one full authentication (RFC 9048 section 3.3)."""
    material = prf_prime(ik_prime + ck_prime, b"EAP-AKA'" + identity, 208)
    return Keys(
        material[:16], material[16:48], material[48:80], material[80:144], material[144:208]
    )


def permanent_identity(identity: bytes) -> tuple[str, str] | None:
    """The IMSI and the lower-case realm of `6<IMSI>@realm`, or None (RFC 9048 section 5.3.1)."""
    try:
        text = identity.decode("ascii")
    except UnicodeDecodeError:
        return None
    match = _PERMANENT.fullmatch(text)
    return (match[1], match[2].lower()) if match else None


class Phase(Enum):
    """What the machine waits for."""

    START = "start"
    IDENTITY = "identity"
    VECTOR = "vector"
    CHALLENGE = "challenge"
    AUTHORISATION = "authorisation"
    NOTIFICATION = "notification"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class AkaPrime:
    """One attempt; every method returns a new machine and one effect.

    `transcript` is the identity round as it went over the wire, for AT_CHECKCODE.
    """

    rounds_max: ClassVar[int] = 12
    """An attempt needs 2 requests, 7 with every detour."""

    network_name: bytes = NETWORK_NAME_WLAN
    kdfs: tuple[int, ...] = (KDF_HMAC_SHA_256,)
    phase: Phase = Phase.START
    identity: bytes = b""
    imsi: str = ""
    realm: str = ""
    transcript: bytes = b""
    asked: tuple[At, ...] = ()
    pending: bytes = b""
    vector: AkaVector | None = field(default=None, repr=False)
    keys: Keys | None = field(default=None, repr=False)
    resynchronisations: int = 0
    failure: str = ""

    def start(self, identity: bytes, identifier: int) -> tuple[AkaPrime, Effect]:
        """Use the EAP-Response/Identity where it is permanent, ask for one where it is not."""
        assert self.phase is Phase.START
        machine = replace(self, identity=identity)
        if permanent_identity(identity) is not None:
            return machine._need_vector()
        pseudonym = identity[:1].decode("latin-1") in _PSEUDONYM_PREFIXES
        return machine._ask_identity(
            At.PERMANENT_ID_REQ if pseudonym else At.FULLAUTH_ID_REQ, identifier
        )

    def receive(self, response: EapPacket, identifier: int) -> tuple[AkaPrime, Effect]:
        """Take a response; what is malformed or has no place ends in a notification."""
        try:
            parsed = parse_message(response.data)
            handler = TRANSITIONS.get((self.phase, parsed.subtype))
            if handler is None:
                raise PeerError("aka_unexpected", parsed.subtype.name.lower())
            return handler(self, parsed, response, identifier)
        except PeerError as error:
            if self.phase is Phase.NOTIFICATION:
                return self._end(self.failure)
            return self._notify(error.reason, Notification.GENERAL_FAILURE_BEFORE, identifier)

    def answer(self, answer: Answer, identifier: int) -> tuple[AkaPrime, Effect]:
        """Take the vector, the grant, or the home's refusal."""
        if isinstance(answer, AkaVector):
            assert self.phase is Phase.VECTOR
            keys = derive_keys(answer.ck, answer.ik, self.identity)
            return replace(self, vector=answer, keys=keys)._challenge(identifier)
        if isinstance(answer, Grant):
            assert self.phase is Phase.AUTHORISATION
            assert self.keys is not None
            ended = replace(self, phase=Phase.ENDED)
            return ended, Succeed(answer, self.keys.msk)
        assert isinstance(answer, Refused)
        return self._refused(answer, identifier)

    def _refused(self, refused: Refused, identifier: int) -> tuple[AkaPrime, Effect]:
        if self.phase is Phase.AUTHORISATION:
            code = (
                Notification.NOT_SUBSCRIBED
                if refused.permanent
                else Notification.TEMPORARILY_DENIED
            )
            return self._notify(refused.reason, code, identifier)
        if not self.asked and self.keys is None:
            return self._end(refused.reason)
        return self._notify(refused.reason, Notification.GENERAL_FAILURE_BEFORE, identifier)

    def _need_vector(self) -> tuple[AkaPrime, Effect]:
        known = permanent_identity(self.identity)
        assert known is not None
        imsi, realm = known
        machine = replace(self, phase=Phase.VECTOR, imsi=imsi, realm=realm)
        return machine, NeedVector(imsi, realm, self.network_name)

    def _ask_identity(self, kind: At, identifier: int) -> tuple[AkaPrime, Effect]:
        octets = message(EapCode.REQUEST, identifier, Subtype.IDENTITY, [attribute(kind)])
        machine = replace(self, phase=Phase.IDENTITY, asked=(*self.asked, kind), pending=octets)
        return machine, Ask(octets)

    def _challenge(self, identifier: int) -> tuple[AkaPrime, Effect]:
        assert self.vector is not None
        assert self.keys is not None
        octets = signed_message(
            EapCode.REQUEST,
            identifier,
            Subtype.CHALLENGE,
            [
                attribute(At.RAND, bytes(2) + self.vector.rand),
                attribute(At.AUTN, bytes(2) + self.vector.autn),
                *(attribute(At.KDF, kdf.to_bytes(2, "big")) for kdf in self.kdfs),
                counted(At.KDF_INPUT, self.network_name),
                attribute(At.CHECKCODE, bytes(2) + self._checkcode()),
            ],
            k_aut=self.keys.k_aut,
        )
        return replace(self, phase=Phase.CHALLENGE), Ask(octets)

    def _checkcode(self) -> bytes:
        return sha256(self.transcript).digest() if self.transcript else b""

    def _notify(self, reason: str, code: Notification, identifier: int) -> tuple[AkaPrime, Effect]:
        attributes = [attribute(At.NOTIFICATION, int(code).to_bytes(2, "big"))]
        if code & Notification.GENERAL_FAILURE_BEFORE:
            octets = message(EapCode.REQUEST, identifier, Subtype.NOTIFICATION, attributes)
        else:
            assert self.keys is not None
            octets = signed_message(
                EapCode.REQUEST,
                identifier,
                Subtype.NOTIFICATION,
                attributes,
                k_aut=self.keys.k_aut,
            )
        return replace(self, phase=Phase.NOTIFICATION, failure=reason), Ask(octets)

    def _end(self, reason: str) -> tuple[AkaPrime, Effect]:
        return replace(self, phase=Phase.ENDED, failure=reason), Fail(reason)


Handler = Callable[[AkaPrime, AkaMessage, EapPacket, int], tuple[AkaPrime, Effect]]


def _on_identity(
    machine: AkaPrime, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[AkaPrime, Effect]:
    value = parsed.get(At.IDENTITY)
    if value is None:
        raise PeerError("aka_identity_missing")
    identity = sized(value, "AT_IDENTITY")
    transcript = machine.transcript + machine.pending + response.octets
    machine = replace(machine, identity=identity, transcript=transcript)
    if permanent_identity(identity) is not None:
        return machine._need_vector()
    if At.PERMANENT_ID_REQ in machine.asked:
        raise PeerError("aka_identity_unusable")
    return machine._ask_identity(At.PERMANENT_ID_REQ, identifier)


def _on_challenge(
    machine: AkaPrime, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[AkaPrime, Effect]:
    assert machine.vector is not None
    assert machine.keys is not None
    if parsed.kdfs() and parsed.get(At.RES) is None:
        return _negotiate(machine, parsed.kdfs(), identifier)
    result = parsed.get(At.RES)
    if result is None or parsed.get(At.MAC) is None:
        raise PeerError("aka_response_incomplete")
    if not mac_is_right(response.octets, machine.keys.k_aut):
        raise PeerError("aka_mac")
    if not hmac.compare_digest(response_of(result), machine.vector.xres):
        raise PeerError("aka_res")
    checkcode = parsed.get(At.CHECKCODE)
    if (checkcode or b"\x00\x00")[2:] != machine._checkcode():
        raise PeerError("aka_checkcode")
    machine = replace(machine, phase=Phase.AUTHORISATION)
    assert machine.keys is not None
    proven = Credential(CredentialKind.SIM, machine.imsi)
    return machine, Authorise(proven, machine.realm, machine.keys.emsk)


def _negotiate(
    machine: AkaPrime, wanted: tuple[int, ...], identifier: int
) -> tuple[AkaPrime, Effect]:
    """The peer picks another function of the offer, once: it moves to the front (RFC 9048 3.2)."""
    offer = machine.kdfs
    again = len(offer) != len(set(offer))
    if len(wanted) != 1 or wanted[0] not in offer[1:] or again:
        raise PeerError("aka_kdf")
    return replace(machine, kdfs=(wanted[0], *offer))._challenge(identifier)


def _on_synchronisation_failure(
    machine: AkaPrime, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[AkaPrime, Effect]:
    assert machine.vector is not None
    auts = parsed.get(At.AUTS)
    if auts is None:
        raise PeerError("aka_auts_missing")
    if parsed.kdfs() != machine.kdfs:
        raise PeerError("aka_kdf")
    if machine.resynchronisations >= RESYNCHRONISATIONS_MAX:
        raise PeerError("aka_resynchronised_twice")
    moved = replace(machine, phase=Phase.VECTOR, resynchronisations=machine.resynchronisations + 1)
    return moved, NeedResync(moved.imsi, moved.realm, moved.network_name, machine.vector.rand, auts)


def _on_authentication_reject(
    machine: AkaPrime, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[AkaPrime, Effect]:
    return machine._end("authentication_rejected")


def _on_client_error(
    machine: AkaPrime, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[AkaPrime, Effect]:
    return machine._end("client_error")


def _on_notification(
    machine: AkaPrime, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[AkaPrime, Effect]:
    return machine._end(machine.failure)


TRANSITIONS: Final[dict[tuple[Phase, Subtype], Handler]] = {
    (Phase.IDENTITY, Subtype.IDENTITY): _on_identity,
    (Phase.IDENTITY, Subtype.CLIENT_ERROR): _on_client_error,
    (Phase.CHALLENGE, Subtype.CHALLENGE): _on_challenge,
    (Phase.CHALLENGE, Subtype.AUTHENTICATION_REJECT): _on_authentication_reject,
    (Phase.CHALLENGE, Subtype.SYNCHRONISATION_FAILURE): _on_synchronisation_failure,
    (Phase.CHALLENGE, Subtype.CLIENT_ERROR): _on_client_error,
    (Phase.NOTIFICATION, Subtype.NOTIFICATION): _on_notification,
    (Phase.NOTIFICATION, Subtype.CLIENT_ERROR): _on_client_error,
}
"""Every message the server takes, by what it waits for; any other ends the attempt."""
