"""The phone's side of EAP-AKA and EAP-AKA' (RFC 4187, RFC 9048), sans-IO.

An EAP request goes in, a response comes out. What a phone keeps from one attempt to the next, its
pseudonym and the state of fast re-authentication, is in a `PeerMemory` that outlives the attempts.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from opencarrier.access.wire import eap
from opencarrier.access.wire.aka import BIDDING_PREFER_AKA_PRIME, KDF_HMAC_SHA_256
from opencarrier.access.wire.aka_attributes import (
    AkaMessage,
    At,
    Subtype,
    attribute,
    counted,
    encrypted,
    mac_is_right,
    message,
    opened,
    parse_message,
    signed_message,
    sized,
)
from opencarrier.access.wire.aka_keys import Keys
from opencarrier.access.wire.aka_profile import AKA, AKA_PRIME, Profile
from opencarrier.identity.sequence import prime_keys
from opencarrier.sim.usim import Answered, NotGenuine, OutOfStep, Usim

_UNABLE_TO_PROCESS = bytes(2)
_SEPARATION_BIT = 0x80
_IV_OCTETS = 16
_ID_REQUESTS = (At.ANY_ID_REQ, At.FULLAUTH_ID_REQ, At.PERMANENT_ID_REQ)


@dataclass(frozen=True, slots=True)
class Rejoining:
    """What a phone needs to come back by fast re-authentication."""

    kind: int
    identity: str
    keys: Keys = field(repr=False)
    counter: int


@dataclass(slots=True)
class PeerMemory:
    """A phone's temporary identities; forget `rejoining` to make it authenticate in full."""

    pseudonym: str = ""
    rejoining: Rejoining | None = None


@dataclass(frozen=True, slots=True)
class PrivacyKey:
    """The home's public key, and the `name=value` that tells it which."""

    public: RSAPublicKey
    identifier: str = ""

    def encrypt(self, identity: str) -> bytes:
        """Write a permanent identity so that the home alone can read it."""
        sealed = self.public.encrypt(identity.encode(), OAEP(MGF1(SHA256()), SHA256(), None))
        tail = f",{self.identifier}" if self.identifier else ""
        return b"\x00" + b64encode(sealed) + tail.encode()


@dataclass(slots=True)
class AkaPeer:
    """One attempt of a phone; `keys` are set once the network proved itself.

    `outer` is the identity told before the method starts; without one it is the best the phone
    has. `methods` are those it takes, the preferred one first.
    """

    usim: Usim
    realm: str
    outer: str | None = None
    methods: tuple[Profile, ...] = (AKA_PRIME, AKA)
    memory: PeerMemory = field(default_factory=PeerMemory)
    privacy: PrivacyKey | None = None
    random: Callable[[int], bytes] = secrets.token_bytes
    keys: Keys | None = field(default=None, repr=False)
    finished: str = ""
    _told: str = ""
    _learnt: PeerMemory | None = field(default=None, repr=False)
    _transcript: bytes = field(default=b"", repr=False)
    _profile: Profile = field(default=AKA_PRIME, repr=False)

    def __post_init__(self) -> None:
        self._profile = self.methods[0]

    @property
    def permanent(self) -> str:
        """The permanent identity, `6<IMSI>@realm` for EAP-AKA' and `0<IMSI>@realm` for EAP-AKA."""
        return f"{self.methods[0].permanent.decode()}{self.usim.imsi}@{self.realm}"

    def identity(self, identifier: int = 0) -> bytes:
        """The EAP-Response/Identity that opens an attempt."""
        self._told = self.outer or self._temporary(At.ANY_ID_REQ) or self._first_contact()
        name = self._told.encode()
        return eap.encode_eap(eap.EapCode.RESPONSE, identifier, eap.EapType.IDENTITY, name)

    def respond(self, octets: bytes) -> bytes | None:
        """Answer a request; None at success and failure, which end the attempt."""
        packet = eap.parse_eap(octets)
        if packet.code in (eap.EapCode.SUCCESS, eap.EapCode.FAILURE):
            self._finish(packet.code)
            return None
        if packet.type == eap.EapType.IDENTITY:
            return self.identity(packet.identifier)
        profile = next((p for p in self.methods if p.kind == packet.type), None)
        if profile is None:
            wanted = bytes(p.kind for p in self.methods)
            return eap.encode_eap(eap.EapCode.RESPONSE, packet.identifier, eap.EapType.NAK, wanted)
        self._profile = profile
        return self._aka(packet, parse_message(packet.data))

    def _first_contact(self) -> str:
        return f"anonymous@{self.realm}" if self.privacy else self.permanent

    def _temporary(self, asked: At) -> str:
        rejoining = self.memory.rejoining
        if asked is At.ANY_ID_REQ and rejoining is not None:
            return rejoining.identity
        return self.memory.pseudonym if asked is not At.PERMANENT_ID_REQ else ""

    def _finish(self, code: eap.EapCode) -> None:
        self.finished = code.name.lower()
        if code is eap.EapCode.SUCCESS and self._learnt is not None:
            self.memory.pseudonym = self._learnt.pseudonym or self.memory.pseudonym
            self.memory.rejoining = self._learnt.rejoining

    def _aka(self, packet: eap.EapPacket, parsed: AkaMessage) -> bytes:
        if parsed.subtype is Subtype.IDENTITY:
            return self._identity_round(packet, parsed)
        if parsed.subtype is Subtype.CHALLENGE:
            return self._challenge(packet, parsed)
        if parsed.subtype is Subtype.REAUTHENTICATION:
            return self._reauthenticate(packet, parsed)
        if parsed.subtype is Subtype.NOTIFICATION:
            return self._notification(packet, parsed)
        return self._client_error(packet)

    def _identity_round(self, packet: eap.EapPacket, parsed: AkaMessage) -> bytes:
        asked = next((at for at in _ID_REQUESTS if parsed.get(at) is not None), None)
        if asked is None:
            return self._client_error(packet)
        self._told = self._temporary(asked) or self.permanent
        shown = self._told.encode()
        if self._told == self.permanent and self.privacy is not None:
            shown = self.privacy.encrypt(self.permanent)
        response = self._message(packet, Subtype.IDENTITY, [counted(At.IDENTITY, shown)])
        self._transcript += packet.octets + response
        return response

    def _challenge(self, packet: eap.EapPacket, parsed: AkaMessage) -> bytes:
        rand, autn = parsed.get(At.RAND), parsed.get(At.AUTN)
        if rand is None or autn is None:
            return self._client_error(packet)
        early = self._objection(packet, parsed, autn[2:])
        if early is not None:
            return early
        match self.usim.authenticate(rand[2:], autn[2:]):
            case NotGenuine():
                return self._reject(packet)
            case OutOfStep(auts):
                copies = [attribute(At.KDF, k.to_bytes(2, "big")) for k in parsed.kdfs()]
                return self._message(
                    packet, Subtype.SYNCHRONISATION_FAILURE, [attribute(At.AUTS, auts), *copies]
                )
            case Answered() as answered:
                return self._answer(packet, parsed, answered, autn[2:])

    def _objection(self, packet: eap.EapPacket, parsed: AkaMessage, autn: bytes) -> bytes | None:
        """What is said before the card is asked: a bid down, another function, a wrong vector."""
        if self._profile is AKA:
            bid_down = parsed.get(At.BIDDING) == BIDDING_PREFER_AKA_PRIME
            return self._reject(packet) if bid_down and AKA_PRIME in self.methods else None
        kdfs = parsed.kdfs()
        if parsed.get(At.KDF_INPUT) is None or not kdfs:
            return self._client_error(packet)
        if kdfs[0] != KDF_HMAC_SHA_256:
            return self._negotiate(packet, kdfs)
        return None if autn[6] & _SEPARATION_BIT else self._reject(packet)

    def _answer(
        self, packet: eap.EapPacket, parsed: AkaMessage, answered: Answered, autn: bytes
    ) -> bytes:
        ck, ik = answered.ck, answered.ik
        name = parsed.get(At.KDF_INPUT)
        if self._profile is AKA_PRIME:
            assert name is not None
            network_name = sized(name, "AT_KDF_INPUT")
            ck, ik = prime_keys(ck, ik, network_name=network_name, autn=autn)
        keys = self._profile.keys(ck, ik, self._told.encode())
        if not self._genuine(packet, parsed, keys):
            return self._client_error(packet)
        self.keys = keys
        if parsed.get(At.ENCR_DATA) is not None:
            self._learn(opened(parsed, keys.k_encr), counter=0)
        res = counted(At.RES, answered.res, bits=True)
        return self._signed(packet, Subtype.CHALLENGE, [res, self._checkcode()])

    def _genuine(self, packet: eap.EapPacket, parsed: AkaMessage, keys: Keys) -> bool:
        theirs = parsed.get(At.CHECKCODE) or bytes(2)
        same = attribute(At.CHECKCODE, theirs) == self._checkcode()
        return same and mac_is_right(self._profile, packet.octets, keys.k_aut)

    def _reauthenticate(self, packet: eap.EapPacket, parsed: AkaMessage) -> bytes:
        before = self.memory.rejoining
        if before is None or before.kind != packet.type:
            return self._client_error(packet)
        if not self._genuine(packet, parsed, before.keys):
            return self._client_error(packet)
        secret = opened(parsed, before.keys.k_encr)
        counter, nonce_s = secret.get(At.COUNTER), secret.get(At.NONCE_S)
        if counter is None or nonce_s is None:
            return self._client_error(packet)
        self.memory.rejoining = None
        number, self.keys = int.from_bytes(counter, "big"), before.keys
        out = [attribute(At.COUNTER, counter)]
        if number < before.counter:
            out.append(attribute(At.COUNTER_TOO_SMALL))
        else:
            self.keys = self._profile.keys_again(
                before.keys, self._told.encode(), number, nonce_s[2:]
            )
            self._learn(secret, counter=number)
        hidden = encrypted(out, k_encr=before.keys.k_encr, iv=self.random(_IV_OCTETS))
        return self._signed(
            packet, Subtype.REAUTHENTICATION, [*hidden, self._checkcode()], nonce_s=nonce_s[2:]
        )

    def _learn(self, secret: AkaMessage, *, counter: int) -> None:
        assert self.keys is not None
        learnt = PeerMemory()
        pseudonym, name = secret.get(At.NEXT_PSEUDONYM), secret.get(At.NEXT_REAUTH_ID)
        if pseudonym is not None:
            learnt.pseudonym = f"{sized(pseudonym, 'AT_NEXT_PSEUDONYM').decode()}@{self.realm}"
        if name is not None:
            identity = sized(name, "AT_NEXT_REAUTH_ID").decode()
            learnt.rejoining = Rejoining(self._profile.kind, identity, self.keys, counter + 1)
        self._learnt = learnt

    def _checkcode(self) -> bytes:
        digest = hashlib.new(self._profile.digest, self._transcript, usedforsecurity=False)
        return attribute(At.CHECKCODE, bytes(2) + (digest.digest() if self._transcript else b""))

    def _notification(self, packet: eap.EapPacket, parsed: AkaMessage) -> bytes:
        code = int.from_bytes(parsed.get(At.NOTIFICATION) or b"\x40\x00", "big")
        if code & 0x4000 or self.keys is None:
            return self._message(packet, Subtype.NOTIFICATION)
        hidden: list[bytes] = []
        if parsed.get(At.ENCR_DATA) is not None:
            counter = opened(parsed, self.keys.k_encr).get(At.COUNTER) or bytes(2)
            iv = self.random(_IV_OCTETS)
            hidden = encrypted([attribute(At.COUNTER, counter)], k_encr=self.keys.k_encr, iv=iv)
        return self._signed(packet, Subtype.NOTIFICATION, hidden)

    def _negotiate(self, packet: eap.EapPacket, kdfs: tuple[int, ...]) -> bytes:
        if KDF_HMAC_SHA_256 not in kdfs:
            return self._reject(packet)
        chosen = attribute(At.KDF, KDF_HMAC_SHA_256.to_bytes(2, "big"))
        return self._message(packet, Subtype.CHALLENGE, [chosen])

    def _reject(self, packet: eap.EapPacket) -> bytes:
        return self._message(packet, Subtype.AUTHENTICATION_REJECT)

    def _client_error(self, packet: eap.EapPacket) -> bytes:
        error = attribute(At.CLIENT_ERROR_CODE, _UNABLE_TO_PROCESS)
        return self._message(packet, Subtype.CLIENT_ERROR, [error])

    def _message(
        self, packet: eap.EapPacket, subtype: Subtype, attributes: list[bytes] | None = None
    ) -> bytes:
        return message(
            self._profile, eap.EapCode.RESPONSE, packet.identifier, subtype, attributes or []
        )

    def _signed(
        self,
        packet: eap.EapPacket,
        subtype: Subtype,
        attributes: list[bytes],
        *,
        nonce_s: bytes = b"",
    ) -> bytes:
        assert self.keys is not None
        return signed_message(
            self._profile,
            eap.EapCode.RESPONSE,
            packet.identifier,
            subtype,
            attributes,
            k_aut=self.keys.k_aut,
            nonce_s=nonce_s,
        )


@dataclass(slots=True)
class AkaPrimePeer(AkaPeer):
    """A phone that takes EAP-AKA' alone."""

    methods: tuple[Profile, ...] = (AKA_PRIME,)
