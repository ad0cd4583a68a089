"""Signing for the parties of this installation, and judging a signature by its key's history."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from opencarrier.identity import store
from opencarrier.identity.model import IdentityReason, SigningKey, Standing
from opencarrier.identity.rules import standing
from opencarrier.identity.sealing import Place
from opencarrier.identity.vault import Vault
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner, Signature, verify
from opencarrier.spine.parties import PartyId

_REASONS = {
    Standing.NOT_YET_VALID: IdentityReason.KEY_NOT_YET_VALID,
    Standing.EXPIRED: IdentityReason.KEY_EXPIRED,
    Standing.COMPROMISED: IdentityReason.KEY_COMPROMISED,
}


class Notary:
    """Answers `spine.ports.Notary`: signs with keys held here, and only while they are valid."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock

    def sign(self, unit: Connection, address: Address, digest: bytes) -> Signature | None:
        """Sign a digest with a party's key; None where it is not held here or not valid now."""
        signer = self.signer(unit, address)
        return None if signer is None else signer.sign(digest)

    def signer(self, unit: Connection, address: Address) -> KeySigner | None:
        """Return a signer for a key held here and valid now, such as a transaction's sender."""
        row = store.key_row(unit, address)
        if row is None or row.secret_sealed is None:
            return None
        if standing(store.signing_key(row), self._clock.now_us()) is not Standing.VALID:
            return None
        secret = self._vault.open(unit, key_place(address), row.secret_sealed)
        signer = KeySigner(secret)
        assert signer.address == address, "a key stands in another key's row"
        return signer

    def judge(
        self,
        unit: Connection,
        party: PartyId,
        digest: bytes,
        signature: Signature,
        *,
        signed_us: int,
    ) -> Refusal | None:
        """Say why a signature does not bind a party; None where it does.

        A key is judged at the instant it signed: a later end or compromise does not undo it.
        """
        row = store.key_row(unit, signature.kid)
        if row is None:
            return Refusal(IdentityReason.UNKNOWN_KEY, signature.kid)
        key = store.signing_key(row)
        if key.party != party:
            return Refusal(IdentityReason.FOREIGN_KEY, f"{key.kid} is a key of {key.party}")
        if not verify(digest, signature):
            return Refusal(IdentityReason.SIGNATURE_INVALID, signature.kid)
        reason = _REASONS.get(standing(key, signed_us))
        return None if reason is None else Refusal(reason, signature.kid)

    def keys(self, unit: Connection, party: PartyId) -> Sequence[SigningKey]:
        """Return a party's keys with their history, in the order they became valid."""
        return store.keys_of(unit, party)


def key_place(kid: Address) -> Place:
    """Where the secret of a key is sealed for."""
    return Place(store.keys.name, "secret_sealed", kid)
