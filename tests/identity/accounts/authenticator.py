"""A passkey in software, made from the standard alone, and all the ways it may lie."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def b64(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")


class Authenticator:
    """One credential (WebAuthn sections 6.1 and 6.5): ES256, a counter that goes on by one."""

    def __init__(self, origin: str, rp_id: str, *, seed: int = 1) -> None:
        self.origin, self.rp_id = origin, rp_id
        self.key = ec.derive_private_key(seed + 1_000, ec.SECP256R1())
        self.credential = sha256(f"credential {seed}".encode()).digest()
        self.user = b""
        self.count = 0

    def create(self, challenge: bytes, user: bytes, **lies: Any) -> dict[str, Any]:
        self.user = user
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32)}
        size = len(self.credential).to_bytes(2, "big")
        attested = bytes(16) + size + self.credential + cbor2.dumps(cose)
        data = self._data(lies, PRESENT | VERIFIED | ATTESTED) + attested
        whole = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client(lies, "webauthn.create", challenge)
        return self._answer({"clientDataJSON": b64(client), "attestationObject": b64(whole)})

    def get(self, challenge: bytes, **lies: Any) -> dict[str, Any]:
        self.count = lies.get("count", self.count + 1)
        data = self._data(lies, PRESENT | VERIFIED)
        client = self._client(lies, "webauthn.get", challenge)
        key = lies.get("key", self.key)
        signature = key.sign(data + sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._answer(
            {
                "clientDataJSON": b64(client),
                "authenticatorData": b64(data),
                "signature": b64(signature),
                "userHandle": b64(lies.get("user", self.user)),
            }
        )

    def _data(self, lies: dict[str, Any], flags: int) -> bytes:
        rp = sha256(lies.get("rp_id", self.rp_id).encode()).digest()
        return rp + bytes((lies.get("flags", flags),)) + self.count.to_bytes(4, "big")

    def _client(self, lies: dict[str, Any], kind: str, challenge: bytes) -> bytes:
        told = {
            "type": lies.get("type", kind),
            "challenge": b64(challenge),
            "origin": lies.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(told).encode()

    def _answer(self, response: dict[str, str]) -> dict[str, Any]:
        name = b64(self.credential)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}
