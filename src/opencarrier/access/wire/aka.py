"""EAP-AKA and EAP-AKA' as the server sees them: one machine driven by a transition table.

An identity is asked for where the outer one does not do; then comes the challenge, with one
resynchronisation at most, or a fast re-authentication where the peer has an identity for it; then
the home authorises. With a challenge the peer gets its next pseudonym and the identity of its next
re-authentication. A failure that follows a proven identity is told in a protected notification.
Sources: RFC 4187, RFC 9048.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import ClassVar, Final, Protocol

from opencarrier.access.wire.aka_attributes import (
    NONCE_S_OCTETS,
    AkaMessage,
    At,
    Notification,
    Subtype,
    attribute,
    counted,
    encrypted,
    mac_is_right,
    message,
    opened,
    parse_message,
    response_of,
    signed_message,
    sized,
)
from opencarrier.access.wire.aka_identity import (
    PseudonymRing,
    permanent_identity,
    temporary_identity,
)
from opencarrier.access.wire.aka_keys import Keys
from opencarrier.access.wire.aka_profile import AKA, AKA_PRIME, Profile
from opencarrier.access.wire.aka_reauthentication import (
    TIMES_MAX,
    Reauthentication,
    Reauthentications,
    expiry_us,
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
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.access import AkaVector, Credential, CredentialKind, Grant

KDF_HMAC_SHA_256 = 1
"""The only key derivation function of RFC 9048."""

NETWORK_NAME_WLAN = b"WLAN"
"""The access network's name of Wi-Fi (TS 24.302 section 6.4)."""

RESYNCHRONISATIONS_MAX = 1
BIDDING_PREFER_AKA_PRIME = b"\x80\x00"
"""The D bit of AT_BIDDING: a peer that knows EAP-AKA' too was bidden down (RFC 9048 section 4)."""

_IV_OCTETS = 16
_NAME_OCTETS = 16
_PSEUDONYM: Final = (AKA.pseudonym, AKA_PRIME.pseudonym)
"""Either method takes the other's: a peer that changed the method keeps its pseudonym."""

_ASKING_ORDER: Final = (At.ANY_ID_REQ, At.FULLAUTH_ID_REQ, At.PERMANENT_ID_REQ)


class Phase(StrEnum):
    """What the machine waits for."""

    START = "start"
    IDENTITY = "identity"
    VECTOR = "vector"
    CHALLENGE = "challenge"
    REAUTHENTICATION = "reauthentication"
    AUTHORISATION = "authorisation"
    NOTIFICATION = "notification"
    ENDED = "ended"


class Opener(Protocol):
    """Whoever holds the keys by which phones encrypt their permanent identity."""

    def open(self, identity: bytes) -> bytes | None:
        """Return the permanent identity inside, None where no key opens it."""
        ...


@dataclass(frozen=True, slots=True)
class AkaHome:
    """What all attempts at one server share; a ring or memory that is not there is not used."""

    entropy: Entropy
    clock: Clock
    pseudonyms: PseudonymRing | None = None
    privacy: Opener | None = None
    reauthentications: Reauthentications | None = None


@dataclass(slots=True)
class Aka:
    """One attempt, moved on in place: a copy at each step would cost a third of its time.

    `identity` is what the keys are derived from. `transcript` is the identity rounds as they went
    over the wire, for AT_CHECKCODE. `again` is the re-authentication under way, `next_name` the
    name given out for the next one.
    """

    rounds_max: ClassVar[int] = 12
    """An attempt needs 2 requests, 9 with every detour."""

    home: AkaHome
    profile: Profile = AKA_PRIME
    network_name: bytes | None = NETWORK_NAME_WLAN
    prefer_aka_prime: bool = False
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
    again: Reauthentication | None = None
    nonce_s: bytes = b""
    next_name: str = ""
    failure: str = ""

    def start(self, identity: bytes, identifier: int) -> tuple[Aka, Effect]:
        """Use the EAP-Response/Identity where it tells who it is, ask where it does not."""
        assert self.phase is Phase.START
        try:
            return self._identified(identity, identifier)
        except PeerError as error:
            return self._end(error.reason)

    def receive(self, response: EapPacket, identifier: int) -> tuple[Aka, Effect]:
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

    def answer(self, answer: Answer, identifier: int) -> tuple[Aka, Effect]:
        """Take the vector, the grant, or the home's refusal."""
        if isinstance(answer, AkaVector):
            assert self.phase is Phase.VECTOR
            self.vector = answer
            self.keys = self.profile.keys(answer.ck, answer.ik, self.identity)
            return self._challenge(identifier)
        if isinstance(answer, Grant):
            return self._granted(answer)
        assert isinstance(answer, Refused)
        return self._refused(answer, identifier)

    def _granted(self, grant: Grant) -> tuple[Aka, Effect]:
        """Only now the next re-authentication is remembered: nothing is before success."""
        assert self.phase is Phase.AUTHORISATION
        assert self.keys is not None
        if self.next_name and self.home.reauthentications is not None:
            self.home.reauthentications.keep(self.next_name, self._following(self.keys))
        self.phase = Phase.ENDED
        return self, Succeed(grant, self.keys.msk, self.again is not None)

    def _following(self, keys: Keys) -> Reauthentication:
        before = self.again
        now_us = self.home.clock.now_us()
        return Reauthentication(
            kind=self.profile.kind,
            imsi=self.imsi,
            realm=self.realm,
            keys=Keys(keys.k_encr, keys.k_aut, keys.k_re, b"", b""),
            counter=before.counter + 1 if before else 1,
            expires_us=before.expires_us if before else expiry_us(now_us),
        )

    def _refused(self, refused: Refused, identifier: int) -> tuple[Aka, Effect]:
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

    def _identified(self, identity: bytes, identifier: int) -> tuple[Aka, Effect]:
        """Go on from an identity, from whichever message it came."""
        first = identity[:1]
        if first == self.profile.reauthentication:
            again = self._remembered(identity)
            if again is not None:
                self.identity = identity
                return self._reauthenticate(again, identifier)
        if first == b"\x00":
            identity = self._decrypted(identity)
        known = self._who(identity)
        if known is None:
            return self._ask_identity(first, identifier)
        self.identity = identity
        self.imsi, self.realm = known
        return self._need_vector()

    def _who(self, identity: bytes) -> tuple[str, str] | None:
        """The IMSI and realm behind a permanent identity or a pseudonym of ours."""
        if identity[:1] not in _PSEUDONYM or self.home.pseudonyms is None:
            return permanent_identity(identity)
        named = temporary_identity(identity)
        if named is None:
            return None
        name, realm = named
        imsi = self.home.pseudonyms.open(name, realm, now_us=self.home.clock.now_us())
        return (imsi, realm) if imsi is not None else None

    def _decrypted(self, identity: bytes) -> bytes:
        """An identity that was encrypted for us; junk and one that no key opens end alike."""
        clear = self.home.privacy.open(identity) if self.home.privacy is not None else None
        if clear is None or permanent_identity(clear) is None:
            raise PeerError("aka_identity_unusable")
        return clear

    def _remembered(self, identity: bytes) -> Reauthentication | None:
        named = temporary_identity(identity)
        if named is None or self.home.reauthentications is None:
            return None
        again = self.home.reauthentications.take(named[0], now_us=self.home.clock.now_us())
        return again if again is not None and again.kind == self.profile.kind else None

    def _need_vector(self) -> tuple[Aka, Effect]:
        self.phase, self.again, self.next_name = Phase.VECTOR, None, ""
        return self, NeedVector(self.imsi, self.realm, self.network_name)

    def _ask_identity(self, first: bytes, identifier: int) -> tuple[Aka, Effect]:
        """Ask for what the peer has not shown yet, ever more plainly (RFC 4187 section 4.1.5)."""
        rung = 1 if first == self.profile.reauthentication else 2 if first in _PSEUDONYM else 0
        if self.asked:
            rung = max(rung, _ASKING_ORDER.index(self.asked[-1]) + 1)
        if rung == len(_ASKING_ORDER):
            raise PeerError("aka_identity_unusable")
        kind = _ASKING_ORDER[rung]
        octets = message(
            self.profile, EapCode.REQUEST, identifier, Subtype.IDENTITY, [attribute(kind)]
        )
        self.phase, self.asked, self.pending = Phase.IDENTITY, (*self.asked, kind), octets
        return self, Ask(octets)

    def _challenge(self, identifier: int) -> tuple[Aka, Effect]:
        assert self.vector is not None
        self.phase, self.next_name = Phase.CHALLENGE, self._new_name()
        attributes = [
            attribute(At.RAND, bytes(2) + self.vector.rand),
            attribute(At.AUTN, bytes(2) + self.vector.autn),
        ]
        if self.network_name is not None:
            attributes += _derivation(self.kdfs, self.network_name)
        attributes += self._hidden(self._next_identities(with_pseudonym=True))
        if self.prefer_aka_prime:
            attributes.append(attribute(At.BIDDING, BIDDING_PREFER_AKA_PRIME))
        return self, Ask(self._signed(identifier, Subtype.CHALLENGE, attributes))

    def _reauthenticate(self, again: Reauthentication, identifier: int) -> tuple[Aka, Effect]:
        nonce_s = self.home.entropy.octets("access/nonce-s", NONCE_S_OCTETS)
        self.phase = Phase.REAUTHENTICATION
        self.imsi, self.realm = again.imsi, again.realm
        self.again, self.nonce_s = again, nonce_s
        self.keys = self.profile.keys_again(again.keys, self.identity, again.counter, nonce_s)
        self.next_name = self._new_name() if again.counter < TIMES_MAX else ""
        secret = [
            attribute(At.COUNTER, again.counter.to_bytes(2, "big")),
            attribute(At.NONCE_S, bytes(2) + nonce_s),
            *self._next_identities(with_pseudonym=False),
        ]
        hidden = self._hidden(secret)
        return self, Ask(self._signed(identifier, Subtype.REAUTHENTICATION, hidden))

    def _new_name(self) -> str:
        if self.home.reauthentications is None:
            return ""
        octets = self.home.entropy.octets("access/reauthentication", _NAME_OCTETS)
        return octets.hex()

    def _next_identities(self, *, with_pseudonym: bool) -> list[bytes]:
        home, out = self.home, []
        if with_pseudonym and home.pseudonyms is not None:
            name = home.pseudonyms.seal(
                self.imsi, self.realm, now_us=home.clock.now_us(), entropy=home.entropy
            )
            out.append(counted(At.NEXT_PSEUDONYM, self.profile.pseudonym + name.encode()))
        if self.next_name:
            name = f"{self.next_name}@{self.realm}"
            out.append(counted(At.NEXT_REAUTH_ID, self.profile.reauthentication + name.encode()))
        return out

    def _hidden(self, attributes: list[bytes]) -> list[bytes]:
        if not attributes:
            return []
        assert self.keys is not None
        iv = self.home.entropy.octets("access/aka-iv", _IV_OCTETS)
        return encrypted(attributes, k_encr=self.keys.k_encr, iv=iv)

    def _signed(self, identifier: int, subtype: Subtype, attributes: list[bytes]) -> bytes:
        assert self.keys is not None
        return signed_message(
            self.profile,
            EapCode.REQUEST,
            identifier,
            subtype,
            [*attributes, attribute(At.CHECKCODE, bytes(2) + self._checkcode())],
            k_aut=self.keys.k_aut,
        )

    def _checkcode(self) -> bytes:
        if not self.transcript:
            return b""
        return hashlib.new(self.profile.digest, self.transcript, usedforsecurity=False).digest()

    def _proven(self) -> tuple[Aka, Effect]:
        assert self.keys is not None
        credential = Credential(CredentialKind.SIM, self.imsi)
        self.phase = Phase.AUTHORISATION
        return self, Authorise(credential, self.realm, self.keys.emsk)

    def _notify(self, reason: str, code: Notification, identifier: int) -> tuple[Aka, Effect]:
        attributes = [attribute(At.NOTIFICATION, int(code).to_bytes(2, "big"))]
        if code & Notification.GENERAL_FAILURE_BEFORE:
            octets = message(
                self.profile, EapCode.REQUEST, identifier, Subtype.NOTIFICATION, attributes
            )
        else:
            octets = self._notification(identifier, attributes)
        self.phase, self.failure = Phase.NOTIFICATION, reason
        return self, Ask(octets)

    def _notification(self, identifier: int, attributes: list[bytes]) -> bytes:
        """A protected one; after a re-authentication it names the counter (RFC 4187 9.10)."""
        assert self.keys is not None
        if self.again is not None:
            counter = attribute(At.COUNTER, self.again.counter.to_bytes(2, "big"))
            attributes = [*attributes, *self._hidden([counter])]
        return signed_message(
            self.profile,
            EapCode.REQUEST,
            identifier,
            Subtype.NOTIFICATION,
            attributes,
            k_aut=self.keys.k_aut,
        )

    def _end(self, reason: str) -> tuple[Aka, Effect]:
        self.phase, self.failure = Phase.ENDED, reason
        return self, Fail(reason)

    def _check(self, parsed: AkaMessage, response: EapPacket, nonce_s: bytes = b"") -> None:
        """Raise `PeerError` unless the response is whole and both saw the same identity rounds."""
        assert self.keys is not None
        if parsed.get(At.MAC) is None:
            raise PeerError("aka_response_incomplete")
        if not mac_is_right(self.profile, response.octets, self.keys.k_aut, nonce_s):
            raise PeerError("aka_mac")
        if (parsed.get(At.CHECKCODE) or bytes(2))[2:] != self._checkcode():
            raise PeerError("aka_checkcode")


@lru_cache(maxsize=8)
def _derivation(kdfs: tuple[int, ...], network_name: bytes) -> tuple[bytes, ...]:
    """How keys are to be derived: the same for nearly everybody."""
    offered = (attribute(At.KDF, kdf.to_bytes(2, "big")) for kdf in kdfs)
    return (*offered, counted(At.KDF_INPUT, network_name))


Handler = Callable[[Aka, AkaMessage, EapPacket, int], tuple[Aka, Effect]]


def _on_identity(
    machine: Aka, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[Aka, Effect]:
    value = parsed.get(At.IDENTITY)
    if value is None:
        raise PeerError("aka_identity_missing")
    identity = sized(value, "AT_IDENTITY")
    machine.transcript += machine.pending + response.octets
    return machine._identified(identity, identifier)


def _on_challenge(
    machine: Aka, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[Aka, Effect]:
    assert machine.vector is not None
    if parsed.kdfs() and parsed.get(At.RES) is None:
        return _negotiate(machine, parsed.kdfs(), identifier)
    result = parsed.get(At.RES)
    if result is None:
        raise PeerError("aka_response_incomplete")
    machine._check(parsed, response)
    if not hmac.compare_digest(response_of(result), machine.vector.xres):
        raise PeerError("aka_res")
    return machine._proven()


def _negotiate(machine: Aka, wanted: tuple[int, ...], identifier: int) -> tuple[Aka, Effect]:
    """The peer picks another function of the offer, once: it moves to the front (RFC 9048 3.2)."""
    offer = machine.kdfs
    again = len(offer) != len(set(offer))
    if machine.network_name is None or len(wanted) != 1 or wanted[0] not in offer[1:] or again:
        raise PeerError("aka_kdf")
    machine.kdfs = (wanted[0], *offer)
    return machine._challenge(identifier)


def _on_synchronisation_failure(
    machine: Aka, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[Aka, Effect]:
    assert machine.vector is not None
    auts = parsed.get(At.AUTS)
    if auts is None:
        raise PeerError("aka_auts_missing")
    if parsed.kdfs() != (machine.kdfs if machine.network_name is not None else ()):
        raise PeerError("aka_kdf")
    if machine.resynchronisations >= RESYNCHRONISATIONS_MAX:
        raise PeerError("aka_resynchronised_twice")
    machine.phase = Phase.VECTOR
    machine.resynchronisations += 1
    rand = machine.vector.rand
    return machine, NeedResync(machine.imsi, machine.realm, machine.network_name, rand, auts)


def _on_reauthentication(
    machine: Aka, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[Aka, Effect]:
    """Where the peer calls the counter too small, a full authentication follows (RFC 4187 5.5)."""
    assert machine.again is not None
    assert machine.keys is not None
    machine._check(parsed, response, machine.nonce_s)
    secret = opened(parsed, machine.keys.k_encr)
    if secret.get(At.COUNTER) != machine.again.counter.to_bytes(2, "big"):
        raise PeerError("aka_counter")
    if secret.get(At.COUNTER_TOO_SMALL) is not None:
        return machine._need_vector()
    return machine._proven()


def _on_authentication_reject(
    machine: Aka, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[Aka, Effect]:
    return machine._end("authentication_rejected")


def _on_client_error(
    machine: Aka, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[Aka, Effect]:
    return machine._end("client_error")


def _on_notification(
    machine: Aka, parsed: AkaMessage, response: EapPacket, identifier: int
) -> tuple[Aka, Effect]:
    return machine._end(machine.failure)


TRANSITIONS: Final[dict[tuple[Phase, Subtype], Handler]] = {
    (Phase.IDENTITY, Subtype.IDENTITY): _on_identity,
    (Phase.IDENTITY, Subtype.CLIENT_ERROR): _on_client_error,
    (Phase.CHALLENGE, Subtype.CHALLENGE): _on_challenge,
    (Phase.CHALLENGE, Subtype.AUTHENTICATION_REJECT): _on_authentication_reject,
    (Phase.CHALLENGE, Subtype.SYNCHRONISATION_FAILURE): _on_synchronisation_failure,
    (Phase.CHALLENGE, Subtype.CLIENT_ERROR): _on_client_error,
    (Phase.REAUTHENTICATION, Subtype.REAUTHENTICATION): _on_reauthentication,
    (Phase.REAUTHENTICATION, Subtype.CLIENT_ERROR): _on_client_error,
    (Phase.NOTIFICATION, Subtype.NOTIFICATION): _on_notification,
    (Phase.NOTIFICATION, Subtype.CLIENT_ERROR): _on_client_error,
}
"""Every message the server takes, by what it waits for; any other ends the attempt."""
