"""Keys and their history: brought, made here, ended, compromised."""

from __future__ import annotations

import coincurve
from sqlalchemy import Connection, insert, update

from opencarrier.identity import store
from opencarrier.identity.model import IdentityReason, SigningKey
from opencarrier.identity.notary import key_place
from opencarrier.identity.vault import Vault
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.spine.parties import PartyId

SECRET_OCTETS = 32
ATTEMPTS_MAX = 8
"""Draws for a secret below the curve's order; one in 2**128 is not, so eight never run out."""


class Keyring:
    """Adds keys and writes their history; a secret given to it is stored sealed."""

    def __init__(self, vault: Vault, *, clock: Clock, entropy: Entropy) -> None:
        self._vault = vault
        self._clock = clock
        self._entropy = entropy

    def mint(self, unit: Connection, party: PartyId, *, name: str) -> SigningKey:
        """Make a key of a party here, valid from now; the label is `key/<name>`."""
        for _ in range(ATTEMPTS_MAX):
            secret = self._entropy.octets(f"key/{name}", SECRET_OCTETS)
            if _in_range(secret):
                break
        else:
            raise AssertionError("the source of randomness is broken")
        added = self.add(unit, party, secret=secret)
        assert isinstance(added, SigningKey), added
        return added

    def add(
        self,
        unit: Connection,
        party: PartyId,
        *,
        address: Address | None = None,
        secret: bytes | None = None,
        valid_from_us: int | None = None,
    ) -> SigningKey | Refusal:
        """Add a key of a party: its address alone, or the secret to sign with it here."""
        if (address is None) == (secret is None):
            return Refusal(IdentityReason.INVALID_SECRET, "give the address or the secret")
        if secret is not None:
            if not _in_range(secret):
                return Refusal(IdentityReason.INVALID_SECRET, "not a secp256k1 secret")
            address = KeySigner(secret).address
        assert address is not None
        start_us = self._clock.now_us() if valid_from_us is None else valid_from_us
        known = store.key_row(unit, address)
        if known is not None:
            return self._known(unit, store.signing_key(known), party, secret)
        sealed = None if secret is None else self._vault.seal(unit, key_place(address), secret)
        unit.execute(
            insert(store.keys).values(
                kid=address, party=party, secret_sealed=sealed, valid_from_us=start_us
            )
        )
        return _read(unit, address)

    def end(self, unit: Connection, kid: Address, *, valid_to_us: int) -> SigningKey | Refusal:
        """End a key's validity; an end once written stays, for signatures were judged by it."""
        row = store.key_row(unit, kid)
        if row is None:
            return Refusal(IdentityReason.UNKNOWN_KEY, kid)
        if valid_to_us < row.valid_from_us:
            return Refusal(IdentityReason.INVALID_WINDOW, "the key ends before it begins")
        if row.valid_to_us is not None and row.valid_to_us != valid_to_us:
            return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_WINDOW, f"ends {row.valid_to_us}")
        unit.execute(
            update(store.keys).where(store.keys.c.kid == kid).values(valid_to_us=valid_to_us)
        )
        return _read(unit, kid)

    def compromise(self, unit: Connection, kid: Address, *, from_us: int) -> SigningKey | Refusal:
        """Note since when others may have a key; later findings move that earlier, never later."""
        row = store.key_row(unit, kid)
        if row is None:
            return Refusal(IdentityReason.UNKNOWN_KEY, kid)
        known_us = row.compromised_from_us
        earliest_us = from_us if known_us is None else min(from_us, known_us)
        unit.execute(
            update(store.keys)
            .where(store.keys.c.kid == kid)
            .values(compromised_from_us=earliest_us)
        )
        return _read(unit, kid)

    def _known(
        self, unit: Connection, key: SigningKey, party: PartyId, secret: bytes | None
    ) -> SigningKey | Refusal:
        if key.party != party:
            return Refusal(IdentityReason.FOREIGN_KEY, f"{key.kid} is a key of {key.party}")
        if secret is not None and not key.held:
            sealed = self._vault.seal(unit, key_place(key.kid), secret)
            unit.execute(
                update(store.keys).where(store.keys.c.kid == key.kid).values(secret_sealed=sealed)
            )
        return _read(unit, key.kid)


def _read(unit: Connection, kid: Address) -> SigningKey:
    row = store.key_row(unit, kid)
    assert row is not None
    return store.signing_key(row)


def _in_range(secret: bytes) -> bool:
    if len(secret) != SECRET_OCTETS:
        return False
    try:
        coincurve.PrivateKey(secret)
    except ValueError:
        return False
    return True
