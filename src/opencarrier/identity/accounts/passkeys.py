"""Passkeys (WebAuthn level 2): options for a browser, and judging what comes back.

The library judges origin, challenge, rpId and signature; the counter and whose key it is, we do.
No attestation is asked for: which maker's key somebody has is nobody's business here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from opencarrier.kernel.refusals import PeerError

CREDENTIAL_OCTETS_MAX = 1_023
PUBLIC_KEY_OCTETS_MAX = 4_096

# At INFO it would write whose credential came when.
logging.getLogger("fido2").setLevel(logging.WARNING)

_REQUIRED = UserVerificationRequirement.REQUIRED

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A new passkey: its id, its public key as attested, and where its counter stands."""

    credential: bytes
    public_key: bytes
    sign_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asserted:
    """What an answer claims before it is judged: which passkey, whose, and to which challenge."""

    credential: bytes
    user: bytes
    challenge: bytes
    sign_count: int
    response: AuthenticationResponse


class RelyingParty:
    """One origin as WebAuthn knows it: its rpId is the host's name alone."""

    def __init__(self, *, origin: str, rp_id: str) -> None:
        self._server = Fido2Server(
            PublicKeyCredentialRpEntity(name="opencarrier", id=rp_id),
            verify_origin=lambda found: found == origin,
        )

    def creation_options(
        self, *, user: bytes, name: str, challenge: bytes, known: Sequence[bytes]
    ) -> dict[str, Any]:
        """Return what a browser makes a passkey by; one that it has already is not made again."""
        options, _ = self._server.register_begin(
            PublicKeyCredentialUserEntity(id=user, name=name, display_name=name),
            credentials=[
                PublicKeyCredentialDescriptor(type=PublicKeyCredentialType.PUBLIC_KEY, id=one)
                for one in known
            ],
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=_REQUIRED,
            challenge=challenge,
        )
        return dict(options)

    def request_options(self, challenge: bytes) -> dict[str, Any]:
        """Return what a browser asks for a passkey by; whose, the person chooses there."""
        options, _ = self._server.authenticate_begin(
            user_verification=_REQUIRED, challenge=challenge
        )
        return dict(options)

    def registered(self, response: Mapping[str, Any], challenge: bytes) -> Registered:
        """Judge a new passkey; `PeerError` unless it answers this challenge at this origin."""
        state = _state(challenge)
        data = _judged(lambda: self._server.register_complete(state, response))
        attested = data.credential_data
        assert attested is not None, "the library found its public key"
        made = Registered(
            credential=bytes(attested.credential_id),
            public_key=bytes(attested),
            sign_count=data.counter,
        )
        if not 16 <= len(made.credential) <= CREDENTIAL_OCTETS_MAX:
            raise PeerError("passkey_credential", "an id of 16 to 1023 octets")
        if len(made.public_key) > PUBLIC_KEY_OCTETS_MAX:
            raise PeerError("passkey_public_key", "over 4096 octets")
        return made

    def check(self, asserted: Asserted, public_key: bytes) -> None:
        """Judge an answer by the key it claims; `PeerError` where it is not of this key."""
        credential = _judged(lambda: AttestedCredentialData(public_key))
        state = _state(asserted.challenge)
        _judged(lambda: self._server.authenticate_complete(state, [credential], asserted.response))


def read_assertion(response: Mapping[str, Any]) -> Asserted:
    """Take an answer apart, without believing any of it."""

    def read() -> Asserted:
        parsed = AuthenticationResponse.from_dict(response)
        inner = parsed.response
        return Asserted(
            credential=bytes(parsed.raw_id),
            user=bytes(inner.user_handle or b""),
            challenge=bytes(inner.client_data.challenge),
            sign_count=inner.authenticator_data.counter,
            response=parsed,
        )

    return _judged(read)


def _state(challenge: bytes) -> dict[str, Any]:
    from fido2.utils import websafe_encode

    return {"challenge": websafe_encode(challenge), "user_verification": _REQUIRED}


def _judged(work: Callable[[], T]) -> T:
    """Turn whatever a hostile answer breaks in the library into an error of the peer's."""
    try:
        return work()
    except Exception as error:
        raise PeerError("passkey", type(error).__name__) from None


def read_challenge(response: Mapping[str, Any]) -> bytes:
    """Return which challenge a new passkey answers, not yet judged."""
    from fido2.webauthn import RegistrationResponse

    return _judged(
        lambda: bytes(RegistrationResponse.from_dict(response).response.client_data.challenge)
    )
