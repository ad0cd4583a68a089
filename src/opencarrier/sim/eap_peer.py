"""The phone's side of EAP-AKA' (RFC 9048), sans-IO: an EAP request in, a response out."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from opencarrier.access.wire import eap
from opencarrier.access.wire.aka_attributes import (
    AkaMessage,
    At,
    Subtype,
    attribute,
    counted,
    mac_is_right,
    message,
    parse_message,
    signed_message,
    sized,
)
from opencarrier.access.wire.aka_prime import KDF_HMAC_SHA_256, Keys, derive_keys
from opencarrier.identity.sequence import prime_keys
from opencarrier.sim.usim import Answered, NotGenuine, OutOfStep, Usim

_UNABLE_TO_PROCESS = bytes(2)
_SEPARATION_BIT = 0x80


@dataclass(slots=True)
class AkaPrimePeer:
    """One attempt of a phone; `keys` are set once the challenge was answered.

    `outer` is the identity told before the method starts; leave it None for the permanent one.
    """

    usim: Usim
    realm: str
    outer: str | None = None
    keys: Keys | None = field(default=None, repr=False)
    finished: str = ""
    _transcript: bytes = field(default=b"", repr=False)

    @property
    def permanent(self) -> str:
        """The permanent identity of EAP-AKA': `6<IMSI>@realm`."""
        return f"6{self.usim.imsi}@{self.realm}"

    def identity(self, identifier: int = 0) -> bytes:
        """The EAP-Response/Identity that opens an attempt."""
        name = (self.outer or self.permanent).encode()
        return eap.encode_eap(eap.EapCode.RESPONSE, identifier, eap.EapType.IDENTITY, name)

    def respond(self, octets: bytes) -> bytes | None:
        """Answer a request; None at success and failure, which end the attempt."""
        packet = eap.parse_eap(octets)
        if packet.code in (eap.EapCode.SUCCESS, eap.EapCode.FAILURE):
            self.finished = packet.code.name.lower()
            return None
        if packet.type == eap.EapType.IDENTITY:
            return self.identity(packet.identifier)
        if packet.type != eap.EapType.AKA_PRIME:
            wanted = bytes((eap.EapType.AKA_PRIME,))
            return eap.encode_eap(eap.EapCode.RESPONSE, packet.identifier, eap.EapType.NAK, wanted)
        return self._aka(packet, parse_message(packet.data))

    def _aka(self, packet: eap.EapPacket, parsed: AkaMessage) -> bytes:
        if parsed.subtype is Subtype.IDENTITY:
            return self._identity_round(packet)
        if parsed.subtype is Subtype.CHALLENGE:
            return self._challenge(packet, parsed)
        if parsed.subtype is Subtype.NOTIFICATION:
            return self._notification(packet, parsed)
        return self._client_error(packet)

    def _identity_round(self, packet: eap.EapPacket) -> bytes:
        response = message(
            eap.EapCode.RESPONSE,
            packet.identifier,
            Subtype.IDENTITY,
            [counted(At.IDENTITY, self.permanent.encode())],
        )
        self._transcript += packet.octets + response
        return response

    def _challenge(self, packet: eap.EapPacket, parsed: AkaMessage) -> bytes:
        rand, autn, name = (parsed.get(at) for at in (At.RAND, At.AUTN, At.KDF_INPUT))
        kdfs = parsed.kdfs()
        if rand is None or autn is None or name is None or not kdfs:
            return self._client_error(packet)
        if kdfs[0] != KDF_HMAC_SHA_256:
            return self._negotiate(packet, kdfs)
        if not autn[8] & _SEPARATION_BIT:
            return self._reject(packet)
        match self.usim.authenticate(rand[2:], autn[2:]):
            case NotGenuine():
                return self._reject(packet)
            case OutOfStep(auts):
                return self._out_of_step(packet, auts, kdfs)
            case Answered() as answered:
                network_name = sized(name, "AT_KDF_INPUT")
                return self._answer(packet, parsed, answered, network_name, autn[2:])

    def _answer(
        self,
        packet: eap.EapPacket,
        parsed: AkaMessage,
        answered: Answered,
        network_name: bytes,
        autn: bytes,
    ) -> bytes:
        ck_prime, ik_prime = prime_keys(
            answered.ck, answered.ik, network_name=network_name, autn=autn
        )
        keys = derive_keys(ck_prime, ik_prime, self._key_identity)
        checkcode = sha256(self._transcript).digest() if self._transcript else b""
        theirs = parsed.get(At.CHECKCODE)
        if not mac_is_right(packet.octets, keys.k_aut) or (theirs or bytes(2))[2:] != checkcode:
            return self._client_error(packet)
        self.keys = keys
        return signed_message(
            eap.EapCode.RESPONSE,
            packet.identifier,
            Subtype.CHALLENGE,
            [
                counted(At.RES, answered.res, bits=True),
                attribute(At.CHECKCODE, bytes(2) + checkcode),
            ],
            k_aut=keys.k_aut,
        )

    @property
    def _key_identity(self) -> bytes:
        return (self.permanent if self._transcript else self.outer or self.permanent).encode()

    def _notification(self, packet: eap.EapPacket, parsed: AkaMessage) -> bytes:
        code = int.from_bytes(parsed.get(At.NOTIFICATION) or b"\x40\x00", "big")
        if code & 0x4000 or self.keys is None:
            return message(eap.EapCode.RESPONSE, packet.identifier, Subtype.NOTIFICATION, [])
        return signed_message(
            eap.EapCode.RESPONSE,
            packet.identifier,
            Subtype.NOTIFICATION,
            [],
            k_aut=self.keys.k_aut,
        )

    def _negotiate(self, packet: eap.EapPacket, kdfs: tuple[int, ...]) -> bytes:
        if KDF_HMAC_SHA_256 not in kdfs:
            return self._reject(packet)
        chosen = attribute(At.KDF, KDF_HMAC_SHA_256.to_bytes(2, "big"))
        return message(eap.EapCode.RESPONSE, packet.identifier, Subtype.CHALLENGE, [chosen])

    def _out_of_step(self, packet: eap.EapPacket, auts: bytes, kdfs: tuple[int, ...]) -> bytes:
        copies = [attribute(At.KDF, kdf.to_bytes(2, "big")) for kdf in kdfs]
        return message(
            eap.EapCode.RESPONSE,
            packet.identifier,
            Subtype.SYNCHRONISATION_FAILURE,
            [attribute(At.AUTS, auts), *copies],
        )

    def _reject(self, packet: eap.EapPacket) -> bytes:
        return message(eap.EapCode.RESPONSE, packet.identifier, Subtype.AUTHENTICATION_REJECT, [])

    def _client_error(self, packet: eap.EapPacket) -> bytes:
        error = attribute(At.CLIENT_ERROR_CODE, _UNABLE_TO_PROCESS)
        return message(eap.EapCode.RESPONSE, packet.identifier, Subtype.CLIENT_ERROR, [error])
